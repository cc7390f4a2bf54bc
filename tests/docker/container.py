"""A process of a built image as a container engine runs it, without one: its own process numbers, a read-only root, a
scratch volume at /tmp, no capability, the image's own user, environment and entry point. It shares the network."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# In a mount namespace of its own: nothing of it is seen outside, and all of it is gone with the process.
MOUNTS = """
set -e
mount --make-rprivate /
mount --bind {root} {root}
mount -t proc proc {root}/proc
mount --rbind /sys {root}/sys
mount -t tmpfs -o mode=755 devices {root}/dev
for device in null zero full random urandom; do
    touch {root}/dev/$device
    mount --bind /dev/$device {root}/dev/$device
done
ln -s /proc/self/fd {root}/dev/fd
mkdir {root}/dev/shm
mount -t tmpfs -o mode=1777,size=64m shm {root}/dev/shm
mount --bind {scratch} {root}/tmp
mount -o remount,bind,ro {root}
exec chroot {root} /usr/bin/setpriv --reuid {uid} --regid {gid} --clear-groups --no-new-privs --bounding-set=-all \
    /usr/bin/env --ignore-environment --chdir={workdir} {words}
"""


@dataclass
class Container:
    """`root`: the mounted image; `config`: what the image says of itself."""

    root: Path
    config: Mapping[str, Any]
    scratch: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, command: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """The image's command, or another one: behind the image's entry point, which is process 1 of its own space."""
        return self._start(command, self.log)

    def output(self, *command: str) -> tuple[int, str]:
        """Exit code and words of a short command."""
        with tempfile.NamedTemporaryFile(dir=self.log.parent) as words:
            code = self._start(command, Path(words.name)).wait(timeout=120)
            return code, words.read().decode().strip()

    def _start(self, command: Sequence[str], log_path: Path) -> subprocess.Popen[bytes]:
        words = [*self._pairs(), *self.config["Entrypoint"], *(command or self.config["Cmd"])]
        uid, gid = self.config["User"].split(":")
        script = MOUNTS.format(
            root=shlex.quote(str(self.root)),
            scratch=shlex.quote(str(self.scratch)),
            workdir=self.config["WorkingDir"],
            words=shlex.join(words),
            uid=uid,
            gid=gid,
        )
        with log_path.open("ab") as log:
            return subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _pairs(self) -> list[str]:
        given = dict(pair.split("=", 1) for pair in self.config["Env"])
        return [f"{name}={value}" for name, value in (given | dict(self.environment)).items()]


def ask_to_stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to process 1 of the container, as an engine sends it: unshare, its parent, takes no notice of it."""
    (first,) = children_of(process.pid)
    os.kill(first, signal.SIGTERM)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

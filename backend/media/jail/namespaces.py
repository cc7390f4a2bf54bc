"""A world of its own for the media process: no network but a loopback that is down, nobody else's processes, and at the
end a file system with nothing in it but what the operation was handed.

An extra: most containers do not let a process make namespaces, and there the other layers carry the weight.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from backend.media.jail import process, syscalls

NEW_MOUNTS, NEW_HOST_NAME, NEW_IPC, NEW_USER, NEW_PROCESSES, NEW_NETWORK = (
    0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
ALL = NEW_MOUNTS | NEW_HOST_NAME | NEW_IPC | NEW_USER | NEW_PROCESSES | NEW_NETWORK
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
MOST_FILES = 2**20
PROCESSES = 2048  # and threads, of the user in this world; root's are not counted


def enter() -> bool:
    """This process, and all that it starts, in a world of their own; for processes it starts that is so from the next
    one on, which is the first in there and ends with this one: the others end with it. False, and nothing has happened,
    where that is not allowed. To be called before there is any second thread."""
    user, group = os.geteuid(), os.getegid()
    try:
        syscalls.checked(syscalls.libc().unshare(ctypes.c_int(ALL)), "unshare")
    except OSError:
        return False
    with suppress(OSError):  # a system may refuse that alone; the user then has no name here, and owns what it owned
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    _start_first()
    return True


def is_entered() -> bool:
    """Whether this process was started in a world of its own: its own number is another than outside."""
    numbers = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("NSpid:"))
    return len(numbers.split()) > 2


def empty_root(folder: Path, kept: Iterable[Path]) -> None:
    """From here on there are only `kept`, under their own names. `folder` is covered for it. Raises OSError."""
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("none", str(folder), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,mode=700")
    for path in kept:
        place = folder / path.relative_to("/")
        place.mkdir(parents=True, exist_ok=True)
        _mount(str(path), str(place), None, MS_BIND | MS_REC)
    os.chdir(folder)
    syscalls.call("pivot_root", ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
    syscalls.checked(syscalls.libc().umount2(b".", ctypes.c_int(MNT_DETACH)), "umount2")
    os.chdir("/")


def own_mounts() -> None:
    """What is mounted from here on is seen by this process and those it starts. Raises OSError."""
    syscalls.checked(syscalls.libc().unshare(ctypes.c_int(NEW_MOUNTS)), "unshare")


def limit_processes() -> None:
    """The limit counts a user's processes and threads; where the user is this world's alone, only those in it."""
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))


def _start_first() -> None:
    """The first process of a world adopts what is left over, and ends all when it ends; this one does nothing else."""
    heard, said = os.pipe()
    if os.fork():
        os.close(said)
        os.read(heard, 1)
        os.close(heard)
        return
    process.end_with_parent()  # which lives: it waits to be told
    os.write(said, b".")
    os.closerange(0, MOST_FILES)
    while True:
        signal.pause()


def _write(path: str, text: str) -> None:
    Path(path).write_text(text)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if each is None else ctypes.c_char_p(each.encode()) for each in (source, target, kind)]
    data = None if options is None else ctypes.c_char_p(options.encode())
    syscalls.checked(syscalls.libc().mount(*words, ctypes.c_ulong(flags), data), target)

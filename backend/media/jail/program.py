"""Another program in the jail: the ffmpeg command, which draws subtitles. It is started before its starter is closed
in, which may start none afterwards, and is itself closed in from its first instruction.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from backend.errors import JailUnavailable
from backend.media.jail import landlock, process
from backend.media.jail.lock import restrict
from backend.media.jail.order import Jail, Mode

# Of one that was not linked statically: libraries, and who loads them.
LIBRARIES = tuple(map(Path, ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")))
LOADERS = ("/lib64", "/lib")


def start(command: Sequence[str], jail: Jail, folder: Path, readable: Iterable[Path] = ()) -> subprocess.Popen[bytes]:
    """With pipes for all three channels, in `folder`. It reads what is under `folder` and `readable`, writes nothing.

    Raises JailUnavailable where the order requires what this machine lacks.
    """
    rules = [(path, landlock.READ) for path in (folder, *readable, *LIBRARIES)]
    programs = (Path(command[0]), *(path for place in LOADERS for path in Path(place).glob("ld-linux*")))
    rules += [(path, landlock.READ | landlock.EXECUTE) for path in programs]

    def close_in() -> None:
        process.end_with_parent()  # if it has ended by now, so have the pipes
        process.limit(memory_bytes=jail.memory_bytes, cpu_sec=jail.cpu_sec, file_bytes=jail.file_bytes)
        if jail.mode is not Mode.OFF:
            restrict(jail, rules, starts_program=True)

    pipe = subprocess.PIPE
    before = close_in if sys.platform == "linux" else None
    try:
        return subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, preexec_fn=before)
    except subprocess.SubprocessError as error:
        raise JailUnavailable(
            f"{Path(command[0]).name} could not be closed in. See MEDIA_JAIL in docs/running.md."
        ) from error

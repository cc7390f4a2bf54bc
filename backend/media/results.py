"""What a media process leaves behind as its result. It is not trusted: where its file was to be there may be a link to
somebody else's, a pipe that never ends, or a device."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from backend.errors import SandboxCrashed


def opened_result(path: Path) -> BinaryIO:
    """The file that a media process wrote, once that has ended: nobody else writes there. To be closed.

    Raises SandboxCrashed for anything but a file of this user with one name.
    """
    try:
        # A link is not followed, and a pipe that nobody writes into is not waited for.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxCrashed("The media process left no file where its result should be.") from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid != os.geteuid():
        os.close(fd)
        raise SandboxCrashed("The media process left something else than a file of its own as its result.")
    return os.fdopen(fd, "rb")


def check_result(path: Path) -> Path:
    """The path again. Raises SandboxCrashed."""
    opened_result(path).close()
    return path


def read_result(path: Path) -> bytes:
    """Raises SandboxCrashed."""
    with opened_result(path) as file:
        return file.read()

"""Files that appear under their name whole or not at all, and reads by position."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def temporary_file(folder: Path) -> Iterator[BinaryIO]:
    """A named file in `folder`, gone after the block unless the block renamed it. Its mode is what the umask says,
    as of any file that a program writes."""
    path = folder / f".framefleet-{secrets.token_hex(8)}"
    with path.open("xb") as file:
        try:
            yield file
        finally:
            path.unlink(missing_ok=True)


def open_below(root: Path, key: str) -> int:
    """A descriptor of the file that the key names below `root`; no link on the way is followed, and no pipe waited for.
    Raises OSError, FileNotFoundError for what is no file."""
    *folders, name = key.split("/")
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = inner
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)


def pread_all(fd: int, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`, fewer only at the end; moves no file position, so threads may share `fd`."""
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(fd, length, offset)):
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)


def sync_folder(folder: Path) -> None:
    """Makes the name itself survive a power cut, not only the bytes."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""Files that appear under their name whole or not at all, and reads by position."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def temporary_file(folder: Path) -> Iterator[BinaryIO]:
    """A named file in `folder`, gone after the block unless the block renamed it."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        try:
            yield file  # type: ignore[misc]  # the wrapper is a BinaryIO in all but name
        finally:
            Path(file.name).unlink(missing_ok=True)


def pread_all(fd: int, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`, fewer only at the end; moves no file position, so threads may share `fd`."""
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(fd, length, offset)):
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)

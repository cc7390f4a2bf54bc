"""A file object whose bytes come from somewhere else: all but how they are read."""

from __future__ import annotations

import io


class Seekable(io.RawIOBase):
    """Whoever derives from it reads from `position` on and moves it."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Raises OSError for places before the start, as files do."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size_bytes}[whence]
        if base + offset < 0:
            raise OSError("seek before the start")
        self.position = base + offset
        return self.position

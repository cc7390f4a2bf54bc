"""The bytes of a source that opening it reads, kept so that it can be opened again where the source is not: its
streams, their codecs' parameters, languages, chapters and start are then the source's own. Child process only."""

from __future__ import annotations

import bisect
import io
from typing import BinaryIO, cast

from backend.seekable import Seekable


class RecordedFile(io.RawIOBase):
    """A file, and what was read from it."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._reads: list[tuple[int, bytes]] | None = []

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._source.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._source.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        offset = self._source.tell()
        data = self._source.read(size)
        if self._reads is not None and data:
            self._reads.append((offset, data))
        return data

    def head(self) -> list[tuple[int, bytes]]:
        """What was read so far, by offset, without overlaps. Later reads are not recorded."""
        reads, self._reads = self._reads or [], None
        ranges: list[tuple[int, bytearray]] = []
        for offset, data in sorted(reads, key=lambda read: read[0]):
            if ranges and offset <= (end := ranges[-1][0] + len(ranges[-1][1])):
                ranges[-1][1].extend(data[end - offset :])
            else:
                ranges.append((offset, bytearray(data)))
        return [(offset, bytes(data)) for offset, data in ranges]


class HeadFile(Seekable):
    """A file of which only these ranges are there. Reading anything else fails."""

    def __init__(self, ranges: list[tuple[int, bytes]], size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._ranges = ranges
        self._offsets = [offset for offset, _ in ranges]

    def read(self, size: int = -1) -> bytes:
        if self.position >= self.size_bytes:
            return b""
        number = bisect.bisect_right(self._offsets, self.position) - 1
        offset, data = self._ranges[number] if number >= 0 else (0, b"")
        begin = self.position - offset
        part = data[begin:] if size < 0 else data[begin : begin + size]
        if not part:
            raise OSError(f"byte {self.position} of the source was not kept")
        self.position += len(part)
        return part


def opened_again(ranges: list[tuple[int, bytes]], size_bytes: int) -> BinaryIO:
    return cast(BinaryIO, HeadFile(ranges, size_bytes))

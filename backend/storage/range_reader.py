"""A seekable, thread-safe reader over a source, with a bounded cache and a read-ahead that follows what is read."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from backend.errors import SourceChanged
from backend.seekable import Seekable
from backend.storage.base import Source
from backend.storage.block_cache import BLOCK_BYTES, BlockCache

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_READ_AHEAD_BYTES = 4 * 1024 * 1024
READ_AHEAD_SHARE = 24  # a run that has read n bytes fetches at most n / 24 past what was asked
MAX_SKIP_BYTES = 4 * BLOCK_BYTES


class RangeReader:
    """Random access to a source in blocks of 64 KiB.

    Missing neighbours are fetched in one request. Reads that run on fetch ahead of themselves, by a part of what the
    run has read (one block to 4 MiB), so that a worker wastes little past the end of its chunk.
    """

    def __init__(self, source: Source, cache: BlockCache | None = None) -> None:
        self._source = source
        self._cache = cache if cache is not None else BlockCache()
        # A cache of its own needs no name for the source.
        self._key = (source.uri if cache is not None else "", source.info.etag)
        self._lock = threading.Lock()
        self._run_start = self._run_end = -2 * MAX_SKIP_BYTES  # where no read continues it
        self._run_bytes = 0
        self.size_bytes = source.info.size_bytes
        self.bytes_fetched = 0

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer only at the end.

        Raises ValueError for a negative offset or length, SourceChanged, and what the source raises.
        """
        if offset < 0 or length < 0:
            raise ValueError("offset and length must not be negative")
        end = min(offset + length, self.size_bytes)
        if offset >= end:
            return b""
        # One fetch at a time: a second thread that wants the same blocks waits and finds them in the cache.
        with self._lock:
            ahead_blocks = self._follow_run(offset, end)
            return self._assemble(offset, end, ahead_blocks)

    def as_file(self) -> io.RawIOBase:
        """A file object with a position of its own; several may be used at once."""
        return _RangeFile(self)

    def _follow_run(self, offset: int, end: int) -> int:
        """How many blocks to fetch ahead. A short skip either way, as between interleaved streams, keeps the run."""
        if not self._run_start - MAX_SKIP_BYTES <= offset <= self._run_end + MAX_SKIP_BYTES:
            self._run_start, self._run_end, self._run_bytes = offset, end, end - offset
            return 0
        # What was skipped, or read before, is not what the run has read.
        self._run_bytes += max(0, end - max(offset, self._run_end))
        self._run_start, self._run_end = min(self._run_start, offset), max(self._run_end, end)
        ahead_bytes = min(self._run_bytes // READ_AHEAD_SHARE, MAX_READ_AHEAD_BYTES)
        return max(1, ahead_bytes // BLOCK_BYTES)

    def _assemble(self, offset: int, end: int, ahead_blocks: int) -> bytes:
        first, last = offset // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        held = {index: self._cache.get(self._key, index) for index in range(first, last + 1)}
        missing = [index for index, block in held.items() if block is None]
        if missing and missing[-1] == last:
            missing.extend(self._ahead(last + 1, ahead_blocks))
        for run in _neighbours(missing):
            held.update(self._fetch(run[0], run[-1]))
        # Joined from `held`, not from the cache: a read larger than the cache has pushed its own blocks out of it.
        skip = offset - first * BLOCK_BYTES
        joined = b"".join(block for index in range(first, last + 1) if (block := held[index]))
        return joined[skip : skip + end - offset]

    def _ahead(self, start: int, count: int) -> Iterator[int]:
        """Up to `count` block numbers from `start`, ending where the cache or the end of the source begins."""
        for index in range(start, min(start + count, -(-self.size_bytes // BLOCK_BYTES))):
            if self._cache.has(self._key, index):
                return
            yield index

    def _fetch(self, first: int, last: int) -> dict[int, bytes]:
        offset = first * BLOCK_BYTES
        length = min((last + 1) * BLOCK_BYTES, self.size_bytes) - offset
        self.bytes_fetched += length
        data = self._source.read_at(offset, length)
        if len(data) != length:
            raise SourceChanged("The source is shorter than when it was opened: submit the job again.")
        # Slices of bytes are copies, so a cached block does not keep its whole request alive.
        blocks = {first + i: data[i * BLOCK_BYTES : (i + 1) * BLOCK_BYTES] for i in range(last - first + 1)}
        for index, block in blocks.items():
            self._cache.put(self._key, index, block)
        return blocks


class _RangeFile(Seekable):
    def __init__(self, reader: RangeReader) -> None:
        super().__init__(reader.size_bytes)
        self._reader = reader

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._reader.read_at(self.position, len(view))
        view[: len(data)] = data
        self.position += len(data)
        return len(data)

    def readall(self) -> bytes:
        """One request for the rest, where RawIOBase would make many small ones."""
        data = self._reader.read_at(self.position, max(0, self._reader.size_bytes - self.position))
        self.position += len(data)
        return data


def _neighbours(indexes: Iterable[int]) -> Iterator[list[int]]:
    """Rising block numbers, cut into runs without gaps."""
    for _, run in groupby(enumerate(indexes), key=lambda pair: pair[1] - pair[0]):
        yield [index for _, index in run]

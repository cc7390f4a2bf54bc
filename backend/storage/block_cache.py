"""Blocks of sources that were read lately, in memory of their own."""

from __future__ import annotations

import mmap
import threading
from collections import OrderedDict

BLOCK_BYTES = 64 * 1024
DEFAULT_CACHE_BYTES = 32 * 1024 * 1024

SourceKey = tuple[str, str]  # (uri, etag)


class BlockCache:
    """Blocks of BLOCK_BYTES, the last one of a source shorter, the least recently used dropped first; threads and
    readers of one process share it.

    They lie in one mapping, which takes no more memory than blocks were ever held at once. As objects of their own they
    were made by many threads and freed by others, and malloc kept up to twice as much.
    """

    def __init__(self, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._slots = max_bytes // BLOCK_BYTES
        self._memory: mmap.mmap | None = None
        self._free: list[int] = []
        self._held: OrderedDict[tuple[SourceKey, int], tuple[int, int]] = OrderedDict()  # the slot, and how long it is
        self._size_bytes = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """Bytes held now; never more than the bound."""
        return self._size_bytes

    def get(self, key: SourceKey, index: int) -> bytes | None:
        """The block, which now counts as used last, or None."""
        with self._lock:
            held = self._held.get((key, index))
            if held is None or self._memory is None:
                return None
            self._held.move_to_end((key, index))
            slot, length = held
            return self._memory[slot * BLOCK_BYTES : slot * BLOCK_BYTES + length]

    def has(self, key: SourceKey, index: int) -> bool:
        """Whether the block is held; asking is not using."""
        with self._lock:
            return (key, index) in self._held

    def put(self, key: SourceKey, index: int, block: bytes) -> None:
        """Holds the block and drops old ones to stay in bounds."""
        if not self._slots:
            return
        with self._lock:
            if self._memory is None:
                self._memory = mmap.mmap(-1, self._slots * BLOCK_BYTES)
                self._free = list(range(self._slots))[::-1]
            self._drop(self._held.pop((key, index), None))
            if not self._free:
                self._drop(self._held.popitem(last=False)[1])
            slot = self._free.pop()
            self._memory[slot * BLOCK_BYTES : slot * BLOCK_BYTES + len(block)] = block
            self._held[key, index] = slot, len(block)
            self._size_bytes += len(block)

    def _drop(self, held: tuple[int, int] | None) -> None:
        if held is not None:
            slot, length = held
            self._free.append(slot)
            self._size_bytes -= length

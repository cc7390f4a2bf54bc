"""Readers that open what they read when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable

from backend.queue.executor import Hold
from backend.storage.base import Source
from backend.storage.range_reader import RangeReader


class LazyReader:
    """The source's bytes; it is opened by whoever first asks for them."""

    def __init__(self, open_reader: Callable[[], RangeReader], moved: Callable[[], None] = lambda: None) -> None:
        """`moved` hears of every read that came back."""
        self._open = open_reader
        self._moved = moved
        self._opened: RangeReader | None = None

    @property
    def size_bytes(self) -> int:
        return self._reader.size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        data = self._reader.read_at(offset, length)
        self._moved()
        return data

    @property
    def bytes_fetched(self) -> int:
        return self._opened.bytes_fetched if self._opened else 0

    @property
    def _reader(self) -> RangeReader:
        if self._opened is None:
            self._opened = self._open()
        return self._opened


def further_inputs(open_input: Callable[[str], Source], hold: Hold) -> Callable[[str], LazyReader]:
    """Opens what the parameters name beside the source. Bytes that come from there are progress too."""
    return lambda uri: LazyReader(lambda: RangeReader(open_input(uri)), hold.watch.moved)

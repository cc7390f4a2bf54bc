"""RangeReader gives the source's bytes, asks for few of them twice, and holds a bounded number."""

from __future__ import annotations

import io
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import SourceChanged
from backend.storage.base import ObjectInfo
from backend.storage.block_cache import BLOCK_BYTES, BlockCache
from backend.storage.range_reader import MAX_READ_AHEAD_BYTES, RangeReader


class BytesSource:
    """A source in memory that keeps what it was asked for."""

    def __init__(self, data: bytes, uri: str = "memory://a", etag: str = "1") -> None:
        self.data = data
        self.uri = uri
        self.info = ObjectInfo(len(data), etag)
        self.requests: list[tuple[int, int]] = []

    def read_at(self, offset: int, length: int) -> bytes:
        self.requests.append((offset, length))
        return self.data[offset : offset + length]

    @property
    def bytes_asked(self) -> int:
        return sum(length for _, length in self.requests)


DATA = random.Random(7).randbytes(5 * BLOCK_BYTES + 321)
LARGE = random.Random(8).randbytes(64 * BLOCK_BYTES)
near_block_edges = st.builds(
    lambda block, delta: max(0, block * BLOCK_BYTES + delta), st.integers(0, 6), st.integers(-400, 400)
)
offsets = st.one_of(near_block_edges, st.integers(0, len(DATA) + 1000))
lengths = st.one_of(st.integers(0, 300), near_block_edges)


@given(reads=st.lists(st.tuples(offsets, lengths), max_size=30), cache_blocks=st.integers(0, 8))
def test_reads_equal_the_bytes_whatever_the_cache_holds(reads: list[tuple[int, int]], cache_blocks: int) -> None:
    cache = BlockCache(cache_blocks * BLOCK_BYTES)
    source = BytesSource(DATA)
    reader = RangeReader(source, cache)
    for offset, length in reads:
        assert reader.read_at(offset, length) == DATA[offset : offset + length]
        assert cache.size_bytes <= cache_blocks * BLOCK_BYTES
    assert reader.bytes_fetched == source.bytes_asked
    assert all(offset + length <= len(DATA) and length > 0 for offset, length in source.requests)


@given(st.lists(st.tuples(st.sampled_from(["read", "set", "cur", "end"]), st.integers(-500, 200_000)), max_size=30))
def test_file_object_behaves_like_a_file(steps: list[tuple[str, int]]) -> None:
    ours, real = RangeReader(BytesSource(DATA)).as_file(), io.BytesIO(DATA)
    for step, number in steps:
        if step == "read":
            assert ours.read(number) == real.read(number)
        else:
            whence = ["set", "cur", "end"].index(step)
            base = [0, real.tell(), len(DATA)][whence]
            if base + number >= 0:
                assert ours.seek(number, whence) == real.seek(number, whence)
        assert ours.tell() == real.tell()


@given(st.lists(st.tuples(offsets, lengths), max_size=20))
def test_nothing_is_fetched_twice_while_the_cache_has_room(reads: list[tuple[int, int]]) -> None:
    source = BytesSource(DATA)
    reader = RangeReader(source)
    for offset, length in reads:
        reader.read_at(offset, length)
    assert source.bytes_asked <= len(DATA)


def test_neighbouring_missing_blocks_are_one_request() -> None:
    source = BytesSource(DATA)
    reader = RangeReader(source)
    reader.read_at(10, 3 * BLOCK_BYTES)
    assert source.requests == [(0, 4 * BLOCK_BYTES)]


def test_cached_block_between_missing_ones_is_not_fetched_again() -> None:
    source = BytesSource(LARGE)
    reader = RangeReader(source)
    reader.read_at(2 * BLOCK_BYTES, 10)
    reader.read_at(50 * BLOCK_BYTES, 10)  # ends the run, so that nothing is read ahead below
    source.requests.clear()
    assert reader.read_at(0, 5 * BLOCK_BYTES) == LARGE[: 5 * BLOCK_BYTES]
    assert source.requests == [(0, 2 * BLOCK_BYTES), (3 * BLOCK_BYTES, 2 * BLOCK_BYTES)]


def test_a_lone_read_fetches_no_block_ahead() -> None:
    source = BytesSource(DATA)
    RangeReader(source).read_at(BLOCK_BYTES, 10)
    assert source.requests == [(BLOCK_BYTES, BLOCK_BYTES)]


def test_a_run_takes_few_requests_and_wastes_at_most_a_24th() -> None:
    data = bytes(64 * 1024 * 1024)
    for stop in (1, 3, 10, 40):
        source = BytesSource(data)
        reader = RangeReader(source)
        wanted = stop * 1024 * 1024
        for offset in range(0, wanted, 32 * 1024):
            reader.read_at(offset, 32 * 1024)
        assert wanted <= reader.bytes_fetched <= wanted * 25 / 24 + BLOCK_BYTES
        assert len(source.requests) < 100
        assert max(length for _, length in source.requests) <= MAX_READ_AHEAD_BYTES + BLOCK_BYTES


def test_interleaved_streams_are_one_run() -> None:
    source = BytesSource(bytes(8 * 1024 * 1024))
    reader = RangeReader(source)
    for start in range(0, 4 * 1024 * 1024, 100_000):
        reader.read_at(start + 40_000, 60_000)  # video, then the audio that lies before it
        reader.read_at(start, 40_000)
    sequential = BytesSource(bytes(8 * 1024 * 1024))
    plain = RangeReader(sequential)
    for start in range(0, 4 * 1024 * 1024, 50_000):
        plain.read_at(start, 50_000)
    assert len(source.requests) <= len(sequential.requests) * 1.25
    assert reader.bytes_fetched <= 4 * 1024 * 1024 * 25 / 24 + 2 * BLOCK_BYTES


def test_a_jump_starts_a_new_run_with_no_read_ahead() -> None:
    source = BytesSource(bytes(32 * 1024 * 1024))
    reader = RangeReader(source)
    for offset in range(0, 8 * 1024 * 1024, BLOCK_BYTES):
        reader.read_at(offset, BLOCK_BYTES)
    reader.read_at(20 * 1024 * 1024, 100)
    assert source.requests[-1] == (20 * 1024 * 1024, BLOCK_BYTES)


def test_readers_of_one_version_share_what_was_fetched() -> None:
    cache = BlockCache()
    RangeReader(BytesSource(DATA), cache).read_at(0, len(DATA))
    second = BytesSource(DATA)
    assert RangeReader(second, cache).read_at(0, len(DATA)) == DATA
    assert second.requests == []


@pytest.mark.parametrize(("uri", "etag"), [("memory://b", "1"), ("memory://a", "2")])
def test_other_versions_and_other_sources_never_mix(uri: str, etag: str) -> None:
    cache = BlockCache()
    RangeReader(BytesSource(DATA), cache).read_at(0, 100)
    other = BytesSource(bytes(1000), uri, etag)
    assert RangeReader(other, cache).read_at(0, 100) == bytes(100)


def test_cache_drops_the_least_recently_used_block() -> None:
    source = BytesSource(LARGE)
    reader = RangeReader(source, BlockCache(2 * BLOCK_BYTES))
    for block in (0, 20, 0, 40):  # 40 pushes out 20, since 0 was used after it
        reader.read_at(block * BLOCK_BYTES, 1)
    source.requests.clear()
    reader.read_at(0, 1)
    assert source.requests == []
    reader.read_at(20 * BLOCK_BYTES, 1)
    assert source.requests == [(20 * BLOCK_BYTES, BLOCK_BYTES)]


def test_a_block_larger_than_the_cache_is_not_held() -> None:
    cache = BlockCache(100)
    assert RangeReader(BytesSource(DATA), cache).read_at(0, len(DATA)) == DATA
    assert cache.size_bytes == 0


def test_threads_share_a_reader_and_fetch_each_block_once() -> None:
    source = BytesSource(DATA)
    reader = RangeReader(source)
    start = threading.Barrier(8)

    def read_all(_: int) -> bytes:
        start.wait()
        return b"".join(reader.read_at(offset, 1000) for offset in range(0, len(DATA), 1000))

    with ThreadPoolExecutor(8) as pool:
        assert all(data == DATA for data in pool.map(read_all, range(8)))
    assert source.bytes_asked <= len(DATA)


def test_a_source_that_shrank_is_a_changed_source() -> None:
    source = BytesSource(DATA)
    reader = RangeReader(source)
    source.data = DATA[:100]
    with pytest.raises(SourceChanged):
        reader.read_at(0, 1000)


def test_negative_positions_are_refused() -> None:
    reader = RangeReader(BytesSource(DATA))
    with pytest.raises(ValueError, match="negative"):
        reader.read_at(-1, 5)
    with pytest.raises(OSError, match="before the start"):
        reader.as_file().seek(-1, os.SEEK_SET)


def test_empty_source_reads_as_nothing() -> None:
    source = BytesSource(b"")
    assert RangeReader(source).as_file().read() == b""
    assert source.requests == []

"""Which packets of sound and subtitles belong to a piece of a film, and whether two pieces meet. Child process only.

A packet belongs to the piece that holds its time, so each is in exactly one, however sound and pictures are
interleaved. What one reader saw just past its piece has to be what its neighbour began with: then none fell between.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.audio.stream import AudioStream
from av.packet import Packet
from pydantic import BaseModel, ConfigDict

from backend.media.decode import Companion
from backend.media.pieces import Span


class Trace(BaseModel):
    """Enough of a packet to know it again: its decode time in the stream's ticks, its size, CRC-32 of its bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dts: int | None
    size: int
    crc: int


class Edge(BaseModel):
    """Of one stream of sound: the packets at both ends of the piece, and those just outside, where they were seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: Trace | None
    first: Trace | None
    last: Trace | None
    after: Trace | None


@dataclass
class _Seen:
    time_sec: Fraction | None = None
    before: Packet[Any] | None = None
    first: Packet[Any] | None = None
    last: Packet[Any] | None = None
    after: Packet[Any] | None = None


class Sieve:
    """Hands on what belongs to the span. Until `settle` everything is held back: a seek may have landed too late."""

    def __init__(
        self,
        span: Span,
        time_base: Fraction,
        companions: Sequence[Companion],
        put: Callable[[Packet[Companion]], None],
        margin_sec: Fraction,
    ) -> None:
        """`margin_sec`: how much before the span the first packet of sound has to lie for its successors to have the
        times that they have for a reader from the beginning."""
        self._start_sec = None if span.lead_pts is None else span.start_pts * time_base
        self._end_sec = None if span.end_pts is None else span.end_pts * time_base
        self._sound = {stream.index for stream in companions if isinstance(stream, AudioStream)}
        self._put = put
        self._margin_sec = margin_sec
        self._held: list[Packet[Companion]] | None = []
        self._seen: defaultdict[int, _Seen] = defaultdict(_Seen)
        self.sound_on_its_way = 0  # packets so far of streams that are not past the span's end

    def restart(self) -> None:
        """The reader seeks again: what it handed over is void."""
        self._held = []

    def begins_early(self) -> bool:
        """Whether every stream of sound seen so far was seen early enough: so that the packet before the first one, if
        it was as long, is not the span's."""
        if self._start_sec is None or self._held is None:
            return True
        first: dict[int, Packet[Companion]] = {}
        for packet in self._held:
            if packet.stream.index in self._sound:
                first.setdefault(packet.stream.index, packet)
        wanted_sec = self._start_sec - self._margin_sec
        return all(_would_follow(packet, wanted_sec) for packet in first.values())

    def settle(self) -> None:
        """The reader stands where it should."""
        held, self._held = self._held or [], None
        for packet in held:
            self._sift(packet)

    def take(self, packet: Packet[Companion]) -> None:
        if self._held is not None:
            self._held.append(packet)
        else:
            self._sift(packet)

    def is_past(self) -> bool:
        """Whether all sound of the span has been seen."""
        return self._end_sec is not None and all(self._seen[index].after is not None for index in self._sound)

    def edges(self) -> dict[int, Edge]:
        return {index: _edge(self._seen[index]) for index in self._sound}

    def _sift(self, packet: Packet[Companion]) -> None:
        if not packet.size and packet.dts is None:
            return  # the end of the file
        seen = self._seen[packet.stream.index]
        when_sec = time_sec(packet)
        # A packet without a time goes with the one before it.
        seen.time_sec = when_sec = seen.time_sec if when_sec is None else when_sec
        self.sound_on_its_way += packet.stream.index in self._sound and seen.after is None
        if self._start_sec is not None and (when_sec is None or when_sec < self._start_sec):
            seen.before = packet
        elif self._end_sec is not None and when_sec is not None and when_sec >= self._end_sec:
            seen.after = seen.after or packet
        else:
            seen.first, seen.last = seen.first or packet, packet
            self._put(packet)


def time_sec(packet: Packet[Any]) -> Fraction | None:
    ticks = packet.pts if packet.dts is None else packet.dts
    return None if ticks is None or not packet.time_base else ticks * packet.time_base


def meets(edges: Sequence[Edge]) -> bool:
    """Whether the pieces, in order, hold every packet of a stream once, as far as they can tell."""
    last: Trace | None = None
    promised: Trace | None = None  # what a piece saw past its end
    for edge in edges:
        if edge.before is not None and edge.before != last:
            return False  # somebody before should have had it
        if edge.first is not None:
            if promised is not None and edge.first != promised:
                return False
            last, promised = edge.last, None
        promised = edge.after or promised
    return True


def _would_follow(packet: Packet[Any], seconds: Fraction) -> bool:
    """Whether the packet before it, if it was as long, began before that time."""
    when_sec = time_sec(packet)
    return when_sec is not None and when_sec - (packet.duration or 0) * packet.time_base < seconds


def _edge(seen: _Seen) -> Edge:
    return Edge(**{name: _trace(getattr(seen, name)) for name in ("before", "first", "last", "after")})


def _trace(packet: Packet[Any] | None) -> Trace | None:
    return None if packet is None else Trace(dts=packet.dts, size=packet.size, crc=zlib.crc32(bytes(packet)))

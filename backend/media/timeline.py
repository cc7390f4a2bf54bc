"""One clock for a recording whose own clock jumps, as transport streams that were joined do. Child process only.

Packets are shifted before they are decoded. Where the picture's clock jumps, a new stretch begins: its first picture
follows on the last one of the stretch before, and sound and subtitles of the stretch move with it. The picture alone
decides, so whoever reads the pictures only lays them as whoever reads everything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from av.packet import Packet

# Decode times rise. Back by more than this, or ahead by more than that, is another clock; the ffmpeg command has it so.
BACK_SEC = Fraction(1, 10)
AHEAD_SEC = Fraction(10)
# Sound that jumps before the picture waits for it; a jump of its own alone is not worth waiting for longer.
HELD_PACKETS = 512
FALLBACK_STEP_SEC = Fraction(1, 25)


def jumps(last_sec: Fraction, now_sec: Fraction) -> bool:
    """Whether one stream's decode times, one after the other, belong to two clocks."""
    return now_sec < last_sec - BACK_SEC or now_sec > last_sec + AHEAD_SEC


@dataclass
class _Stream:
    """How far one stream has come: in which stretch it is, and its last decode time on the recording's clock."""

    stretch: int = 0
    last_sec: Fraction | None = None
    held: list[Packet[Any]] = field(default_factory=list)


class Timeline:
    """Feed it every packet in the order of the file; it gives them back, shifted, in that order but for sound that has
    to wait for its picture."""

    def __init__(self, video_index: int) -> None:
        self._video_index = video_index
        self._shift_sec = [Fraction(0)]  # of each stretch
        self._end_sec: Fraction | None = None  # of the latest picture, on the new clock
        self._step_sec = FALLBACK_STEP_SEC
        self._streams: defaultdict[int, _Stream] = defaultdict(_Stream)

    @property
    def jumps(self) -> int:
        """How often the picture's clock has jumped so far."""
        return len(self._shift_sec) - 1

    def laid(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """The packets that are ready now; empty ones (the flush at the end) pass as they are."""
        stream = self._streams[packet.stream.index]
        if packet.stream.index == self._video_index:
            # Where the decode time is missing, the time of showing says nothing: pictures are shown in another order.
            yield from self._lay_picture(packet, stream, _seconds(packet, packet.dts))
            return
        now_sec = _seconds(packet, packet.pts if packet.dts is None else packet.dts)
        if now_sec is not None:
            if stream.last_sec is not None and jumps(stream.last_sec, now_sec):
                stream.stretch += 1
            stream.last_sec = now_sec
        if stream.stretch > self.jumps and now_sec is not None:
            stream.held.append(packet)
            if len(stream.held) > HELD_PACKETS:  # the picture did not jump with it
                stream.stretch = self.jumps
                yield from self._released(stream)
            return
        yield self._shifted(packet, stream.stretch)

    def rest(self) -> Iterator[Packet[Any]]:
        """At the end: what still waits for a picture that never came."""
        for stream in self._streams.values():
            stream.stretch = min(stream.stretch, self.jumps)
            yield from self._released(stream)

    def _lay_picture(self, packet: Packet[Any], stream: _Stream, now_sec: Fraction | None) -> Iterator[Packet[Any]]:
        begins = now_sec is not None and stream.last_sec is not None and jumps(stream.last_sec, now_sec)
        if now_sec is not None:
            if stream.last_sec is not None and 0 < now_sec - stream.last_sec <= 1:
                self._step_sec = now_sec - stream.last_sec
            stream.last_sec = now_sec
        shown_sec = _seconds(packet, packet.pts)
        if begins and shown_sec is not None:
            stream.stretch += 1
            # A stretch begins with a keyframe, which is shown first.
            self._shift_sec.append((self._end_sec or Fraction(0)) - shown_sec)
        yield (shifted := self._shifted(packet, stream.stretch))
        if (new_sec := _seconds(shifted, shifted.pts)) is not None:
            end_sec = new_sec + self._step_sec
            self._end_sec = end_sec if self._end_sec is None else max(self._end_sec, end_sec)
        if begins:
            for waiting in self._streams.values():
                if waiting.held and waiting.stretch <= self.jumps:
                    yield from self._released(waiting)

    def _released(self, stream: _Stream) -> Iterator[Packet[Any]]:
        held, stream.held = stream.held, []
        for packet in held:
            yield self._shifted(packet, stream.stretch)

    def _shifted(self, packet: Packet[Any], stretch: int) -> Packet[Any]:
        shift_sec = self._shift_sec[min(stretch, self.jumps)]
        if shift_sec and packet.time_base:
            ticks = round(shift_sec / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        return packet


def _seconds(packet: Packet[Any], ticks: int | None) -> Fraction | None:
    return None if ticks is None or not packet.time_base else ticks * packet.time_base

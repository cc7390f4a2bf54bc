"""What a pass over a video's packets tells, where the container's own words are none or not to be believed. Nothing is
decoded. Child process only."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from backend.media.timeline import Timeline


@dataclass
class Scan:
    """PTS are on one timeline. `end_pts`: of the last frame, with how long it stays; `end_sec`: of whatever ends last,
    sound too, on the file's own clock."""

    first_pts: int | None = None
    end_sec: float = 0.0
    end_pts: int | None = None
    clock_jumps: int = 0
    frames: int = 0
    keyframe_pts: list[int] = field(default_factory=list)

    def note(self, pts: int, duration: int, *, is_keyframe: bool) -> None:
        self.frames += 1
        self.first_pts = pts if self.first_pts is None else min(self.first_pts, pts)
        self.end_pts = pts + duration if self.end_pts is None else max(self.end_pts, pts + duration)
        if is_keyframe:
            self.keyframe_pts.append(pts)


def scan(container: InputContainer, stream: VideoStream) -> Scan:
    """Reads the file from where the container stands to its end, once. A torn end ends it too: what came before is the
    video."""
    found = Scan()
    timeline = Timeline(stream.index)
    step = 1
    last_dts: int | None = None
    try:
        for raw in container.demux():
            if raw.pts is not None and raw.time_base:
                found.end_sec = max(found.end_sec, float((raw.pts + (raw.duration or 0)) * raw.time_base))
            if raw.stream.index != stream.index:
                continue
            for packet in timeline.laid(raw):
                if packet.pts is None or not packet.size:
                    continue
                if last_dts is not None and packet.dts is not None and packet.dts - last_dts > 0:
                    step = packet.dts - last_dts
                last_dts = packet.dts
                found.note(packet.pts, packet.duration or step, is_keyframe=packet.is_keyframe)
    except av.error.FFmpegError:
        pass
    found.clock_jumps = timeline.jumps
    return found


def thinned(keyframe_pts: list[int], time_base: Fraction, gap_sec: float, limit: int) -> list[int]:
    """At least `gap_sec` apart, at most `limit` of them."""
    kept: list[int] = []
    gap = Fraction(gap_sec) / time_base
    for pts in sorted(keyframe_pts):
        if not kept or pts - kept[-1] >= gap:
            kept.append(pts)
    return kept[:limit]

"""Cuts a video into half-open PTS intervals."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from backend.media.facts import VideoFacts

# A boundary moves at most this far to meet a keyframe, so that its worker need not decode what is not its own.
KEYFRAME_REACH = Fraction(1, 5)
# A last piece shorter than this part of a chunk (or than a second) joins the one before.
SHORTEST_PIECE = Fraction(1, 20)
MAX_CHUNKS = 10_000


@dataclass(frozen=True)
class Segment:
    """One chunk's interval: PTS half-open, seconds counted from the first frame."""

    index: int
    start_pts: int
    end_pts: int
    start_sec: float
    end_sec: float


def cut(facts: VideoFacts, chunk_seconds: float) -> list[Segment]:
    """Intervals that follow on one another from the first frame to the end the container promises.

    The first and the last worker also take frames from before and after, should the container have promised wrongly.
    """
    time_base = facts.time_base_fraction
    duration_pts = max(1, facts.duration_pts or 1)
    # A header may promise centuries: longer chunks then, so that their rows stay few.
    step = max(1, round(Fraction(chunk_seconds) / time_base), -(-duration_pts // MAX_CHUNKS))
    end_pts = facts.start_pts + duration_pts
    bounds = [facts.start_pts]
    target = facts.start_pts + step
    shortest = min(round(step * SHORTEST_PIECE), round(1 / time_base))
    while end_pts - target > shortest:
        bound = _near_keyframe(target, facts.keyframe_pts, round(step * KEYFRAME_REACH))
        # An index may go on past the end that the header promises.
        bounds.append(bound if end_pts - bound > shortest else target)
        target += step
    bounds.append(end_pts)
    return [
        Segment(i, start, end, _seconds(start, facts), _seconds(end, facts))
        for i, (start, end) in enumerate(pairwise(bounds))
    ]


def _seconds(pts: int, facts: VideoFacts) -> float:
    return round(float((pts - facts.start_pts) * facts.time_base_fraction), 6)


def _near_keyframe(target: int, keyframe_pts: list[int], reach: int) -> int:
    position = bisect_left(keyframe_pts, target)
    near = keyframe_pts[max(0, position - 1) : position + 1]
    best = min(near, key=lambda pts: abs(pts - target), default=target)
    return best if abs(best - target) <= reach else target

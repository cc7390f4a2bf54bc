"""Divides a video into half-open PTS intervals."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from backend.media.facts import VideoFacts
from backend.media.timebase import SampleGrid

# A boundary moves at most this far to meet a keyframe, so that its worker need not decode what is not its own.
KEYFRAME_REACH = Fraction(1, 5)
# A last piece shorter than this part of a chunk (or than a second) joins the one before.
SHORTEST_PIECE = Fraction(1, 20)
# Far from a keyframe a boundary costs its worker so much decoding of what is not its own, or a chunk's length.
DECODED_AGAIN_SEC = 10
MAX_CHUNKS = 10_000


@dataclass(frozen=True)
class Segment:
    """One chunk's interval: PTS half-open, seconds counted from the first frame."""

    index: int
    start_pts: int
    end_pts: int
    start_sec: float
    end_sec: float


def divided(
    facts: VideoFacts, chunk_seconds: float, most: int = MAX_CHUNKS, sample_fps: float | None = None
) -> list[Segment]:
    """Intervals that follow on one another from the first frame to the end the container promises, at most `most`.

    A chunk ends at the keyframe nearest to its mark; where they are sparse at the mark itself, or, far from the last
    one, at the next one. Every worker decodes from the keyframe before its chunk, so with many boundaries far from one
    the cost would grow with the square of the length; and where a clock runs on over nothing, no chunk lies.
    Where frames are sampled, a boundary lies at the edge of a cell of the grid: each chunk then samples the very frames
    that one pass over the whole would.
    The first and the last worker also take frames from before and after, should the container have promised wrongly.
    """
    time_base = facts.time_base_fraction
    duration_pts = max(1, facts.duration_pts or 1)
    # A header may promise centuries: longer chunks then, so that their rows stay few.
    step = max(1, round(Fraction(chunk_seconds) / time_base), -(-duration_pts // most))
    end_pts = facts.start_pts + duration_pts
    shortest = min(round(step * SHORTEST_PIECE), round(1 / time_base))
    bounds = [facts.start_pts]
    for bound in [] if facts.reads_on else _marks(facts, step, end_pts):
        bound = bound if sample_fps is None else SampleGrid(facts.start_pts, time_base, sample_fps).edge_from(bound)
        if end_pts - bound > shortest and bound > bounds[-1]:
            bounds.append(bound)
    bounds.append(end_pts)
    return [
        Segment(i, start, end, _seconds(start, facts), _seconds(end, facts))
        for i, (start, end) in enumerate(pairwise(bounds))
    ]


def _marks(facts: VideoFacts, step: int, end_pts: int) -> Iterator[int]:
    """Where chunks end, rising, between the start and the end."""
    reach = round(step * KEYFRAME_REACH)
    farthest = max(step, round(DECODED_AGAIN_SEC / facts.time_base_fraction))
    target = facts.start_pts + step
    while target < end_pts:
        bound = _bound_near(target, facts.keyframe_pts, reach, farthest) if facts.keyframe_pts else target
        if bound is None or bound >= end_pts:
            return
        yield bound
        # Marks do not drift: only a keyframe out of reach moves those after it.
        target = target + step if abs(bound - target) <= reach else bound + step


def _seconds(pts: int, facts: VideoFacts) -> float:
    return round(float((pts - facts.start_pts) * facts.time_base_fraction), 6)


def _bound_near(target: int, keyframe_pts: list[int], reach: int, farthest: int) -> int | None:
    """The keyframe nearest to the mark if one is in reach; else the mark, if no more than `farthest` has to be decoded
    to get there; else the next keyframe, None where there is none."""
    position = bisect_left(keyframe_pts, target)
    near = keyframe_pts[max(0, position - 1) : position + 1]
    best = min(near, key=lambda pts: abs(pts - target))
    if abs(best - target) <= reach:
        return best
    if position and target - keyframe_pts[position - 1] <= farthest:
        return target
    return keyframe_pts[position] if position < len(keyframe_pts) else None

"""The time a picture takes to pass from one person to another within a shot, as a camera operator would pan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A step of the subject below this share of the frame width needs no pan.
_STEP_RATIO = 0.04
# A pan of d frame widths takes sqrt(d / this) s: a minimum-jerk move of that length accelerates by at most 5.8 times
# this much (Flash and Hogan 1985), here half a frame width per s2.
_PACE_PER_SEC2 = 0.085
# Of the time that either person is there, a pan takes at most this share.
_LARGEST_SHARE = 0.4


@dataclass(frozen=True)
class Passage:
    """The frames [start, stop) of a pan, from what is seen on frame `last` to what is seen on frame `first`."""

    start: int
    stop: int
    last: int
    first: int


def passages(
    boxes: NDArray[np.float64], edges: Iterable[int], times_sec: NDArray[np.float64], frame_width: int
) -> Iterator[Passage]:
    """Where the picture passes on, around the rows `edges` where people come into `boxes` (n, 4) or go.

    A gap without anybody counts towards the pan's time; what it lacks is taken from both sides alike.
    """
    known = np.flatnonzero(np.isfinite(boxes[:, 0]))
    inner = sorted({edge for edge in edges if len(known) and known[0] < edge <= known[-1]})
    limits = [0, *inner, len(boxes)]
    for before, edge, after in zip(limits, inner, limits[2:], strict=False):
        at = int(np.searchsorted(known, edge))
        last, first = int(known[at - 1]), int(known[at])
        lacking_sec = _pan_sec(boxes[last], boxes[first], frame_width) - float(times_sec[first] - times_sec[last])
        if lacking_sec <= 0:
            continue
        out_sec = min(lacking_sec / 2, _LARGEST_SHARE * float(times_sec[last] - times_sec[min(before, last)]))
        in_sec = min(lacking_sec / 2, _LARGEST_SHARE * float(times_sec[min(after, len(boxes)) - 1] - times_sec[first]))
        start = int(np.searchsorted(times_sec, times_sec[last] - out_sec, side="right"))
        yield Passage(start, int(np.searchsorted(times_sec, times_sec[first] + in_sec, side="left")), last, first)


def _pan_sec(before: NDArray[np.float64], after: NDArray[np.float64], frame_width: int) -> float:
    step = np.abs((before[:2] + before[2:]) - (after[:2] + after[2:])) / 2
    ratio = float(np.hypot(step[0], step[1])) / frame_width
    return float(np.sqrt(ratio / _PACE_PER_SEC2)) if ratio > _STEP_RATIO else 0.0

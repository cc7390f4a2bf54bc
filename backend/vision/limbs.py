"""People without what they stretch out for a moment: a limb alone is no reason to move the picture."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from backend.vision.window import Floats

_GRID_SEC = 0.1
# Where the body is: the median of the box's middle over this time, which a step to the side moves and an arm does not.
_AXIS_SEC = 1.5
# How far the body reaches on either side: what the box does for most of this time.
_REACH_SEC, _REACH_QUANTILE = 1.5, 0.6
# Longer gaps are nobody's.
_GAP_SEC = 0.5


@dataclass(frozen=True, eq=False)
class Bodies:
    """What has to be held of the subject on each frame: its box without limbs (n_frames, 4), whether it is one person
    alone (n_frames,), and that one's head (n_frames, 4), of several where one of their size would have it; `aims`
    (n_frames, 2): where the window's centre would best be, NaN where that is open."""

    cores: Floats
    alone: NDArray[np.bool_]
    heads: Floats
    aims: Floats | None = None


def without_limbs(boxes: Floats, times_sec: Floats) -> Floats:
    """The boxes (n, 4) of one person on frames at `times_sec`, narrowed along x to what the body fills most of the
    time.

    Never wider than the box itself; its middle quarter is always kept.
    """
    if not len(boxes):
        return boxes.copy()
    found = boxes.copy()
    apart = np.diff(times_sec, prepend=-np.inf) > _GAP_SEC
    edges = [*np.flatnonzero(apart).tolist(), len(boxes)]
    for start, stop in pairwise(edges):
        found[start:stop] = _narrowed(boxes[start:stop], times_sec[start:stop])
    return found


def _narrowed(boxes: Floats, times_sec: Floats) -> Floats:
    grid = np.arange(times_sec[0], times_sec[-1] + _GRID_SEC, _GRID_SEC)
    sides = [np.interp(grid, times_sec, boxes[:, column]) for column in (0, 2)]
    axis = _rolling((sides[0] + sides[1]) / 2, _AXIS_SEC, 0.5)
    reaches = [_rolling(reach, _REACH_SEC, _REACH_QUANTILE) for reach in (axis - sides[0], sides[1] - axis)]
    left, right = (np.interp(times_sec, grid, side) for side in (axis - reaches[0], axis + reaches[1]))
    middle, kept = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 2] - boxes[:, 0]) / 8
    found = boxes.copy()
    found[:, 0] = np.clip(left, boxes[:, 0], middle - kept)
    found[:, 2] = np.clip(right, middle + kept, boxes[:, 2])
    return found


def _rolling(values: Floats, length_sec: float, quantile: float) -> Floats:
    """The quantile of the values around each one; beyond the ends they go on as they were."""
    half = min(round(length_sec / 2 / _GRID_SEC), (len(values) - 1) // 2)
    around = sliding_window_view(np.pad(values, half, mode="reflect", reflect_type="odd"), 2 * half + 1)
    return np.asarray(np.partition(around, int(quantile * 2 * half), axis=1)[:, int(quantile * 2 * half)])

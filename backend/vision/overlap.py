"""Which boxes are of one thing, though two looked at it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.vision.stitch import pairwise_iou


def best_at_same_time(
    pts: NDArray[np.int64],
    boxes: NDArray[np.float64],
    other_pts: NDArray[np.int64],
    others: NDArray[np.float64],
    least_iou: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For the boxes (n, 4) at `pts` the one of the `others` (m, 4), sorted by their times, that overlaps most at the
    same time: the numbers of those that have one (k,), and of which it is (k,)."""
    low, high = np.searchsorted(other_pts, pts), np.searchsorted(other_pts, pts, side="right")
    count = high - low
    rows = np.repeat(np.arange(len(pts)), count)
    candidates = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    iou = pairwise_iou(boxes[rows], others[candidates])
    order = np.lexsort((iou, rows))
    best = order[np.flatnonzero(np.diff(rows[order], append=-1))]  # of each row the last, which is the largest
    best = best[iou[best] >= least_iou]
    return rows[best], candidates[best]

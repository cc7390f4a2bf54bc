"""How far boxes lie on one another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iou_of_pairs(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union (n,) of each pair of boxes (n, 4)."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    whole = np.prod(first[:, 2:] - first[:, :2], axis=1) + np.prod(second[:, 2:] - second[:, :2], axis=1) - shared
    return np.asarray(shared / np.maximum(whole, 1e-9))


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
    iou = iou_of_pairs(boxes[rows], others[candidates])
    order = np.lexsort((iou, rows))
    best = order[np.flatnonzero(np.diff(rows[order], append=-1))]  # of each row the last, which is the largest
    best = best[iou[best] >= least_iou]
    return rows[best], candidates[best]

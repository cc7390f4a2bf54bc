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

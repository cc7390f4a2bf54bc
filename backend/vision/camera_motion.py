"""How the camera moved between two pictures: a shift, a turn and a zoom of what stands still.

Corners followed by Lucas and Kanade's method, the rest by RANSAC, as trackers compensate it (BoT-SORT, Aharon et al.
2022).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.vision.ground import STILL, Floats, Move

_WIDE_PX = 240  # of the pictures that are compared
_CORNERS, _QUALITY, _APART_PX = 80, 0.01, 6
_LEAST_CORNERS = 12  # below that nobody knows
_LEAST_SHARE = 0.4  # of the corners that went along
_REPROJECTED_PX = 1.5
_PYRAMID = 3
_MOST_CHANGE, _MOST_SHIFT = 0.3, 5.0  # of size, or as a sine; in picture widths
_LEAST_PX = 0.15  # less is a still camera's noise


class CameraMotion:
    """Takes a film's sampled pictures in order."""

    def __init__(self) -> None:
        self._before: NDArray[np.uint8] | None = None
        self._corners: NDArray[np.float32] | None = None

    def take(self, picture: NDArray[np.uint8], boxes: Floats) -> Move:
        """Since the picture before; STILL where that is not known. `boxes` (n, 4): what moves by itself."""
        scale = _WIDE_PX / picture.shape[1]
        size = (_WIDE_PX, max(2, round(picture.shape[0] * scale)))
        grey = np.asarray(
            cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY), np.uint8
        )
        before, corners = self._before, self._corners
        self._before, self._corners = grey, _corners(grey, boxes * scale)
        if before is None or corners is None or before.shape != grey.shape:
            return STILL
        return _moved(before, grey, corners)


def _corners(grey: NDArray[np.uint8], boxes: Floats) -> NDArray[np.float32] | None:
    ground = np.full(grey.shape, 255, np.uint8)
    for left, top, right, bottom in boxes.astype(int):
        ground[max(0, top) : bottom + 1, max(0, left) : right + 1] = 0
    found = cv2.goodFeaturesToTrack(grey, _CORNERS, _QUALITY, _APART_PX, mask=ground)
    return None if found is None or len(found) < _LEAST_CORNERS else np.asarray(found, np.float32)


def _moved(before: NDArray[np.uint8], now: NDArray[np.uint8], corners: NDArray[np.float32]) -> Move:
    places, status, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, corners.copy(), maxLevel=_PYRAMID)
    went = status.ravel() == 1
    if went.sum() < _LEAST_CORNERS:
        return STILL
    first, second = corners[went, 0], places[went, 0]
    move, inliers = cv2.estimateAffinePartial2D(first, second, ransacReprojThreshold=_REPROJECTED_PX)
    if move is None or inliers.mean() < _LEAST_SHARE:
        return STILL
    if np.abs(second - first)[inliers.ravel() == 1].mean() < _LEAST_PX:
        return STILL
    a, b = move[0, 0] - 1, move[1, 0]
    x, y = move[:, 2] / _WIDE_PX
    if not (np.abs([a, b]) <= _MOST_CHANGE).all() or not (np.abs([x, y]) <= _MOST_SHIFT).all():  # another shot, or NaN
        return STILL
    return float(a), float(b), float(x), float(y)

"""How somebody looks in one picture: the colours of their head, chest, hips and legs, in a few bytes.

Histograms of Lab in horizontal stripes, as in the symmetry-driven features of Farenzena et al. (CVPR 2010), the middle
of the box counting for more than its sides, where the background is. Square roots, so that the distance between two is
Hellinger's.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.vision.looks_record import BINS, LARGEST, LOOKS_BYTES, STRIPES

_HIGH_PX, _WIDE_PX = 8 * STRIPES, 16  # a person as they are looked at
_SIDE_RATIO = 0.15  # of the box on either side, which is mostly background
# Lightness, and red or green, yellow or blue: people's clothes do not reach further.
_LOWEST, _RANGE = np.array([0.0, -40.0, -40.0], np.float32), np.array([100.0, 80.0, 80.0], np.float32)


def looks_in(picture: NDArray[np.uint8], boxes: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(n, LOOKS_BYTES) of the people in the boxes (n, 4), in pixels of the BGR picture; zeros for a box outside it."""
    found = np.zeros((len(boxes), LOOKS_BYTES), np.uint8)
    parts = {row: part for row, box in enumerate(boxes) if (part := _part(picture, box)).size}
    if parts:
        small = [cv2.resize(part, (_WIDE_PX, _HIGH_PX), interpolation=cv2.INTER_AREA) for part in parts.values()]
        found[list(parts)] = _described(np.stack(small))
    return found


def _part(picture: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.uint8]:
    side = _SIDE_RATIO * (box[2] - box[0])
    left, top = max(0, int(box[0] + side)), max(0, int(box[1]))
    return picture[top : max(top + 1, int(box[3])), left : max(left + 1, int(box[2] - side))]


def _described(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of pictures (n, _HIGH_PX, _WIDE_PX, 3)."""
    count = len(small)
    lab = cv2.cvtColor(small.reshape(-1, _WIDE_PX, 3).astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    place = np.clip((lab - _LOWEST) * ((BINS - 1) / _RANGE), 0, BINS - 1).reshape(count, STRIPES, -1, 3)
    # Each pixel counts for the two bins that it lies between.
    bins = [np.clip(1 - np.abs(place - number), 0, None) for number in range(BINS)]
    histogram = np.stack([np.einsum("p,nspc->nsc", _WEIGHTS, shares) for shares in bins], axis=-1) / (3 * STRIPES)
    return np.asarray(np.round(np.sqrt(histogram) * (255 / LARGEST)), np.uint8).reshape(count, -1)


def _middle_first() -> NDArray[np.float32]:
    """What each pixel of a stripe counts for; 1 in all."""
    across = np.exp(-0.5 * ((np.arange(_WIDE_PX) + 0.5 - _WIDE_PX / 2) / (_WIDE_PX / 3.2)) ** 2)
    weights = np.tile(across, _HIGH_PX // STRIPES)
    return np.asarray(weights / weights.sum(), np.float32)


_WEIGHTS = _middle_first()

"""Faces in the heads of people, found by their grey values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

# Of a person's box: a head is no higher than it is wide, arms aside, and lies at the top.
_HEAD_HEIGHT_RATIO = 1.2
_LEAST_FACE_PX = 20
# A face known from before is looked for around its place, and about as large.
_AROUND_RATIO = 0.5
_SIZES = (0.75, 1.35)


@dataclass(frozen=True)
class Face:
    """A square around eyes and mouth, in pixels of the picture."""

    x: float
    y: float
    width: float


@cache
def _cascade() -> cv2.CascadeClassifier:
    """Viola and Jones (2001), as trained by R. Lienhart for OpenCV."""
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"))


def face_in(grey: NDArray[np.uint8], person: NDArray[np.float64]) -> Face | None:
    """The largest in the head of a person with that box (x1, y1, x2, y2); None where none looks this way."""
    x1, y1, x2, y2 = person
    bottom = min(y2, y1 + _HEAD_HEIGHT_RATIO * (x2 - x1))
    return _largest(grey, (x1, y1, x2, bottom), _LEAST_FACE_PX, None)


def face_near(grey: NDArray[np.uint8], known: Face) -> Face | None:
    """The one that was at `known` a moment ago."""
    margin = _AROUND_RATIO * known.width
    view = (known.x - margin, known.y - margin, known.x + known.width + margin, known.y + known.width + margin)
    return _largest(grey, view, _SIZES[0] * known.width, _SIZES[1] * known.width)


def _largest(
    grey: NDArray[np.uint8], view: tuple[float, float, float, float], least_px: float, most_px: float | None
) -> Face | None:
    height, width = grey.shape
    left, top = max(0, int(view[0])), max(0, int(view[1]))
    part = grey[top : min(height, int(view[3]) + 1), left : min(width, int(view[2]) + 1)]
    least = max(_LEAST_FACE_PX, int(least_px))
    if min(part.shape) <= least:
        return None
    largest = (int(most_px),) * 2 if most_px else (0, 0)
    found = _cascade().detectMultiScale(part, 1.1, 3, minSize=(least, least), maxSize=largest)
    if not len(found):
        return None
    x, y, side, _ = max(found, key=lambda each: (each[2], -each[1]))
    return Face(float(left + x), float(top + y), float(side))

"""Draws people's landmarks and the bones between them on a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

# By the person's id, in turn: far apart in hue, blue-green-red.
COLOURS = ((80, 200, 60), (40, 140, 255), (230, 150, 40), (200, 70, 200), (60, 220, 240), (150, 110, 250))
_SHIFT = 4  # OpenCV draws at sixteenths of a pixel


def colour_of(person_id: int) -> tuple[int, int, int]:
    return COLOURS[(person_id - 1) % len(COLOURS)]


def draw_skeleton(
    canvas: NDArray[np.uint8],
    places: NDArray[np.float64],
    bones: Sequence[tuple[int, int]],
    colour: tuple[int, int, int],
) -> None:
    """`places` (n, 2) in the canvas's pixels, NaN for what is not seen; a bone shows where both of its ends are."""
    unit = max(1, round(min(canvas.shape[:2]) / 240))
    seen = np.asarray(np.isfinite(places).all(axis=1))
    corners = np.round(np.nan_to_num(places) * 2**_SHIFT).clip(-(2**24), 2**24).astype(int).tolist()
    for one, other in bones:
        if seen[one] and seen[other]:
            cv2.line(canvas, corners[one], corners[other], colour, 2 * unit, cv2.LINE_AA, _SHIFT)
    for number in np.flatnonzero(seen).tolist():
        cv2.circle(canvas, corners[number], 2 * unit * 2**_SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)

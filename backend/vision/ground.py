"""Places on the ground: where boxes would be, had the camera not moved since the film's first sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Move: TypeAlias = tuple[float, float, float, float]
"""How the camera moved from one sample to the next, (a, b, x, y): a place p in the one, as a complex number in picture
widths, is at p + (a + bi) p + (x + yi) in the other."""

# Names how that is measured, in what identifies a chunk's result.
CAMERA = "corners/1"
STILL: Move = (0.0, 0.0, 0.0, 0.0)
# What is larger or smaller by this is another picture.
_MOST_TURN = 1000.0


class Ground:
    """`pts` (n,): sampled frames, rising. `moves` (n, 4): since the one before."""

    def __init__(self, pts: Sequence[int], moves: Sequence[Sequence[float]], width_px: int) -> None:
        self._pts = np.asarray(pts, np.int64)
        self._turns: NDArray[np.complex128] = np.ones(len(self._pts), np.complex128)
        self._shifts: NDArray[np.complex128] = np.zeros(len(self._pts), np.complex128)
        # A place p in the first picture is at turn * p + shift later.
        turn, shift = 1 + 0j, 0j
        for row, (a, b, x, y) in enumerate(moves):
            factor = complex(1 + a, b)
            turn, shift = factor * turn, factor * shift + complex(x, y) * width_px
            if not 1 / _MOST_TURN < abs(turn) < _MOST_TURN:  # small errors have added up: begin anew
                turn, shift = 1 + 0j, 0j
            self._turns[row], self._shifts[row] = turn, shift

    def boxes(self, pts: NDArray[np.int64], boxes: Floats) -> Floats:
        """Boxes (n, 4) at those times as upright boxes on the ground, as large as they would be there."""
        if not len(self._pts):
            return boxes
        at = np.clip(np.searchsorted(self._pts, pts, side="right") - 1, 0, len(self._pts) - 1)
        turns = self._turns[at]
        seen = (boxes[:, 0] + boxes[:, 2] + 1j * (boxes[:, 1] + boxes[:, 3])) / 2
        centres = (seen - self._shifts[at]) / turns
        half = (boxes[:, 2:] - boxes[:, :2]) / 2 / np.abs(turns)[:, None]
        middle = np.stack([centres.real, centres.imag], axis=1)
        return np.hstack([middle - half, middle + half])


STEADY = Ground([], [], 1)
"""Of a camera that does not move, or of which nobody knows."""

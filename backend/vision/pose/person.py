"""One person of a film with all landmarks, on the film's clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.vision.pose.skeleton import NUMBER

Floats = NDArray[np.float64]

# Landmarks less visible than this are guesses: nothing is measured from them.
MIN_VISIBILITY = 0.5


@dataclass(frozen=True, eq=False)
class Person:
    """`pts` (n,) of the samples, `times_sec` (n,) since the film's first frame, `boxes` (n, 4), `confidence` (n,),
    `landmarks` (n, 17, 3) with x, y and visibility."""

    id: int
    pts: NDArray[np.int64]
    times_sec: Floats
    boxes: Floats
    confidence: Floats
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def places(self) -> Floats:
        """(n, 17, 2): x and y, NaN where a landmark is not visible enough."""
        seen = self.landmarks[..., 2:] >= MIN_VISIBILITY
        return np.where(seen, self.landmarks[..., :2], np.nan)

    def place_of(self, name: str) -> Floats:
        """(n, 2) of one landmark."""
        return np.asarray(self.places[:, NUMBER[name]])

    @property
    def height_px(self) -> float:
        """The unit of lengths: the same near and far."""
        return float(max(1.0, np.median(self.boxes[:, 3] - self.boxes[:, 1])))

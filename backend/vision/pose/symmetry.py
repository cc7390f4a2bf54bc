"""How alike the two sides of a person move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.vision.pose.skeleton import PAIRS

Floats = NDArray[np.float64]

MIN_SAMPLES = 10
# The range of a joint that hardly moves is the detector's noise.
MIN_RANGE_DEG = 25.0


@dataclass(frozen=True)
class Symmetry:
    """Of a joint that both sides have, from the samples that show both: the middle 90 % of each side's angles."""

    joint: str
    samples: int
    left_range_deg: float
    right_range_deg: float
    left_mean_deg: float
    right_mean_deg: float
    difference_pct: float | None  # of the ranges, as a share of the larger one; None: neither side moves


def symmetries(angles: Mapping[str, Floats]) -> list[Symmetry]:
    """Of every joint with enough samples."""
    found = (_symmetry(joint, angles[f"left_{joint}"], angles[f"right_{joint}"]) for joint in PAIRS)
    return [each for each in found if each is not None]


def _symmetry(joint: str, left: Floats, right: Floats) -> Symmetry | None:
    both = np.isfinite(left) & np.isfinite(right)
    if both.sum() < MIN_SAMPLES:
        return None
    ranges = [float(np.diff(np.percentile(side[both], [5, 95]))[0]) for side in (left, right)]
    moves = max(ranges) >= MIN_RANGE_DEG
    return Symmetry(
        joint=joint,
        samples=int(both.sum()),
        left_range_deg=ranges[0],
        right_range_deg=ranges[1],
        left_mean_deg=float(left[both].mean()),
        right_mean_deg=float(right[both].mean()),
        difference_pct=100.0 * (max(ranges) - min(ranges)) / max(ranges) if moves else None,
    )

"""Angles of joints and segments, in the picture's plane. What is not seen has none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.vision.pose.skeleton import JOINTS, LEANS

Floats = NDArray[np.float64]


def joint_angles(places: Floats) -> dict[str, Floats]:
    """Of each joint and segment (skeleton.ANGLES), (n,) degrees, from landmarks (n, 17, 2) in pixels; NaN where a
    landmark that it takes is NaN, or two of them are one point."""
    angles = {name: _between(*(places[:, number] for number in three)) for name, three in JOINTS.items()}
    return angles | {name: _lean(_middle(places, low), _middle(places, high)) for name, (low, high) in LEANS.items()}


def _between(one: Floats, corner: Floats, other: Floats) -> Floats:
    """0 to 180: folded to straight."""
    first, second = one - corner, other - corner
    cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    dot = (first * second).sum(axis=1)
    is_there = (np.abs(first).max(axis=1) > 0) & (np.abs(second).max(axis=1) > 0)
    return np.where(is_there, np.degrees(np.arctan2(np.abs(cross), dot)), np.nan)


def _lean(low: Floats, high: Floats) -> Floats:
    """-180 to 180 from straight up, positive to the right; y grows downwards in pictures."""
    along = high - low
    is_there = np.abs(along).max(axis=1) > 0
    return np.where(is_there, np.degrees(np.arctan2(along[:, 0], -along[:, 1])), np.nan)


def _middle(places: Floats, numbers: Sequence[int]) -> Floats:
    """Of the landmarks; NaN where one of them is."""
    return np.asarray(places[:, list(numbers)].mean(axis=1))

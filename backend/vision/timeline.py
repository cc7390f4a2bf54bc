"""Frames on the clock: a film's timeline, seconds from PTS, and stretches of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

# Somebody who is not seen for longer is taken to be away.
AWAY_SEC = Fraction(3)


@dataclass(frozen=True, eq=False)
class Timeline:
    """A film's decoded frames (n_frames,) by PTS, in order, and the upright size (width, height) of its pictures."""

    frame_pts: NDArray[np.int64]
    time_base: Fraction
    frame_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.frame_pts)

    @property
    def longest_gap(self) -> int:
        """Ticks between two samples of a track above which nobody says where they were in between."""
        return round(AWAY_SEC / self.time_base)

    @property
    def times_sec(self) -> NDArray[np.float64]:
        """Seconds of each frame since the first one."""
        return seconds_from_start(self.frame_pts, self.time_base)


def seconds_from_start(frame_pts: NDArray[np.int64], time_base: Fraction) -> NDArray[np.float64]:
    """Seconds of each frame since the first one; empty for no frames."""
    if not len(frame_pts):
        return np.zeros(0)
    return np.asarray((frame_pts - frame_pts[0]).astype(np.float64) * float(time_base))


def runs(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Half-open stretches [start, stop) where `mask` is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield int(start), int(stop)

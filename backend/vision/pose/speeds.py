"""Measured series smoothed over their real times, and how fast they change."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from backend.vision.smooth import CUTOFF_HZ
from backend.vision.timeline import runs

Floats = NDArray[np.float64]

# Over a longer gap nothing is said: half a second holds a whole swing of an arm.
MAX_GAP_SEC = 0.5
MIN_SAMPLES = 5  # what the spline needs


def smoothed(times_sec: Floats, values: Floats, cutoff_hz: float = CUTOFF_HZ) -> tuple[Floats, Floats]:
    """A series (n,) without the detector's noise, and its change per second; both NaN where the series is, and on
    stretches of fewer than five samples.

    A cubic smoothing spline (Reinsch 1967), as in backend/vision/smooth.py: motion of `cutoff_hz` keeps half its
    amplitude.
    """
    level, change = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for start, stop in stretches(times_sec, np.isfinite(values)):
        if stop - start >= MIN_SAMPLES:
            level[start:stop], change[start:stop] = _spline(times_sec[start:stop], values[start:stop], cutoff_hz)
    return level, change


def stretches(times_sec: Floats, seen: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Half-open ranges of samples that are seen, without a gap in time."""
    breaks = np.flatnonzero(np.diff(times_sec) > MAX_GAP_SEC) + 1
    for start, stop in runs(seen):
        edges = [start, *breaks[(breaks > start) & (breaks < stop)].tolist(), stop]
        yield from pairwise(edges)


def _spline(times_sec: Floats, values: Floats, cutoff_hz: float) -> tuple[Floats, Floats]:
    from scipy.interpolate import make_smoothing_spline  # slow to import, and only aggregators smooth

    since_sec = times_sec - times_sec[0]
    steps_sec = np.diff(since_sec)
    # Weighed by the time each sample stands for, the sum over samples is an integral over time.
    weights = (np.append(steps_sec, steps_sec[-1]) + np.append(steps_sec[0], steps_sec)) / 2.0
    spline = make_smoothing_spline(since_sec, values, w=weights, lam=1.0 / (2.0 * np.pi * cutoff_hz) ** 4)
    return np.asarray(spline(since_sec)), np.asarray(spline.derivative()(since_sec))

"""Takes the detector's noise out of finished tracks.

A cubic smoothing spline (Reinsch 1967; scipy's make_smoothing_spline) knows both what came before and what comes after,
as StrongSORT's Gaussian-smoothed interpolation does: nothing lags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.vision.stitch import Track
from backend.vision.timeline import Timeline

# Motion of this frequency keeps half its amplitude. People's boxes swing at up to about 2 Hz (steps, jumps); what is
# faster at 10 samples a second is the detector's.
CUTOFF_HZ = 4.0
_MIN_SAMPLES = 5  # what the spline needs
_WEAKEST = 0.05
_MIN_SIDE_PX = 1.0


def smoothed(tracks: Sequence[Track], timeline: Timeline) -> list[Track]:
    """The tracks with their boxes smoothed over time, inside the picture; sure detections count for more.

    Tracks of fewer than five samples, or of times that cannot be told apart, come back as they are.
    """
    return [_smoothed(track, float(timeline.time_base), timeline.frame_size) for track in tracks]


def _smoothed(track: Track, tick_sec: float, frame_size: tuple[int, int]) -> Track:
    from scipy.interpolate import make_smoothing_spline  # slow to import, and only aggregators smooth

    if len(track.pts) < _MIN_SAMPLES:
        return track
    times_sec = (track.pts - track.pts[0]) * tick_sec
    steps_sec = np.diff(times_sec)
    if not (steps_sec > 0).all():  # years apart, floats cannot tell neighbouring samples from one another
        return track
    # Weighed by the time each sample stands for, the sum over samples is an integral over time: a swing of f Hz comes
    # back as 1 / (1 + penalty (2 pi f)^4) of itself at any rate, and a sample more at a chunk's start changes nothing.
    penalty = 1.0 / (2.0 * np.pi * CUTOFF_HZ) ** 4
    sampled_for_sec = (np.append(steps_sec, steps_sec[-1]) + np.append(steps_sec[0], steps_sec)) / 2.0
    weights = np.clip(track.confidence, _WEAKEST, 1.0) * sampled_for_sec
    boxes = make_smoothing_spline(times_sec, track.boxes, w=weights, lam=penalty)(times_sec)  # all four sides at once
    return replace(track, boxes=_inside(boxes, frame_size))


def _inside(boxes: NDArray[np.float64], frame_size: tuple[int, int]) -> NDArray[np.float64]:
    """Within the picture, at least a pixel wide and high."""
    limit = np.array(frame_size, dtype=np.float64)
    low = np.clip(boxes[:, :2], 0.0, limit - _MIN_SIDE_PX)
    return np.concatenate([low, np.clip(boxes[:, 2:], low + _MIN_SIDE_PX, limit)], axis=1)

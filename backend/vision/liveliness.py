"""Tells living people from pictures of people: a photo, however large, keeps its shape to a fraction of a percent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.vision.sightings import Sighting

# A box's shape is compared with itself this much later.
_LAG_SEC = 0.5
# Less of it, or fewer pairs of frames, tell nothing.
_SHORTEST_SEC, _FEWEST_PAIRS, _LEAST_MEASURED = 1.5, 10, 0.5
# Nineteen of twenty changes of shape are below this for a picture. Measured: photos up to 0.023, the detector's noise;
# people who stand or sit as still as they can 0.035 and more, as they move their arms now and then.
_PERCENTILE, _STILL_CHANGE = 95, 0.025
# Only people who move twice as much, for as long as this share of the picture's time in all, and are no tiny figures
# beside it, take the picture's place: whoever sits very still alone stays the subject.
_TIMES_AS_MUCH, _MOVING_CHANGE, _TIME_RATIO, _SIZE_RATIO = 2.0, 0.04, 0.5, 0.2
_EDGE_RATIO = 0.01


def without_pictures(
    seen: Sequence[Sighting], times_sec: NDArray[np.float64], frame_size: tuple[int, int]
) -> list[Sighting]:
    """The sightings without those that keep still like a photo while somebody else there moves and lives."""
    changes = np.array([_change_of_shape(sighting, times_sec, frame_size) for sighting in seen])
    sizes_px = np.array([np.nanmedian(sighting.size_px) for sighting in seen])
    kept = []
    for sighting, change, size_px in zip(seen, changes, sizes_px, strict=True):
        living = (changes >= max(_MOVING_CHANGE, _TIMES_AS_MUCH * change)) & (sizes_px >= _SIZE_RATIO * size_px)
        others = [seen[at] for at in np.flatnonzero(living).tolist()]
        if not (change < _STILL_CHANGE and _share_of_time(sighting, others, len(times_sec)) >= _TIME_RATIO):
            kept.append(sighting)
    return kept


def _share_of_time(sighting: Sighting, others: Sequence[Sighting], frames: int) -> float:
    """On how many of the sighting's frames any of the others is there."""
    there = np.zeros(frames, dtype=np.bool_)
    for other in others:
        there[other.rows] = True
    return float(there[sighting.rows].mean())


def _change_of_shape(sighting: Sighting, times_sec: NDArray[np.float64], frame_size: tuple[int, int]) -> float:
    """The 95th percentile of how much the box's shape changes within half a second, as a logarithm; NaN: not known.

    The shape is width by height, which neither a pan nor a zoom of the camera changes. A side that the picture cuts off
    says nothing of the person: then the other axis alone counts.
    """
    times, boxes = times_sec[sighting.rows], sighting.boxes
    later = np.searchsorted(times, times + _LAG_SEC - 1e-6)
    now = np.flatnonzero(later < len(times))
    if sighting.span_sec < _SHORTEST_SEC or len(now) < _FEWEST_PAIRS:
        return float("nan")
    later = later[now]
    sides = np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0))
    size = np.array(frame_size, dtype=np.float64)
    free = (boxes[:, :2] > _EDGE_RATIO * size) & (boxes[:, 2:] < (1.0 - _EDGE_RATIO) * size)
    change, whole = sides[later] - sides[now], free[later] & free[now]
    one_axis = np.where(whole[:, 1], np.abs(change[:, 1]), np.where(whole[:, 0], np.abs(change[:, 0]), np.nan))
    both_axes = np.abs(change[:, 0] - change[:, 1])
    found = np.where(whole.all(axis=1), both_axes, one_axis)
    measured = np.isfinite(found)
    return float(np.percentile(found[measured], _PERCENTILE)) if measured.mean() >= _LEAST_MEASURED else float("nan")

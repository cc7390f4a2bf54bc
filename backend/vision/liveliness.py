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
# Nine tenths of the changes of shape are below this for a picture. Measured: photos up to 0.018, the detector's noise;
# people who stand or sit as still as they can 0.027 and more, as they move their arms now and then.
_STILL_CHANGE = 0.02
# Only somebody who moves several times as much, for as long as this share of the picture's time, and is no tiny figure
# beside it, takes the picture's place: whoever sits very still alone stays the subject.
_TIMES_AS_MUCH, _MOVING_CHANGE, _TIME_RATIO, _SIZE_RATIO = 2.5, 0.03, 0.5, 0.2
_EDGE_RATIO = 0.01


def without_pictures(
    seen: Sequence[Sighting], times_sec: NDArray[np.float64], frame_size: tuple[int, int]
) -> list[Sighting]:
    """The sightings without those that keep still like a photo while somebody else there moves and lives."""
    changes = [_change_of_shape(sighting, times_sec, frame_size) for sighting in seen]
    return [
        sighting
        for sighting, change in zip(seen, changes, strict=True)
        if not (
            change < _STILL_CHANGE
            and any(
                _takes_over(other, other_change, sighting, change)
                for other, other_change in zip(seen, changes, strict=True)
            )
        )
    ]


def _takes_over(other: Sighting, other_change: float, still: Sighting, change: float) -> bool:
    return (
        other_change >= max(_MOVING_CHANGE, _TIMES_AS_MUCH * change)
        and other.span_sec >= _TIME_RATIO * still.span_sec
        and float(np.nanmedian(other.size_px)) >= _SIZE_RATIO * float(np.nanmedian(still.size_px))
    )


def _change_of_shape(sighting: Sighting, times_sec: NDArray[np.float64], frame_size: tuple[int, int]) -> float:
    """The 90th percentile of how much the box's shape changes within half a second, as a logarithm; NaN: not known.

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
    return float(np.percentile(found[measured], 90)) if measured.mean() >= _LEAST_MEASURED else float("nan")

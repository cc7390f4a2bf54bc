"""Who in a shot is worth the picture: not flickers, photos, figures tiny beside the biggest one, passers-by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.vision.liveliness import without_pictures
from backend.vision.sightings import Sighting

_MIN_TRACK_SEC = 0.5
_PASSER_BY_SEC = 1.0
_EDGE_RATIO = 0.01
_TINY_RATIO = 0.2


def who_matters(
    seen: Sequence[Sighting], times_sec: NDArray[np.float64], frame_size: tuple[int, int]
) -> list[Sighting]:
    """The sightings of a shot without flickers, pictures of people beside living ones, people tiny beside the biggest
    one on the same frames, and passers-by at the edge."""
    # A clip of half a second has no track longer than that; half its length is asked for instead.
    half_sec = 0.5 * float(times_sec[-1]) if len(times_sec) else 0.0
    lasting = [sighting for sighting in seen if sighting.span_sec >= min(_MIN_TRACK_SEC, half_sec)]
    # Photos first: beside a large one, the living are tiny.
    living = without_pictures(lasting, times_sec, frame_size)
    pictures = {id(sighting) for sighting in lasting} - {id(sighting) for sighting in living}
    biggest_px = np.zeros(len(times_sec))
    for sighting in seen:
        if id(sighting) not in pictures:
            biggest_px[sighting.rows] = np.fmax(biggest_px[sighting.rows], sighting.size_px)
    passing_sec = min(_PASSER_BY_SEC, half_sec)
    return [
        sighting
        for sighting in living
        if not _is_tiny(sighting, biggest_px) and not _is_passer_by(sighting, passing_sec, frame_size)
    ]


def _is_tiny(sighting: Sighting, biggest_px: NDArray[np.float64]) -> bool:
    ratio = sighting.size_px / np.maximum(biggest_px[sighting.rows], 1e-9)
    return bool(np.nanmedian(ratio) < _TINY_RATIO)


def _is_passer_by(sighting: Sighting, passing_sec: float, frame_size: tuple[int, int]) -> bool:
    width = frame_size[0]
    # Only the sides: a standing person's feet and head may well be cut off for the whole shot.
    at_side = (sighting.boxes[:, 0] <= _EDGE_RATIO * width) | (sighting.boxes[:, 2] >= (1 - _EDGE_RATIO) * width)
    return sighting.span_sec < passing_sec and bool(at_side.any())

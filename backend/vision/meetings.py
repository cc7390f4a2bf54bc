"""Where tracks meet in the picture: a box may be half of somebody else there, and a tracker take one for the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.vision.stitch import Track

Floats = NDArray[np.float64]


# Whose box ends this much lower, as a share of its height, stands in front.
_IN_FRONT = 0.03


def overlaps(tracks: Sequence[Track]) -> tuple[list[Floats], list[Floats]]:
    """For each track (n,): the largest share of its box, or of the smaller one's, that it has in common with another
    track's box on the same frame; and the largest share of its box that lies behind another's.

    Linear in the number of samples while few people are there at once.
    """
    if not tracks:
        return [], []
    lengths = [len(track.pts) for track in tracks]
    pts = np.concatenate([track.pts for track in tracks])
    boxes = np.concatenate([track.boxes for track in tracks])
    order = np.argsort(pts, kind="stable")
    pts, boxes = pts[order], boxes[order]
    areas = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-9)
    heights = boxes[:, 3] - boxes[:, 1]
    met, hidden = np.zeros(len(pts)), np.zeros(len(pts))
    apart = 1
    while True:
        first = np.flatnonzero(pts[apart:] == pts[:-apart]) if apart < len(pts) else np.empty(0, np.intp)
        if not len(first):
            break
        second = first + apart
        low = np.maximum(boxes[first, :2], boxes[second, :2])
        high = np.minimum(boxes[first, 2:], boxes[second, 2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        for one, other in ((first, second), (second, first)):  # an index stands once in each: apart is fixed
            met[one] = np.maximum(met[one], shared / np.minimum(areas[one], areas[other]))
            is_behind = boxes[one, 3] < boxes[other, 3] + _IN_FRONT * heights[one]
            hidden[one] = np.maximum(hidden[one], np.where(is_behind, shared / areas[one], 0.0))
        apart += 1
    ends = np.cumsum(lengths)[:-1]
    in_order = np.argsort(order, kind="stable")
    return np.split(met[in_order], ends), np.split(hidden[in_order], ends)


def meeting_points(overlap: Floats, least: float) -> list[int]:
    """The samples at which a track is closest to another: one for each stretch of at least that overlap (n,)."""
    near = np.concatenate([[False], overlap >= least, [False]])
    edges = np.flatnonzero(np.diff(near.astype(np.int8)))
    points = [int(start + overlap[start:stop].argmax()) for start, stop in edges.reshape(-1, 2)]
    return [point for point in points if 0 < point < len(overlap) - 1]

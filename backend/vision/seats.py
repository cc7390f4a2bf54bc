"""Tracks that follow one another at one place of a shot: for whoever cuts between people they are one.

Somebody who is hidden for a moment, or whom the tracker gave up, is the same place in the picture: to cut from one such
track to the next would be a jump that nobody wants, whoever they are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from backend.vision.stitch import Track, pairwise_iou
from backend.vision.timeline import Timeline

# From the end of the one to the start of the next: at most so long apart, and so long together.
_LONGEST_GAP_SEC, _TOGETHER_SEC = 2.0, 0.5
_SAME_IOU = 0.2


def seats(tracks: Sequence[Track], timeline: Timeline, shots: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The ids of the tracks of each place, in the order of time; every track is in one of them."""
    first_pts = [int(timeline.frame_pts[start]) for start, _ in shots]
    gap, together = (seconds / float(timeline.time_base) for seconds in (_LONGEST_GAP_SEC, _TOGETHER_SEC))
    taken: list[list[Track]] = []
    open_places: list[list[Track]] = []
    for track in sorted(tracks, key=lambda each: (int(each.pts[0]), each.id)):
        begin = int(track.pts[0])
        open_places = [place for place in open_places if begin - int(place[-1].pts[-1]) <= gap]
        shot = bisect_right(first_pts, begin)
        free = [
            place
            for place in open_places
            if int(place[-1].pts[-1]) - begin <= together and bisect_right(first_pts, int(place[-1].pts[-1])) == shot
        ]
        ends = np.array([place[-1].boxes[-1] for place in free]).reshape(-1, 4)
        alike = pairwise_iou(ends, track.boxes[0])
        if len(free) and alike.max() >= _SAME_IOU:
            free[int(alike.argmax())].append(track)
        else:
            taken.append([track])
            open_places.append(taken[-1])
    return [tuple(track.id for track in place) for place in taken]

"""What a window shows of the people who are there, as an editor looks at it: heads, whole bodies, nobody, the edge."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.vision.camera_path import CameraPath
from backend.vision.candidates import People
from backend.vision.holding import HELD_TOLERANCE_PX, counted
from backend.vision.window import Floats

# A head whose middle is nearer than this to a side of the window, as a share of it, is at the edge.
_EDGE_RATIO = 0.1


def showing(path: CameraPath, people: People, times_sec: Floats, frame_size: tuple[int, int]) -> dict[str, Any]:
    """`heads_held_pct`: of the people who were asked for, over all frames, those whose head is in the window;
    `whole_held_pct`: of those among them who fit into it, who are held whole (both None where nobody was asked for).

    Counted as `counted` does: `nobody_shown`, frames where somebody is there and no head is in the window;
    `at_edge`, frames where the largest person whose head is shown has it near a side that the window could move beyond.
    """
    heads = np.clip(people.heads, 0.0, np.array([*frame_size, *frame_size], dtype=np.float64))
    corners, sizes = np.stack([path.x, path.y], axis=1)[people.frames], path.sizes[people.frames]
    shown, whole = (_inside(boxes, corners, sizes) for boxes in (heads, people.boxes))
    for panel in () if path.panels is None else path.panels[people.frames].transpose(1, 0, 2):
        # A window in which they are is the one that counts.
        heads_there, whole_there = (_inside(boxes, panel[:, :2], panel[:, 2:]) for boxes in (heads, people.boxes))
        better = heads_there & ~shown
        corners[better], sizes[better] = panel[better, :2], panel[better, 2:]
        shown, whole = shown | heads_there, whole | whole_there
    fits = ((people.boxes[:, 2:] - people.boxes[:, :2]) <= sizes + HELD_TOLERANCE_PX).all(axis=1)
    there, seen = (_frames(people.frames[mask], len(times_sec)) for mask in (np.ones_like(shown), shown))
    edge = _frames(_largest(people, shown, _near_side(heads, corners, sizes, frame_size[0])), len(times_sec))
    return {
        "heads_held_pct": _percent(shown[people.asked]),
        "whole_held_pct": _percent(whole[people.asked & fits]),
        "nobody_shown": counted(there & ~seen, times_sec),
        "at_edge": counted(edge, times_sec),
    }


def _inside(boxes: Floats, corners: Floats, sizes: Floats) -> NDArray[np.bool_]:
    low, high = corners - HELD_TOLERANCE_PX, corners + sizes + HELD_TOLERANCE_PX
    return np.asarray(((boxes[:, :2] >= low) & (boxes[:, 2:] <= high)).all(axis=1))


def _frames(frames: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    found = np.zeros(count, dtype=np.bool_)
    found[frames] = True
    return found


def _near_side(heads: Floats, corners: Floats, sizes: Floats, frame_width: int) -> NDArray[np.bool_]:
    middle, near = (heads[:, 0] + heads[:, 2]) / 2, _EDGE_RATIO * sizes[:, 0]
    left, right = corners[:, 0], corners[:, 0] + sizes[:, 0]
    at_left = (middle < left + near) & (left > HELD_TOLERANCE_PX)
    return np.asarray(at_left | ((middle > right - near) & (right < frame_width - HELD_TOLERANCE_PX)))


def _largest(people: People, shown: NDArray[np.bool_], near: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The frames on which the largest of those shown is near."""
    rows = np.flatnonzero(shown)
    sides = people.boxes[rows, 2:] - people.boxes[rows, :2]
    order = rows[np.lexsort((-sides.prod(axis=1), people.frames[rows]))]
    frames, first = np.unique(people.frames[order], return_index=True)
    return np.asarray(frames[near[order[first]]])


def _percent(mask: NDArray[np.bool_]) -> float | None:
    return round(100.0 * float(mask.mean()), 4) if len(mask) else None

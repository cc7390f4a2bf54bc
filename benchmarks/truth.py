"""Who is where by the ground truth of a sequence, and how a window holds them: rules that an editor would sign."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.vision.camera_path import CameraPath
from backend.vision.certificate import figures
from backend.vision.moves import direction_changes, largest_lurch
from backend.vision.timeline import Timeline
from backend.vision.window import Floats

# A standing body is seven heads high; a head is three quarters as wide as high, shoulders are twice that.
HEADS_HIGH, HEAD_WIDE = 7.0, 0.75
# Boxes drawn by hand end a little before or after the body; so much of a side is not seen to be missing.
_CUT_RATIO = 0.02
# A head nearer than this to a side of the window, as a share of it, is at the edge, unless the picture ends there.
_EDGE_RATIO = 0.1
_PLACE_RATIO = 0.005


@dataclass(frozen=True, eq=False)
class Truth:
    """Boxes (people, frames, 4) in pixels inside the picture, NaN where somebody is not there. `bodies` is None where
    only heads are known."""

    heads: Floats
    bodies: Floats | None


@dataclass(frozen=True)
class Score:
    """Percent but for the last five: of the people whose head, whose body any such window could hold at that moment,
    how many are held; of the frames with somebody, how many hold no head, and hold the largest person's at the edge."""

    heads: float
    whole: float
    nobody: float
    edge: float
    turns: int
    acceleration_p99: float
    jerk_p99: float
    lurch: float
    enlarged: float


def read_truth(file: Path, timeline: Timeline, only_heads: bool) -> Truth:
    """MOTChallenge rows: frame from 1, id, left, top, width, height, and 0 for what does not count."""
    rows = np.loadtxt(file, delimiter=",", ndmin=2)
    rows = rows[(rows[:, 6] != 0) & (rows[:, 0] <= len(timeline))]
    ids, person = np.unique(rows[:, 1], return_inverse=True)
    boxes = np.full((len(ids), len(timeline), 4), np.nan)
    boxes[person, rows[:, 0].astype(int) - 1] = np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]])
    limit = np.array([*timeline.frame_size, *timeline.frame_size], dtype=np.float64)
    inside = np.clip(boxes, 0.0, limit)
    return Truth(inside, None) if only_heads else Truth(np.clip(_heads_of(boxes), 0.0, limit), inside)


def _heads_of(bodies: Floats) -> Floats:
    height = (bodies[..., 3] - bodies[..., 1]) / HEADS_HIGH
    middle, top = (bodies[..., 0] + bodies[..., 2]) / 2, bodies[..., 1]
    return np.stack([middle - HEAD_WIDE * height / 2, top, middle + HEAD_WIDE * height / 2, top + height], axis=-1)


def score(path: CameraPath, truth: Truth, timeline: Timeline) -> Score:
    """What the path holds of the people who are really there, and how it moves."""
    sizes = path.sizes
    somebody = np.isfinite(truth.heads[..., 0]).any(axis=0)
    heads = shown(truth.heads, path)
    bodies = truth.heads if truth.bodies is None else truth.bodies
    size, motion = (
        timeline.frame_size,
        figures(path, np.full((len(timeline), 4), np.nan), timeline.times_sec, timeline.frame_size),
    )
    return Score(
        heads=_of_those_who_fit(truth.heads, heads, sizes),
        whole=np.nan if truth.bodies is None else _of_those_who_fit(bodies, shown(bodies, path), sizes),
        nobody=_percent(~heads.any(axis=0)[somebody]),
        edge=_percent(_at_edge(truth.heads, bodies, heads, path, size)[somebody]),
        turns=direction_changes(path.centres, path.shots, size[0]),
        acceleration_p99=float(motion["acceleration_p99"] or 0.0),
        jerk_p99=float(motion["jerk_p99"] or 0.0),
        lurch=largest_lurch(path.centres, timeline.times_sec, path.shots, size[0]),
        enlarged=float((path.output_size[0] / path.width).max()),
    )


def shown(boxes: Floats, path: CameraPath) -> NDArray[np.bool_]:
    """Which boxes (people, frames, 4) lie in the window, or in a panel where the picture is split."""
    found = held(boxes, np.stack([path.x, path.y], axis=1), path.sizes)
    if path.panels is not None:
        for panel in np.moveaxis(path.panels, 1, 0):
            found |= held(boxes, panel[:, :2], panel[:, 2:])
    return found


def all_heads_pct(path: CameraPath, truth: Truth) -> float:
    """Of the frames with somebody, those that show the heads of all who are there."""
    there = np.isfinite(truth.heads[..., 0])
    seen = shown(truth.heads, path) | ~there
    return _percent(seen.all(axis=0)[there.any(axis=0)])


def held(boxes: Floats, corners: Floats, sizes: Floats) -> NDArray[np.bool_]:
    """Which boxes (people, frames, 4) lie in the windows, but for 2 % of their longer side."""
    sides = [held_along(boxes, axis, corners[..., axis], sizes[..., axis]) for axis in range(2)]
    return np.logical_and(*sides)


def held_along(boxes: Floats, axis: int, start: Floats, length: Floats) -> NDArray[np.bool_]:
    """The same along one axis, of spans that begin at `start`."""
    grace = _CUT_RATIO * (boxes[..., 2:] - boxes[..., :2]).max(axis=-1)
    return np.asarray((boxes[..., axis] >= start - grace) & (boxes[..., axis + 2] <= start + length + grace))


def _of_those_who_fit(boxes: Floats, is_held: NDArray[np.bool_], sizes: Floats) -> float:
    """Percent of the most that a window of that size could have held on each frame, of more where panels show more."""
    most = 0
    for frame in range(boxes.shape[1]):
        there = boxes[np.isfinite(boxes[:, frame, 0]), frame]
        corners = np.array([[x, y] for x in there[:, 0] for y in there[:, 1]]).reshape(-1, 1, 2)
        if len(there):
            places = np.broadcast_to(there, (len(corners), *there.shape))
            by_one = int(held(places, corners, sizes[frame]).sum(axis=1).max())
            most += max(by_one, int(is_held[:, frame].sum()))
    return 100.0 * int(is_held.sum()) / most if most else np.nan


def most_with_turns(boxes: Floats, path: CameraPath, frame_width: int, turns: int) -> list[float]:
    """Of one person's boxes (frames, 4) that fit into the path's largest window: which percentage a window of that size
    can hold at the most that turns 0, 1, 2 … `turns` times along x, however fast it moves. What no camera can beat."""
    size = path.sizes.max(axis=0)
    places = np.arange(0.0, max(frame_width - size[0], 0.0) + 1e-6, _PLACE_RATIO * frame_width)
    grace = _CUT_RATIO * (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    fits = np.isfinite(boxes[:, 0]) & ((boxes[:, 2:] - boxes[:, :2]) <= size + grace[:, None]).all(axis=1)
    held = np.array([held_along(boxes[fits], 0, place, size[0]) for place in places], dtype=np.float64).T
    best = np.full((turns + 1, 2, len(places)), -np.inf)  # by turns so far, and whether it goes up or down
    best[0] = held[0]
    for now in held[1:]:
        came = best.copy()
        came[1:] = np.maximum(came[1:], best[:-1, ::-1])
        best[:, 0] = np.maximum.accumulate(came[:, 0], axis=1) + now
        best[:, 1] = np.maximum.accumulate(came[:, 1, ::-1], axis=1)[:, ::-1] + now
    return [100.0 * float(best[: count + 1].max()) / len(held) for count in range(turns + 1)]


def _at_edge(
    heads: Floats, bodies: Floats, is_held: NDArray[np.bool_], path: CameraPath, frame_size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Where the head of the largest person whose head is held is near a side that the window could move beyond."""
    area = (bodies[..., 2] - bodies[..., 0]) * (bodies[..., 3] - bodies[..., 1])
    largest = np.where(is_held, area, -1.0).argmax(axis=0)
    head = heads[largest, np.arange(heads.shape[1])]
    middle = (head[:, 0] + head[:, 2]) / 2
    near = _EDGE_RATIO * path.width
    left = (middle < path.x + near) & (path.x > 0.5)
    right = (middle > path.x + path.width - near) & (path.x + path.width < frame_size[0] - 0.5)
    return np.asarray((left | right) & is_held.any(axis=0))


def _percent(mask: NDArray[np.bool_]) -> float:
    return 100.0 * float(mask.mean()) if len(mask) else 0.0

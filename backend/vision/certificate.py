"""The certificate of a camera path: what it holds and how it moves, beside a static window and the EMA."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.vision.camera_path import CameraPath, ema_path, path_of
from backend.vision.candidates import People
from backend.vision.heads import head_boxes, heads_first
from backend.vision.holding import HELD_TOLERANCE_PX, counted, holding
from backend.vision.moves import direction_changes, largest_lurch
from backend.vision.path_file import BOX_DECIMALS
from backend.vision.path_qp import LIMITS
from backend.vision.showing import showing
from backend.vision.timeline import Timeline, runs
from backend.vision.window import Floats, bands, inside_picture, keeps_shape

STILL_PX_PER_FRAME = 0.05
# Enlarged by more than this, a picture is plainly soft.
_ENLARGED = 1.5


def certificate(
    path: CameraPath,
    subject_boxes: Floats,
    timeline: Timeline,
    smooth_alpha: float = 0.85,
    somebody: NDArray[np.bool_] | None = None,
    people: People | None = None,
) -> dict[str, Any]:
    """What the path holds and how it moves, and the same for other paths of the same sizes: the best static window of
    each shot, the zero-phase EMA (`ema`) and the one of live systems, which sees no future (`ema_causal`).

    `somebody` (n_frames,) says where any track is; without it, where the subject is. `holding` counts all frames of the
    film by the classes of Holding. `containment_pct`: share of the frames with somebody that hold the subject whole, so
    frames where it is larger than its window or not followed count against it; `held_part_pct`: share of the frames
    with a subject whose held part (the middle of the box, at most 0.9 of the window; of a body higher than the window
    the upper part) lies in the window within 0.5 px.
    Both are None where there is nobody at all. `still_frames_pct`: share of frames that move less than 0.05 px. Speed,
    acceleration and jerk: maximum and 99th percentile, frame widths per s, s2, s3; `limits` are those the solver keeps
    to, by the axis. `larger_than_window_pts`: first and last PTS of the stretches where the subject's whole box is
    larger than its window; `filled_pts`: of those shown between bars. `direction_changes` within shots, along both
    axes; `lurch_max`: the most that the window goes in half a second, frame widths; `enlarged_max`: how far the
    smallest window is enlarged; `enlarged`: how many frames by more than 1.5. With `people`, all that `showing` finds.
    """
    frame_pts, frame_size, times_sec = timeline.frame_pts, timeline.frame_size, timeline.times_sec
    boxes = np.round(inside_picture(subject_boxes, len(timeline), frame_size), BOX_DECIMALS)  # as the file has them
    somebody = np.isfinite(boxes[:, 0]) if somebody is None else somebody
    heads = head_boxes(boxes, frame_size) if people is None else people.bodies_in(subject_boxes, frame_size).heads
    static = static_path(path, boxes, heads, frame_size)
    ema = ema_path(boxes, path.sizes, frame_size, path.stretches, path.output_size, smooth_alpha)
    causal = ema_path(boxes, path.sizes, frame_size, path.stretches, path.output_size, smooth_alpha, causal=True)
    held = holding(path, boxes, somebody)
    facts = {
        "frames": len(timeline),
        "subject_frames": int(np.isfinite(boxes[:, 0]).sum()),
        "holding": held.counts(times_sec),
        "shots": len(path.shots),
        "limits": dict(zip(("speed", "acceleration", "jerk"), LIMITS, strict=True)),
        "larger_than_window_pts": _stretches_pts(held.larger, frame_pts),
        "filled_pts": _filled(path, frame_pts),
        "enlarged": counted(_enlargement(path) > _ENLARGED, times_sec),
    }
    others = {"static": static, "ema": ema, "ema_causal": causal}

    def told(each: CameraPath) -> dict[str, Any]:
        shown = {} if people is None else showing(each, people, times_sec, frame_size)
        return figures(each, boxes, times_sec, frame_size, somebody, heads) | shown

    return {**facts, **told(path), **{name: told(other) for name, other in others.items()}}


def _enlargement(path: CameraPath) -> Floats:
    """By how much each frame's window is enlarged; one that is shown between bars by less."""
    return np.asarray((path.filled_sizes / path.sizes).min(axis=1))


def _stretches_pts(mask: NDArray[np.bool_], frame_pts: NDArray[np.int64]) -> list[list[int]]:
    """First and last PTS of each stretch of frames where `mask` is true."""
    return [[int(frame_pts[start]), int(frame_pts[stop - 1])] for start, stop in runs(mask)]


def _filled(path: CameraPath, frame_pts: NDArray[np.int64]) -> list[list[int]]:
    return _stretches_pts(~keeps_shape(path.sizes, path.filled_sizes), frame_pts)


def static_path(path: CameraPath, boxes: Floats, heads: Floats, frame_size: tuple[int, int]) -> CameraPath:
    """The still window of each shot that holds most frames, found by turns along x and y."""
    low, high = bands(heads_first(boxes, heads, path.sizes, frame_size), path.sizes)
    known = np.isfinite(low[:, 0])
    centres = np.empty((len(boxes), 2))
    for start, stop in path.stretches:
        part = np.arange(start, stop)[known[start:stop]]
        centre = np.array(frame_size, dtype=np.float64) / 2
        held = np.ones(len(part), dtype=np.bool_)
        for axis in (0, 1, 0, 1) if len(part) else ():
            own = part[held] if held.any() else part
            centre[axis] = _most_held(low[own, axis], high[own, axis])
            held = np.asarray((low[part, axis] <= centre[axis]) & (centre[axis] <= high[part, axis]))
        centres[start:stop] = centre
    return path_of(centres, path.sizes, frame_size, path.stretches, path.output_size)


def _most_held(low: Floats, high: Floats) -> float:
    """The point that lies in most of the intervals [low, high]; the middle of the first such stretch."""
    begins, ends = np.sort(low), np.sort(high)
    count = np.arange(1, len(begins) + 1) - np.searchsorted(ends, begins, side="left")
    start = begins[int(np.argmax(count))]
    return float((start + ends[np.searchsorted(ends, start)]) / 2)


def figures(
    path: CameraPath,
    boxes: Floats,
    times_sec: Floats,
    frame_size: tuple[int, int],
    somebody: NDArray[np.bool_] | None = None,
    heads: Floats | None = None,
) -> dict[str, float | None]:
    """The figures of one path, as `certificate` describes them."""
    heads = head_boxes(boxes, frame_size) if heads is None else heads
    low, high = bands(heads_first(boxes, heads, path.sizes, frame_size), path.sizes)
    known = np.isfinite(low[:, 0])
    inside = (path.centres >= low - HELD_TOLERANCE_PX) & (path.centres <= high + HELD_TOLERANCE_PX)
    found: dict[str, float | None] = {
        "containment_pct": holding(path, boxes, known if somebody is None else somebody).containment_pct,
        "held_part_pct": _percent(np.asarray(inside[known].all(axis=1)), if_none=None),
        "still_frames_pct": _percent(np.concatenate(_moves_px(path)) < STILL_PX_PER_FRAME, if_none=100.0),
    }
    found |= {
        "direction_changes": direction_changes(path.centres, path.stretches, frame_size[0]),
        "lurch_max": largest_lurch(path.centres, times_sec, path.stretches, frame_size[0]),
        "enlarged_max": round(float(_enlargement(path).max(initial=1.0)), 4),
    }
    derivatives = [_derivatives(path.centres[a:b] / frame_size[0], times_sec[a:b]) for a, b in path.stretches]
    for order, name in enumerate(("speed", "acceleration", "jerk")):
        values = np.concatenate([np.zeros(0), *(shot[order] for shot in derivatives)])
        found[f"{name}_max"] = round(float(values.max(initial=0.0)), 6)
        found[f"{name}_p99"] = round(float(np.percentile(values, 99)), 6) if len(values) else 0.0
    return found


def _percent(mask: NDArray[np.bool_], if_none: float | None) -> float | None:
    return round(100.0 * float(mask.mean()), 4) if len(mask) else if_none


def _moves_px(path: CameraPath) -> list[Floats]:
    """Pixels moved from frame to frame within each shot; never an empty list."""
    steps = [np.diff(path.centres[start:stop], axis=0) for start, stop in path.stretches]
    return [np.zeros(0), *(np.hypot(step[:, 0], step[:, 1]) for step in steps)]


def _derivatives(centres: Floats, times_sec: Floats) -> list[Floats]:
    """Magnitudes of the first three derivatives by differences over the real frame times."""
    magnitudes = []
    for _ in range(3):
        if len(centres) < 2:
            magnitudes.append(np.zeros(0))
            continue
        centres = np.diff(centres, axis=0) / np.diff(times_sec)[:, None]
        times_sec = (times_sec[1:] + times_sec[:-1]) / 2
        magnitudes.append(np.hypot(centres[:, 0], centres[:, 1]))
    return magnitudes

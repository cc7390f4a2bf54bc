"""The camera path: a window for every frame, solved for each shot with knowledge of the whole of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backend.vision.composition import aimed, composed
from backend.vision.heads import heads_first
from backend.vision.keyframes import Keyframe, Pins
from backend.vision.limbs import Bodies
from backend.vision.path_memory import PathMemory
from backend.vision.path_qp import PathUnsolved
from backend.vision.path_solver import Axis, axis_path, clock_sec
from backend.vision.timeline import Timeline
from backend.vision.window import (
    MAX_PANELS,
    CropSpec,
    Floats,
    Shot,
    bands,
    inside_picture,
    padded_share,
    panel_areas,
    require,
    smallest_width,
    wanted_bands,
    window_sizes,
)
from backend.vision.zoom import zoom_factors

CAMERA_PATH_SCHEMA = "framefleet.camera_path/1"
BOX_DECIMALS, _WINDOW_DECIMALS = 2, 4
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Per frame the window's top-left corner and size in source pixels, each (n_frames,); shots as [start, stop).

    `panels` (n_frames, 2, 4): x, y, width and height of the second and the third panel where the picture is split, NaN
    where there is none; the window is the first panel's then. `stretches`: as `shots`, and cut where a layout ends too;
    only between two of them does the window jump.
    """

    x: Floats
    y: Floats
    width: Floats
    height: Floats
    shots: tuple[Shot, ...]
    output_size: tuple[int, int]
    panels: Floats | None = None
    layout_parts: tuple[Shot, ...] | None = None

    @property
    def stretches(self) -> tuple[Shot, ...]:
        return self.shots if self.layout_parts is None else self.layout_parts

    @property
    def panel_counts(self) -> NDArray[np.int64]:
        """(n_frames,): how many windows each frame shows."""
        if self.panels is None:
            return np.ones(len(self.x), np.int64)
        return np.asarray(1 + np.isfinite(self.panels[:, :, 0]).sum(axis=1))

    @property
    def filled_sizes(self) -> NDArray[np.int64]:
        """(n_frames, 2): width and height in the output of what each of a frame's windows fills."""
        sizes = {1: self.output_size} | {n: panel_areas(self.output_size, n)[0][2:] for n in range(2, MAX_PANELS + 1)}
        return np.array([sizes[count] for count in range(1, MAX_PANELS + 1)])[self.panel_counts - 1]

    @property
    def sizes(self) -> Floats:
        """(n_frames, 2): width, height."""
        return np.stack([self.width, self.height], axis=1)

    @property
    def centres(self) -> Floats:
        """(n_frames, 2): the window's centre in pixels."""
        return np.stack([self.x, self.y], axis=1) + self.sizes / 2


def solve_path(
    subject_boxes: Floats,
    timeline: Timeline,
    spec: CropSpec,
    smoothing: Literal["optimal", "ema"] = "optimal",
    smooth_alpha: float = 0.85,
    shots: Sequence[Shot] | None = None,
    keyframes: Sequence[Keyframe] = (),
    memory: PathMemory | None = None,
    near: bool = False,
    bars: Sequence[bool] | None = None,
    bodies: Bodies | None = None,
) -> CameraPath:
    """The window on every frame; it never leaves the picture. `subject_boxes` (n_frames, 4), NaN where nobody is known;
    `bodies`: what of them has to be held, where the rest is only wanted.

    `shots` are frame ranges [start, stop) that cover the video in order; each is solved for itself. `keyframes` pin the
    window. `memory`, `near`: as in `axis_path`; `bars`: which shots may have some.

    Raises InvalidParams (smoothing, an output that max_upscale forbids, a keyframe that cannot be met), PathUnsolved,
    ValueError for wrong shapes.
    """
    require(smoothing in ("optimal", "ema"), "smoothing must be 'optimal' or 'ema'")
    require(0 <= smooth_alpha < 1, "smooth_alpha must be at least 0 and below 1")
    require(smoothing == "optimal" or not keyframes, "keyframes need smoothing=optimal")
    count, frame_size = len(timeline), timeline.frame_size
    cuts = _checked_shots(shots, count)
    boxes = inside_picture(subject_boxes, count, frame_size)
    shot_sizes, output = window_sizes(spec, boxes, cuts, frame_size, bars)
    aims = np.full((count, 2), np.nan) if bodies is None or bodies.aims is None else bodies.aims
    aimed_at = np.asarray(np.isfinite(aims).any(axis=1))
    shot_sizes = _largest_where_aimed(shot_sizes, aimed_at, cuts, frame_size)
    pins = Pins(keyframes, timeline, cuts)
    shot_sizes = pins.sizes(shot_sizes, output, frame_size, spec.max_upscale)
    clock = clock_sec(timeline)
    factors = _zoom(spec, boxes, shot_sizes, output, clock, cuts, frame_size, pins, aimed_at)
    sizes = np.repeat(shot_sizes, [stop - start for start, stop in cuts], axis=0) * factors[:, None]
    if smoothing == "ema":
        return ema_path(boxes, sizes, frame_size, cuts, output, smooth_alpha)
    pins.require_inside(sizes, frame_size)
    try:
        core = boxes if bodies is None else inside_picture(bodies.cores, count, frame_size)
        leads = np.ones(count, dtype=np.bool_) if bodies is None else bodies.alone
        held, wanted = (heads_first(each, sizes, frame_size) for each in (core, boxes))
        padded = wanted_bands(wanted, sizes, spec.padding_ratio)
        wished = composed(padded, wanted, leads, sizes, clock, cuts, frame_size)
        wished = aimed(wished, aims, wanted_bands(wanted, sizes, 0.0), frame_size)
        bands_px = (*bands(held, sizes), *wished)
        centres = _solved_centres(bands_px, sizes, clock, cuts, frame_size, pins, memory, near)
    except PathUnsolved as error:
        require(not keyframes, "The keyframes cannot be met together; leave more time between those far apart")
        raise error
    pins.require_met(centres)
    return path_of(centres, sizes, frame_size, cuts, output)


def _largest_where_aimed(
    shot_sizes: Floats, aimed_at: NDArray[np.bool_], shots: tuple[Shot, ...], frame_size: tuple[int, int]
) -> Floats:
    """An aim is that of the largest window of its shape: a smaller one would have to move for what it leaves out."""
    frame, found = np.array(frame_size, dtype=np.float64), shot_sizes.copy()
    for index, (start, stop) in enumerate(shots):
        if aimed_at[start:stop].any():
            found[index] *= (frame / found[index]).min()
    return found


def _zoom(
    spec: CropSpec,
    boxes: Floats,
    shot_sizes: Floats,
    output: tuple[int, int],
    clock: Floats,
    shots: tuple[Shot, ...],
    frame_size: tuple[int, int],
    pins: Pins,
    aimed_at: NDArray[np.bool_],
) -> Floats:
    """What to multiply each frame's window with (n_frames,): 1 in shots whose size a keyframe or the fill decides, and
    where an aim was found for the largest one."""
    factors = np.ones(len(boxes))
    for (start, stop), size in zip(shots, shot_sizes, strict=True):
        own_shape = abs(size[0] * output[1] - size[1] * output[0]) <= output[0] + output[1]
        if spec.zoom and own_shape and not pins.set_width(start, stop):
            smallest = smallest_width(spec, float(size[0]), output, frame_size) / float(size[0])
            needs = np.where(aimed_at[start:stop], 1.0, padded_share(boxes[start:stop], size, spec))
            factors[start:stop] = zoom_factors(needs, clock[start:stop], smallest)
    return factors


def _solved_centres(
    bands_px: tuple[Floats, ...],
    sizes: Floats,
    clock: Floats,
    shots: tuple[Shot, ...],
    frame_size: tuple[int, int],
    pins: Pins,
    memory: PathMemory | None,
    near: bool,
) -> Floats:
    """`bands_px`: lowest and highest centre (n_frames, 2) that hold the subject, then those that are wanted."""
    centres = np.empty_like(sizes)
    for start, stop in shots:
        part = slice(start, stop)
        for axis in range(2):
            low, high, wanted_low, wanted_high = (side[part, axis] for side in bands_px)
            floor, ceiling = sizes[part, axis] / 2, frame_size[axis] - sizes[part, axis] / 2
            pinned = pins.of(start, stop, axis, clock)
            wish = Axis(low, high, wanted_low, wanted_high, floor, ceiling, clock[part], pinned)
            centres[part, axis] = axis_path(wish, frame_size[0], memory, near=near)
    return centres


def to_json(
    path: CameraPath,
    certificate: dict[str, Any],
    timeline: Timeline,
    subject_boxes: Floats,
) -> bytes:
    """camera_path.json: one row of `columns` for each frame, x and y the window's top-left corner in source pixels.

    `subject` has x1, y1, x2, y2 of what the window follows on each frame, null where nobody is known.
    """
    window = np.stack([path.x, path.y, path.width, path.height], axis=1)
    head = {
        "schema": CAMERA_PATH_SCHEMA,
        "time_base": [timeline.time_base.numerator, timeline.time_base.denominator],
        "frame_size": list(timeline.frame_size),
        "output_size": list(path.output_size),
        "shots": [list(shot) for shot in path.shots],
        "columns": ["pts", "x", "y", "width", "height"],
    }
    parts = [_json(head)[:-1], b',"frames":[']
    parts += _rows(len(timeline), lambda part: _window_rows(timeline.frame_pts[part], window[part]))
    parts += [b'],"subject":[', *_rows(len(timeline), lambda part: _box_rows(subject_boxes[part]))]
    parts += [b'],"panels":[', _json(panel_rows(path))[1:-1]]
    return b"".join([*parts, b'],"certificate":', _json(certificate), b"}"])


def panel_rows(path: CameraPath, part: slice = slice(None)) -> list[dict[str, Any]]:
    """The stretches of frames [start, stop) of the part whose picture is split: for each frame its further panels as x,
    y, width and height."""
    if path.panels is None:
        return []
    first, panels = part.start or 0, np.round(path.panels[part], _WINDOW_DECIMALS)
    counts = path.panel_counts[part] - 1
    edges = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), len(counts)]
    return [
        {"start": first + start, "stop": first + stop, "windows": panels[start:stop, : counts[start]].tolist()}
        for start, stop in pairwise(edges)
        if counts[start]
    ]


def _rows(count: int, rows_of: Callable[[slice], list[Any]]) -> list[bytes]:
    """Some at a time: numbers as Python objects take ten times the room of their text."""
    parts = (_json(rows_of(slice(start, start + _ROWS_AT_ONCE)))[1:-1] for start in range(0, count, _ROWS_AT_ONCE))
    return [piece for number, part in enumerate(parts) for piece in ([b",", part] if number else [part])]


def _window_rows(pts: NDArray[np.int64], window: Floats) -> list[list[float]]:
    rounded = np.round(window, _WINDOW_DECIMALS).tolist()
    return [[when, *row] for when, row in zip(pts.tolist(), rounded, strict=True)]


def _box_rows(boxes: Floats) -> list[list[float] | None]:
    rounded, is_known = np.round(boxes, BOX_DECIMALS).tolist(), np.isfinite(boxes[:, 0])
    return [box if known else None for box, known in zip(rounded, is_known, strict=True)]


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def _checked_shots(shots: Sequence[Shot] | None, count: int) -> tuple[Shot, ...]:
    whole_video = [(0, count)] if count else []
    cuts = tuple((int(start), int(stop)) for start, stop in (whole_video if shots is None else shots))
    edges = [0, *(stop for _, stop in cuts)]
    if [start for start, _ in cuts] != edges[:-1] or edges[-1] != count or any(start >= stop for start, stop in cuts):
        raise ValueError(f"shots must cover the frames 0 to {count} in order")
    return cuts


def path_of(
    centres: Floats, sizes: Floats, frame_size: tuple[int, int], shots: tuple[Shot, ...], output: tuple[int, int]
) -> CameraPath:
    corners = np.clip(centres - sizes / 2, 0.0, np.array(frame_size, dtype=np.float64) - sizes)
    return CameraPath(corners[:, 0], corners[:, 1], sizes[:, 0], sizes[:, 1], shots, output)


def ema_path(
    boxes: Floats,
    sizes: Floats,
    frame_size: tuple[int, int],
    shots: tuple[Shot, ...],
    output: tuple[int, int],
    alpha: float,
    causal: bool = False,
) -> CameraPath:
    """Exponential smoothing of the subject's centre, frame by frame.

    Zero-phase: forwards, then backwards, gaps interpolated. Causal, as live systems and the predecessors have it:
    forwards only, and a gap holds the last centre.
    """
    targets = (boxes[:, :2] + boxes[:, 2:]) / 2
    centres = np.empty((len(boxes), 2))
    for start, stop in shots:
        known = np.flatnonzero(np.isfinite(targets[start:stop, 0]))
        for axis in range(2):
            seen = targets[start:stop, axis][known]
            if not len(known):
                centres[start:stop, axis] = frame_size[axis] / 2
            elif causal:
                last = np.searchsorted(known, np.arange(stop - start), side="right") - 1
                centres[start:stop, axis] = _ema(seen[np.maximum(last, 0)], alpha)
            else:
                filled = np.interp(np.arange(stop - start), known, seen)
                centres[start:stop, axis] = _ema(_ema(filled, alpha)[::-1], alpha)[::-1]
    return path_of(centres, sizes, frame_size, shots, output)


def _ema(values: Floats, alpha: float) -> Floats:
    """Each value mixed with what was kept of those before. In Python: scipy.signal takes longer to import than this."""
    return np.fromiter(accumulate(values.tolist(), lambda kept, value: alpha * kept + (1 - alpha) * value), np.float64)

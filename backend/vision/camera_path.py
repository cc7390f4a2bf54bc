"""The camera path: a window for every frame, solved for each shot with knowledge of the whole of it.

The centre of the window moves along a cubic B-spline in real time, one QP for each axis (OSQP, Stellato et al. 2020;
smoothness by squared derivatives, containment by an L1 penalty, after Grundmann et al. 2011, "Auto-directed video
stabilization with robust L1 optimal camera paths"). A spline has no frame rate: variable rates and long gaps need no
special case, and its convex hull keeps the window in the picture wherever its coefficients are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import osqp  # type: ignore[import-untyped]
from numpy.typing import NDArray
from scipy import sparse
from scipy.signal import lfilter

from backend.errors import FramefleetError, InvalidParams
from backend.vision.subject import seconds_from_start

CAMERA_PATH_SCHEMA = "framefleet.camera_path/1"
HELD_PART_RATIO = 0.9
HELD_TOLERANCE_PX = 0.5
STILL_PX_PER_FRAME = 0.05

# Weights of the QP, per frame at this rate and in frame widths, as measured; _solve_qp adds the time units.
_REFERENCE_RATE = 30.0
_CENTRE_WEIGHT = 1e-6
_ACCELERATION_WEIGHT = 30.0
_JERK_WEIGHT = 300.0
_SLACK_WEIGHT = 0.1
_SLACK_SQUARE_WEIGHT = 1.0

_KNOT_SEC = 0.2
_MAX_STEP_SEC = 1.0
_MAX_ROWS_PER_SEC = 31.0
_WINDOW_CELLS = 600
_LOOKAHEAD_CELLS = 100
_TOLERANCE = 5e-5
_MAX_ITERATIONS = (10_000, 50_000)
_MAX_OUTPUT_PX = 16_384

Floats = NDArray[np.float64]
Shot = tuple[int, int]


class PathUnsolved(FramefleetError):
    """The solver did not converge; `message` has its status."""

    code = "path_unsolved"


@dataclass(frozen=True)
class CropSpec:
    """The wanted window. `aspect` None is the source's; `output_size` may lack either side. Raises InvalidParams."""

    aspect: Fraction | None = None
    padding_ratio: float = 0.12
    min_crop_ratio: float = 0.35
    keep_aspect: bool = True
    max_upscale: float = 2.0
    output_size: tuple[int | None, int | None] | None = None

    def __post_init__(self) -> None:
        _require(self.aspect is None or Fraction(1, 100) <= self.aspect <= 100, "aspect must be from 1:100 to 100:1")
        _require(0 <= self.padding_ratio <= 5, "padding_ratio must be from 0 to 5")
        _require(0 < self.min_crop_ratio <= 1, "min_crop_ratio must be above 0 and at most 1")
        _require(1 <= self.max_upscale <= 100, "max_upscale must be from 1 to 100")
        sides = [side for side in self.output_size or () if side is not None]
        _require(all(2 <= side <= _MAX_OUTPUT_PX for side in sides), f"output sides must be 2 to {_MAX_OUTPUT_PX} px")
        if self.aspect is not None and len(sides) == 2:
            stretch = sides[0] / sides[1] / float(self.aspect)
            _require(0.98 < stretch < 1.02, "output_width and output_height contradict aspect; leave one of them out")


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Per frame the window's top-left corner and size in source pixels, each (n_frames,); shots as [start, stop)."""

    x: Floats
    y: Floats
    width: Floats
    height: Floats
    shots: tuple[Shot, ...]
    output_size: tuple[int, int]

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
    frame_pts: NDArray[np.int64],
    time_base: Fraction,
    frame_size: tuple[int, int],
    spec: CropSpec,
    smoothing: Literal["optimal", "ema"] = "optimal",
    smooth_alpha: float = 0.85,
    shots: Sequence[Shot] | None = None,
) -> CameraPath:
    """The window on every frame; it never leaves the picture. `subject_boxes` (n_frames, 4), NaN where nobody is known.

    `shots` are frame ranges [start, stop) that cover the video in order; each is solved for itself.
    Raises InvalidParams (smoothing, an output that max_upscale forbids), PathUnsolved, ValueError for wrong shapes.
    """
    _require(smoothing in ("optimal", "ema"), "smoothing must be 'optimal' or 'ema'")
    _require(0 <= smooth_alpha < 1, "smooth_alpha must be at least 0 and below 1")
    count = len(frame_pts)
    cuts = _checked_shots(shots, count)
    boxes = _inside_picture(subject_boxes, count, frame_size)
    shot_sizes, output = _window_sizes(spec, boxes, cuts, frame_size)
    sizes = np.repeat(shot_sizes, [stop - start for start, stop in cuts], axis=0)
    if smoothing == "ema":
        return _ema_path(boxes, sizes, frame_size, cuts, output, smooth_alpha)
    clock_sec = _clock_sec(frame_pts, time_base)
    low, high = _bands(boxes, sizes)
    centres = np.empty((count, 2))
    for start, stop in cuts:
        part = slice(start, stop)
        for axis in range(2):
            bounds = (sizes[start, axis] / 2, frame_size[axis] - sizes[start, axis] / 2)
            centres[part, axis] = _axis_path(low[part, axis], high[part, axis], clock_sec[part], bounds, frame_size[0])
    return _path(centres, sizes, frame_size, cuts, output)


def largest_window(frame_size: tuple[int, int], aspect: float) -> tuple[float, float]:
    """Width and height in pixels of the largest window of that aspect in the picture."""
    width = min(float(frame_size[0]), frame_size[1] * aspect)
    return width, min(float(frame_size[1]), width / aspect)


def output_size(spec: CropSpec, window: tuple[float, float]) -> tuple[int, int]:
    """The size of the finished picture: even sides, the window's own unless the spec names one; one named side leads.

    Raises InvalidParams when the window would be enlarged by more than `max_upscale`.
    """
    width, height = spec.output_size or (None, None)
    if width is None and height is None:
        return _even(window[0]), _even(window[1])
    if width is None:
        assert height is not None
        width = _even(height * window[0] / window[1])
    size = (_even(width), _even(width * window[1] / window[0] if height is None else height))
    # One pixel of grace: rounding to even sides must not refuse what was asked for at the limit.
    fits = all(side <= spec.max_upscale * limit + 1 for side, limit in zip(size, window, strict=True))
    largest = f"{spec.max_upscale * window[0]:.0f}x{spec.max_upscale * window[1]:.0f}"
    _require(fits, f"output {size[0]}x{size[1]} is too large for this source; it allows up to {largest}")
    return size


def certificate(
    path: CameraPath,
    subject_boxes: Floats,
    frame_pts: NDArray[np.int64],
    time_base: Fraction,
    frame_size: tuple[int, int],
    smooth_alpha: float = 0.85,
) -> dict[str, Any]:
    """What the path holds and how it moves, and the same for the best static window and the EMA path of the same sizes.

    `containment_pct`: share of the frames with a subject whose held part (the middle of the box, at most 0.9 of the
    window) lies in the window within 0.5 px, None where there is no subject at all. `still_frames_pct`: share of frames
    that move less than 0.05 px. Speed, acceleration and jerk: maximum and 99th percentile, frame widths per s, s2, s3.
    """
    boxes = _inside_picture(subject_boxes, len(frame_pts), frame_size)
    times_sec = seconds_from_start(frame_pts, time_base)
    static = _static_path(path, boxes, frame_size)
    ema = _ema_path(boxes, path.sizes, frame_size, path.shots, path.output_size, smooth_alpha)
    facts = {"frames": len(frame_pts), "subject_frames": int(np.isfinite(boxes[:, 0]).sum()), "shots": len(path.shots)}
    own = _figures(path, boxes, times_sec, frame_size)
    others = {"static": static, "ema": ema}
    return {**facts, **own, **{name: _figures(other, boxes, times_sec, frame_size) for name, other in others.items()}}


def to_json(
    path: CameraPath,
    certificate: dict[str, Any],
    frame_pts: NDArray[np.int64],
    time_base: Fraction,
    frame_size: tuple[int, int],
) -> bytes:
    """camera_path.json: one row of `columns` for each frame, x and y the window's top-left corner in source pixels."""
    window = np.round(np.stack([path.x, path.y, path.width, path.height], axis=1), 4).tolist()
    document = {
        "schema": CAMERA_PATH_SCHEMA,
        "time_base": [time_base.numerator, time_base.denominator],
        "frame_size": list(frame_size),
        "output_size": list(path.output_size),
        "shots": [list(shot) for shot in path.shots],
        "columns": ["pts", "x", "y", "width", "height"],
        "frames": [[pts, *row] for pts, row in zip(frame_pts.tolist(), window, strict=True)],
        "certificate": certificate,
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise InvalidParams(f"{sentence}.")


def _even(side_px: float) -> int:
    return max(2, 2 * round(side_px / 2))


def _checked_shots(shots: Sequence[Shot] | None, count: int) -> tuple[Shot, ...]:
    whole_video = [(0, count)] if count else []
    cuts = tuple((int(start), int(stop)) for start, stop in (whole_video if shots is None else shots))
    edges = [0, *(stop for _, stop in cuts)]
    if [start for start, _ in cuts] != edges[:-1] or edges[-1] != count or any(start >= stop for start, stop in cuts):
        raise ValueError(f"shots must cover the frames 0 to {count} in order")
    return cuts


def _inside_picture(boxes: Floats, count: int, frame_size: tuple[int, int]) -> Floats:
    if boxes.shape != (count, 4):
        raise ValueError(f"subject boxes have the shape {boxes.shape}, not {(count, 4)}")
    return np.clip(boxes, 0.0, np.array([*frame_size, *frame_size], dtype=np.float64))


# Size of the window.


def _window_sizes(
    spec: CropSpec, boxes: Floats, shots: Sequence[Shot], frame_size: tuple[int, int]
) -> tuple[Floats, tuple[int, int]]:
    """The window of each shot (n_shots, 2) in pixels, and the size of the output."""
    needs = np.array([_padded_need(boxes[start:stop], spec) for start, stop in shots]).reshape(-1, 2)
    aspect = _wanted_aspect(spec, needs, frame_size)
    named = spec.output_size is not None and any(side is not None for side in spec.output_size)
    if named:
        output = output_size(spec, largest_window(frame_size, aspect))
        aspect = output[0] / output[1]
    limit = np.array(largest_window(frame_size, aspect))
    scales = np.clip((needs / limit).max(axis=1), spec.min_crop_ratio, 1.0)
    if named:
        scales = np.maximum(scales, min(1.0, output[0] / (spec.max_upscale * limit[0])))
        return scales[:, None] * limit, output
    biggest = float(scales.max(initial=spec.min_crop_ratio))
    # The biggest window has whole, even sides and equals the output, so still pixels are copied, not resampled.
    whole = [min(_even(biggest * side), frame // 2 * 2 or frame) for side, frame in zip(limit, frame_size, strict=True)]
    output = output_size(spec, (whole[0], whole[1]))
    scales = np.maximum(scales / biggest, 1.0 / spec.max_upscale)
    return scales[:, None] * np.array(whole, dtype=np.float64), output


def _padded_need(boxes: Floats, spec: CropSpec) -> Floats:
    """Largest width and height of the padded subject; without a subject infinite, which means the largest window."""
    sides = boxes[np.isfinite(boxes[:, 0])]
    if not len(sides):
        return np.array([np.inf, np.inf])
    return np.asarray((sides[:, 2:] - sides[:, :2]).max(axis=0) * (1 + 2 * spec.padding_ratio))


def _wanted_aspect(spec: CropSpec, needs: Floats, frame_size: tuple[int, int]) -> float:
    width, height = spec.output_size or (None, None)
    if width is not None and height is not None:
        return _even(width) / _even(height)
    aspect = frame_size[0] / frame_size[1] if spec.aspect is None else float(spec.aspect)
    if spec.keep_aspect or not len(needs):
        return aspect
    limit = np.array(largest_window(frame_size, aspect))
    free = np.clip(needs.max(axis=0), spec.min_crop_ratio * limit, limit)
    return float(free[0] / free[1])


# Where the window may be.


def _bands(boxes: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Lowest and highest window centre (n, 2) that keep the held part of the box inside the window."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    held = np.minimum(boxes[:, 2:] - boxes[:, :2], HELD_PART_RATIO * sizes)
    return centres - (sizes - held) / 2, centres + (sizes - held) / 2


def _path(
    centres: Floats, sizes: Floats, frame_size: tuple[int, int], shots: tuple[Shot, ...], output: tuple[int, int]
) -> CameraPath:
    corners = np.clip(centres - sizes / 2, 0.0, np.array(frame_size, dtype=np.float64) - sizes)
    return CameraPath(corners[:, 0], corners[:, 1], sizes[:, 0], sizes[:, 1], shots, output)


# How it moves.


@dataclass(frozen=True, eq=False)
class _Band:
    """One axis of a shot in frame widths: at each time (in knots) the band for the centre, infinite where nobody is
    known, and a target that goes on through gaps, so that the solver knows where to be when the subject comes back."""

    knots: Floats
    low: Floats
    high: Floats
    target: Floats
    row_sec: float
    bounds: tuple[float, float]


def _clock_sec(frame_pts: NDArray[np.int64], time_base: Fraction) -> Floats:
    """Real time with pauses cut to a second: nobody sees a move between two frames, and a hostile gap costs nothing."""
    steps = np.diff(seconds_from_start(frame_pts, time_base), prepend=0.0)
    return np.asarray(np.cumsum(np.minimum(steps, _MAX_STEP_SEC)))


def _axis_path(
    low: Floats, high: Floats, clock_sec: Floats, bounds_px: tuple[float, float], unit_px: int
) -> Floats | float:
    """The window's centre in pixels on each frame of a shot; one number where a still window holds every frame."""
    known = np.isfinite(low)
    if not known.any() or bounds_px[0] >= bounds_px[1]:
        return (bounds_px[0] + bounds_px[1]) / 2
    highest_low, lowest_high = max(bounds_px[0], low[known].max()), min(bounds_px[1], high[known].min())
    if highest_low <= lowest_high:
        return float(np.clip(((low + high)[known] / 2).mean(), highest_low, lowest_high))
    knots = (clock_sec - clock_sec[0]) / _KNOT_SEC
    bounds = (bounds_px[0] / unit_px, bounds_px[1] / unit_px)
    coefficients = _solve_axis(_band(low / unit_px, high / unit_px, knots, bounds), float(knots[-1]))
    return np.asarray(_basis(knots, len(coefficients)) @ coefficients) * unit_px


def _band(low: Floats, high: Floats, knots: Floats, bounds: tuple[float, float]) -> _Band:
    known = np.isfinite(low)
    target = np.interp(knots, knots[known], (low + high)[known] / 2)
    # Above 30 frames a second neighbouring frames say the same thing; one for each bin is enough.
    rows = np.unique(np.floor(knots * _KNOT_SEC * _MAX_ROWS_PER_SEC), return_index=True)[1]
    row_sec = max(1.0 / _MAX_ROWS_PER_SEC, float(knots[-1]) * _KNOT_SEC / (len(knots) - 1))
    lowest, highest = np.where(known, low, -np.inf)[rows], np.where(known, high, np.inf)[rows]
    return _Band(knots[rows], lowest, highest, target[rows], row_sec, bounds)


def _solve_axis(band: _Band, length_knots: float) -> Floats:
    """The spline's coefficients. Long shots are solved two minutes at a time, each with 20 s of what comes later.

    A window begins with the last one's final three coefficients fixed, so speed and acceleration go on smoothly.
    """
    cells = max(1, int(np.ceil(length_knots)))
    coefficients = np.empty(cells + 3)
    for first in range(0, cells, _WINDOW_CELLS):
        last = min(cells, first + _WINDOW_CELLS + _LOOKAHEAD_CELLS)
        inside = (band.knots >= first) & (band.knots <= last)
        cut = {name: getattr(band, name)[inside] for name in ("low", "high", "target")}
        part = replace(band, knots=band.knots[inside] - first, **cut)
        fixed = coefficients[first : first + 3] if first else np.zeros(0)
        solved = np.clip(_solve_qp(part, last - first + 3, fixed), *band.bounds)
        coefficients[first + len(fixed) : last + 3] = solved[len(fixed) :]
    return coefficients


def _basis(knots: Floats, count: int) -> Any:
    """Uniform cubic B-splines (n, count) at times in knots: rows of four that add up to one."""
    cell = np.clip(np.floor(knots).astype(np.int64), 0, count - 4)
    t = knots - cell
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    columns = cell[:, None] + np.arange(4)
    rows = np.repeat(np.arange(len(knots)), 4)
    return sparse.csr_matrix((weights.ravel(), (rows, columns.ravel())), shape=(len(knots), count))


def _solve_qp(band: _Band, count: int, fixed: Floats) -> Floats:
    """Minimises over coefficients c and slack s >= 0, with B c - s <= high, B c + s >= low and c inside the bounds,
    the squared acceleration and jerk, the distance from the target, and s (L1, and a little squared)."""
    basis, rows = _basis(band.knots, count), len(band.knots)
    knot_weight, row_weight = _KNOT_SEC * _REFERENCE_RATE, band.row_sec * _REFERENCE_RATE
    second, third = _differences(count, [1.0, -2.0, 1.0]), _differences(count, [-1.0, 3.0, -3.0, 1.0])
    smooth = _ACCELERATION_WEIGHT * (second.T @ second) + _JERK_WEIGHT * (third.T @ third)
    curvature = knot_weight * smooth + row_weight * _CENTRE_WEIGHT * (basis.T @ basis)
    slack_curvature = row_weight * _SLACK_SQUARE_WEIGHT * sparse.identity(rows)
    pull = 2 * row_weight * _CENTRE_WEIGHT * (basis.T @ band.target)
    bounds_low, bounds_high = np.full(count, band.bounds[0]), np.full(count, band.bounds[1])
    bounds_low[: len(fixed)] = bounds_high[: len(fixed)] = fixed
    one, never = sparse.identity(rows), np.full(rows, np.inf)
    blocks: Any = [[sparse.identity(count), None], [basis, one], [basis, -one], [None, one]]
    problem = {
        "P": sparse.triu(sparse.block_diag([2 * curvature, 2 * slack_curvature]), format="csc"),
        "q": np.concatenate([-pull, np.full(rows, row_weight * _SLACK_WEIGHT)]),
        "A": sparse.bmat(blocks, format="csc"),
        "l": np.concatenate([bounds_low, band.low, -never, np.zeros(rows)]),
        "u": np.concatenate([bounds_high, never, band.high, never]),
    }
    return _minimum(problem)[:count]


def _differences(count: int, stencil: list[float]) -> Any:
    """The stencil's difference of neighbouring coefficients, per reference frame instead of per knot."""
    order = len(stencil) - 1
    rows = sparse.diags(stencil, list(range(order + 1)), shape=(count - order, count), format="csr")
    return rows / (_KNOT_SEC * _REFERENCE_RATE) ** order


def _minimum(problem: dict[str, Any]) -> Floats:
    status = ""
    for max_iterations in _MAX_ITERATIONS:
        solver = osqp.OSQP()
        # The problem comes scaled; OSQP's own scaling multiplies the iterations by ten here. A fixed interval for
        # adapting rho, where the default follows the clock, gives the same path on every machine and run.
        settings = {"eps_abs": _TOLERANCE, "eps_rel": _TOLERANCE, "max_iter": max_iterations, "scaling": 0}
        solver.setup(**problem, verbose=False, polishing=True, adaptive_rho_interval=50, **settings)
        result = solver.solve(raise_error=False)
        status = str(result.info.status)
        if result.info.status_val == osqp.SolverStatus.OSQP_SOLVED:
            return np.asarray(result.x, dtype=np.float64)
    if result.info.status_val == osqp.SolverStatus.OSQP_SOLVED_INACCURATE:
        return np.asarray(result.x, dtype=np.float64)
    raise PathUnsolved(
        f"The camera path could not be solved ({status}); SMOOTHING=ema gives a path without the solver."
    )


def _ema_path(
    boxes: Floats,
    sizes: Floats,
    frame_size: tuple[int, int],
    shots: tuple[Shot, ...],
    output: tuple[int, int],
    alpha: float,
) -> CameraPath:
    """Zero-phase exponential smoothing (forwards, then backwards) of the subject's centre, gaps interpolated."""
    targets = (boxes[:, :2] + boxes[:, 2:]) / 2
    centres = np.empty((len(boxes), 2))
    for start, stop in shots:
        known = np.flatnonzero(np.isfinite(targets[start:stop, 0]))
        for axis in range(2):
            if len(known):
                filled = np.interp(np.arange(stop - start), known, targets[start:stop, axis][known])
                centres[start:stop, axis] = _ema(_ema(filled, alpha)[::-1], alpha)[::-1]
            else:
                centres[start:stop, axis] = frame_size[axis] / 2
    return _path(centres, sizes, frame_size, shots, output)


def _ema(values: Floats, alpha: float) -> Floats:
    return np.asarray(lfilter([1 - alpha], [1, -alpha], values, zi=[alpha * values[0]])[0])


# The certificate.


def _static_path(path: CameraPath, boxes: Floats, frame_size: tuple[int, int]) -> CameraPath:
    """The still window of each shot that holds most frames, found by turns along x and y."""
    low, high = _bands(boxes, path.sizes)
    known = np.isfinite(low[:, 0])
    centres = np.empty((len(boxes), 2))
    for start, stop in path.shots:
        part = np.arange(start, stop)[known[start:stop]]
        centre = np.array(frame_size, dtype=np.float64) / 2
        held = np.ones(len(part), dtype=np.bool_)
        for axis in (0, 1, 0, 1) if len(part) else ():
            own = part[held] if held.any() else part
            centre[axis] = _most_held(low[own, axis], high[own, axis])
            held = np.asarray((low[part, axis] <= centre[axis]) & (centre[axis] <= high[part, axis]))
        centres[start:stop] = centre
    return _path(centres, path.sizes, frame_size, path.shots, path.output_size)


def _most_held(low: Floats, high: Floats) -> float:
    """The point that lies in most of the intervals [low, high]; the middle of the first such stretch."""
    begins, ends = np.sort(low), np.sort(high)
    count = np.arange(1, len(begins) + 1) - np.searchsorted(ends, begins, side="left")
    start = begins[int(np.argmax(count))]
    return float((start + ends[np.searchsorted(ends, start)]) / 2)


def _figures(
    path: CameraPath, boxes: Floats, times_sec: Floats, frame_size: tuple[int, int]
) -> dict[str, float | None]:
    low, high = _bands(boxes, path.sizes)
    known = np.isfinite(low[:, 0])
    inside = (path.centres >= low - HELD_TOLERANCE_PX) & (path.centres <= high + HELD_TOLERANCE_PX)
    figures = {
        "containment_pct": _percent(np.asarray(inside[known].all(axis=1)), if_none=None),
        "still_frames_pct": _percent(np.concatenate(_moves_px(path)) < STILL_PX_PER_FRAME, if_none=100.0),
    }
    derivatives = [_derivatives(path.centres[a:b] / frame_size[0], times_sec[a:b]) for a, b in path.shots]
    for order, name in enumerate(("speed", "acceleration", "jerk")):
        values = np.concatenate([np.zeros(0), *(shot[order] for shot in derivatives)])
        figures[f"{name}_max"] = round(float(values.max(initial=0.0)), 6)
        figures[f"{name}_p99"] = round(float(np.percentile(values, 99)), 6) if len(values) else 0.0
    return figures


def _percent(mask: NDArray[np.bool_], if_none: float | None) -> float | None:
    return round(100.0 * float(mask.mean()), 4) if len(mask) else if_none


def _moves_px(path: CameraPath) -> list[Floats]:
    """Pixels moved from frame to frame within each shot; never an empty list."""
    steps = [np.diff(path.centres[start:stop], axis=0) for start, stop in path.shots]
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

"""How the window moves: one axis of a shot as a cubic B-spline in real time, solved piece by piece.

A spline has no frame rate: variable rates and long gaps need no special case, and its convex hull keeps the window in
the picture wherever its coefficients are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from backend.vision.path_memory import Chain, PathMemory, Tried, digest
from backend.vision.path_qp import (
    KNOT_SEC,
    LIMITS,
    PathUnsolved,
    Stretch,
    basis,
    best_coefficients,
    held_share,
    largest_acceleration,
    rows_held,
)
from backend.vision.timeline import Timeline
from backend.vision.window import Floats

# How far apart rows are at least in s, what leaving the band costs, and the share of frames that then has to be held.
# A cheap and gentle path first; the next one only where that loses the subject.
_LADDER = ((0.07, 0.1, 0.999), (0.0, 0.1, 0.997), (0.0, 1.0, 0.997), (0.0, 10.0, 0.0))
_HOPELESS_HELD = 0.9
# Moves that accelerate by more than this, in frame widths per s2, are tried once more with a lower peak.
_SHARP, _FLATTENED_RATIO = 1.0, 0.75
# A window that stands still leaves this much of itself on either side of the whole subject, where there is room: who
# darts aside is not where the mean is, nor always where detections were.
_STILL_MARGIN_RATIO = 0.05
# How far a solution may leave what is given of it, in frame widths.
_GOES_ON_RATIO = 1e-4
_HELD_TOLERANCE_PX = 0.25

_BY_ROW = ("low", "high", "wanted_low", "wanted_high", "target")
_UNPINNED = ("knots", *_BY_ROW, "floor", "ceiling")
# A path that comes so near to an earlier one, in frame widths, goes on as that one did.
_NEAR = 1e-4
# While pins have moved by less than this, in frame widths, a rung that held so much less than enough still does.
_SAME_RUNGS, _FAR_FROM_ENOUGH = 0.1, 0.005

_MAX_STEP_SEC = 1.0
_MAX_ROWS_PER_SEC = 31.0
_WINDOW_CELLS = 600
_LOOKAHEAD_CELLS = 100
# How far around a pin that moves, in cells, a path is solved anew while somebody drags it.
_REACH_CELLS = 100


def clock_sec(timeline: Timeline) -> Floats:
    """Real time with pauses cut to a second: nobody sees a move between two frames, and a hostile gap costs nothing."""
    steps = np.diff(timeline.times_sec, prepend=0.0)
    return np.asarray(np.cumsum(np.minimum(steps, _MAX_STEP_SEC)))


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a shot in pixels: on each frame the band for the centre (NaN without a subject), the one that is
    wanted, which keeps the padding too, the one that keeps the whole subject without any, and where the centre may be
    at all; `pins` (k, 2) are seconds on the clock and the centres wanted there."""

    low: Floats
    high: Floats
    wanted_low: Floats
    wanted_high: Floats
    whole_low: Floats
    whole_high: Floats
    floor: Floats
    ceiling: Floats
    clock_sec: Floats
    pins: Floats = field(default_factory=lambda: np.zeros((0, 2)))


def axis_path(axis: Axis, unit_px: int, memory: PathMemory | None = None, *, near: bool = False) -> Floats:
    """The window's centre in pixels on each frame; the same on all of them where a still window serves.

    With a `memory` only what was not solved before is solved; `near`: where the path comes as near to the one that was
    solved last as makes no difference to anybody (a fifth of a pixel), it goes on as that one did.
    """
    still = _still_centre(axis)
    if still is not None:
        return np.full(len(axis.low), still)
    start_sec = float(axis.clock_sec[0])
    knots = (axis.clock_sec - start_sec) / KNOT_SEC
    pins = axis.pins * [1.0 / KNOT_SEC, 1.0 / unit_px] - [start_sec / KNOT_SEC, 0.0]
    scaled = replace(
        axis,
        low=axis.low / unit_px,
        high=axis.high / unit_px,
        wanted_low=axis.wanted_low / unit_px,
        wanted_high=axis.wanted_high / unit_px,
        floor=axis.floor / unit_px,
        ceiling=axis.ceiling / unit_px,
        pins=pins,
    )
    coefficients = _solve_axis(_whole(scaled, knots), _HELD_TOLERANCE_PX / unit_px, memory, near=near)
    return np.asarray(basis(knots, len(coefficients)) @ coefficients) * unit_px


def _still_centre(axis: Axis) -> float | None:
    """The one centre that holds every frame with half of its padding and meets every pin, with a margin on either side
    of the whole subject where there is room, in the middle of the subject as far as that goes."""
    known = np.isfinite(axis.low)
    lowest, highest = float(axis.floor.max()), float(axis.ceiling.min())
    if len(axis.pins):
        lowest, highest = max(lowest, axis.pins[:, 1].max()), min(highest, axis.pins[:, 1].min())
    elif lowest >= highest:
        return (lowest + highest) / 2
    if not known.any():
        return (lowest + highest) / 2 if lowest <= highest else None
    # Half of the padding is enough for the sake of stillness.
    low = max(lowest, float((axis.low + axis.wanted_low)[known].max() / 2))
    high = min(highest, float((axis.high + axis.wanted_high)[known].min() / 2))
    if low > high:
        return None
    middle = float((axis.wanted_low + axis.wanted_high)[known].mean() / 2)
    return float(np.clip(middle, *_with_margin(low, high, axis)))


def _with_margin(low: float, high: float, axis: Axis) -> tuple[float, float]:
    """Of the centres from `low` to `high` those that leave the whole subject as large a margin as there is room for."""
    first, last = float(np.nanmax(axis.whole_low)), float(np.nanmin(axis.whole_high))
    most_px = _STILL_MARGIN_RATIO * 2 * float(axis.floor.max())  # the lowest centre is half of the window
    margin_px = min(most_px, (last - first) / 2, high - first, last - low)
    if margin_px <= 0:  # no window that stands still holds all of it
        return low, high
    return max(low, first + margin_px), min(high, last - margin_px)


def _whole(axis: Axis, knots: Floats) -> Stretch:
    known = np.isfinite(axis.low)
    middle = (axis.low + axis.high)[known] / 2
    target = np.interp(knots, knots[known], middle) if known.any() else (axis.floor + axis.ceiling) / 2
    # Above 30 frames a second neighbouring frames say the same thing; one for each bin is enough.
    rows = np.unique(np.floor(knots * KNOT_SEC * _MAX_ROWS_PER_SEC), return_index=True)[1]
    row_sec = max(1.0 / _MAX_ROWS_PER_SEC, float(knots[-1]) * KNOT_SEC / max(1, len(knots) - 1))
    lows = [np.where(known, low, -np.inf)[rows] for low in (axis.low, axis.wanted_low)]
    highs = [np.where(known, high, np.inf)[rows] for high in (axis.high, axis.wanted_high)]
    floor, ceiling = _bounds(axis, knots)
    return Stretch(
        knots[rows], lows[0], highs[0], lows[1], highs[1], target[rows], row_sec, floor, ceiling, np.zeros(0), axis.pins
    )


def _bounds(axis: Axis, knots: Floats) -> tuple[Floats, Floats]:
    """For each coefficient the tightest floor and ceiling of the frames that it moves."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d  # slow to import, and only aggregators solve

    count = max(1, int(np.ceil(knots[-1]))) + 3
    cell = np.clip(np.floor(knots).astype(np.int64), 0, count - 4)
    floor, ceiling = np.full(count, -np.inf), np.full(count, np.inf)
    np.maximum.at(floor, cell, axis.floor)
    np.minimum.at(ceiling, cell, axis.ceiling)
    # A frame of cell i is moved by the coefficients i to i + 3.
    floor = maximum_filter1d(floor, 4, mode="constant", cval=-np.inf, origin=1)
    ceiling = minimum_filter1d(ceiling, 4, mode="constant", cval=np.inf, origin=1)
    return np.minimum(floor, ceiling), np.maximum(floor, ceiling)


def _solve_axis(whole: Stretch, tolerance: float, memory: PathMemory | None, *, near: bool) -> Floats:
    """The spline's coefficients. Long shots are solved two minutes at a time, each with 20 s of what comes later.

    A window begins with the last one's final three coefficients fixed, so speed and acceleration go on smoothly.
    """
    if memory is None:
        return _chained(whole, lambda part: _gentlest(part, tolerance))
    key = digest([getattr(whole, name) for name in _UNPINNED], whole.row_sec, tolerance)
    last = memory.chain(key)
    if last is not None and np.array_equal(last.pins, whole.pins):
        return last.coefficients

    def solve(part: Stretch) -> Floats:
        return _remembered(part, tolerance, memory, near=near)

    if near and last is not None:  # what came near enough is no measure for what comes next: it is not kept
        around = _around_pins(whole, last, tolerance, solve)
        return _chained(whole, solve, last) if around is None else around
    found = _chained(whole, solve)
    memory.keep_chain(key, Chain(found, whole.pins))
    return found


def _around_pins(whole: Stretch, last: Chain, tolerance: float, solve: Callable[[Stretch], Floats]) -> Floats | None:
    """The last path, solved anew around the pins that are other ones; None where those are too far apart, or where the
    rest of the path leaves them too little room."""
    moved = [float(sec) for sec, _ in {*map(tuple, whole.pins.tolist())} ^ {*map(tuple, last.pins.tolist())}]
    cells = len(last.coefficients) - 3
    first, end = max(0, int(min(moved)) - _REACH_CELLS), min(cells, int(max(moved)) + 1 + _REACH_CELLS)
    if end - first > _WINDOW_CELLS:
        return None
    part = _part(whole, first, end, last.coefficients[first : first + 3] if first else np.zeros(0))
    part = replace(part, beyond=_beyond(whole, first, end, last.coefficients, tolerance))
    if end < cells:
        floor, ceiling = part.floor.copy(), part.ceiling.copy()
        floor[-3:] = ceiling[-3:] = last.coefficients[end : end + 3]
        part = replace(part, floor=floor, ceiling=ceiling)
    try:
        solved = solve(part)
    except PathUnsolved:
        return None
    return np.concatenate([last.coefficients[:first], solved, last.coefficients[end + 3 :]])


def _beyond(whole: Stretch, first: int, end: int, coefficients: Floats, tolerance: float) -> tuple[int, int]:
    """Rows on either side of the cells, and how many of them are held: as much may be lost as in a window that is
    solved whole, which these cells would be a part of."""
    reach = (_WINDOW_CELLS + _LOOKAHEAD_CELLS) / 2
    near = (np.abs(whole.knots - (first + end) / 2) <= reach) & ~((whole.knots >= first) & (whole.knots <= end))
    known, held = rows_held(whole, coefficients, tolerance)
    return int((known & near).sum()), int((held & near).sum())


def _remembered(part: Stretch, tolerance: float, memory: PathMemory, *, near: bool) -> Floats:
    """`near`: rungs of the ladder that failed by far for nearly the same pins are not tried again."""
    unpinned = digest([getattr(part, name) for name in _UNPINNED], part.row_sec, tolerance)
    own = unpinned + digest([part.fixed, part.pins])
    known = memory.window(own)
    if known is not None:
        return known
    tried = memory.tried(unpinned) if near else None
    if tried is not None and _are_near(tried.pins, part.pins):
        return _gentlest(part, tolerance, tried.hopeless)
    hopeless: set[int] = set()
    found = _gentlest(part, tolerance, noted=hopeless)
    memory.keep_window(own, found)
    memory.keep_tried(unpinned, Tried(part.pins, frozenset(hopeless)))
    return found


def _are_near(pins: Floats, others: Floats) -> bool:
    same_times = np.array_equal(pins[:, 0], others[:, 0])
    return same_times and bool((np.abs(pins[:, 1] - others[:, 1]) < _SAME_RUNGS).all())


def _chained(whole: Stretch, solve: Callable[[Stretch], Floats], last: Chain | None = None) -> Floats:
    coefficients = np.empty(len(whole.floor))
    cells = len(coefficients) - 3
    for first in range(0, cells, _WINDOW_CELLS):
        end = min(cells, first + _WINDOW_CELLS + _LOOKAHEAD_CELLS)
        fixed = coefficients[first : first + 3] if first else np.zeros(0)
        if last is not None and first and _goes_on(whole, first, end, fixed, last):
            solved = last.coefficients[first : end + 3]
        else:
            solved = solve(_part(whole, first, end, fixed))
        coefficients[first + len(fixed) : end + 3] = solved[len(fixed) :]
    return coefficients


def _goes_on(whole: Stretch, first: int, end: int, fixed: Floats, last: Chain) -> bool:
    """Whether a window that begins like this would be solved as it was."""
    now, then = (pins[_pinned(pins, first, end, fixed)] for pins in (whole.pins, last.pins))
    is_near = bool((np.abs(fixed - last.coefficients[first : first + 3]) < _NEAR).all())
    return is_near and np.array_equal(now, then)


def _pinned(pins: Floats, first: int, end: int, fixed: Floats) -> NDArray[np.bool_]:
    # A pin that the fixed coefficients decide was met by the window before.
    return np.asarray((pins[:, 0] >= first + (1 if len(fixed) else 0)) & (pins[:, 0] <= end))


def _part(whole: Stretch, first: int, end: int, fixed: Floats) -> Stretch:
    inside = (whole.knots >= first) & (whole.knots <= end)
    pins = whole.pins[_pinned(whole.pins, first, end, fixed)] - [first, 0.0]
    cut = {name: getattr(whole, name)[inside] for name in _BY_ROW}
    sides = {name: getattr(whole, name)[first : end + 3] for name in ("floor", "ceiling")}
    return replace(whole, knots=whole.knots[inside] - first, fixed=fixed, pins=pins, **cut, **sides)


def _gentlest(
    stretch: Stretch, tolerance: float, hopeless: Collection[int] = (), noted: set[int] | None = None
) -> Floats:
    """`hopeless`: rungs of the ladder that need not be tried; `noted` takes those that were far from enough."""
    best, best_share, best_slack_weight = np.zeros(0), -1.0, 0.0
    for rung, (step_sec, slack_weight, enough) in enumerate(_LADDER):
        # Far from enough, the steps between would cost time and change nothing.
        if rung in hopeless or (0 <= best_share < _HOPELESS_HELD and enough > 0):
            if noted is not None:
                noted.add(rung)
            continue
        found = best_coefficients(_thinned(stretch, step_sec), slack_weight)
        share = held_share(stretch, found, tolerance)
        if noted is not None and share < enough - _FAR_FROM_ENOUGH:
            noted.add(rung)
        if share > best_share:
            best, best_share, best_slack_weight = found, share, slack_weight
        if best_share >= enough:
            break
    # A keyframe is met first, whatever it takes.
    if largest_acceleration(best) < _SHARP or len(stretch.pins):
        return best
    return _flattened(stretch, best, best_share, best_slack_weight, tolerance)


def _flattened(stretch: Stretch, best: Floats, share: float, slack_weight: float, tolerance: float) -> Floats:
    """Spreads a sharp move over more time where the subject is held as well: least squares alone leave a peak."""
    speed, acceleration, jerk = LIMITS
    limit = min(acceleration, _FLATTENED_RATIO * largest_acceleration(best))
    try:
        gentler = best_coefficients(stretch, slack_weight, (speed, limit, jerk))
    except PathUnsolved:  # what came before may not allow it
        return best
    goes_on = np.allclose(gentler[: len(stretch.fixed)], stretch.fixed, atol=_GOES_ON_RATIO)
    return gentler if goes_on and held_share(stretch, gentler, tolerance) >= share else best


def _thinned(stretch: Stretch, step_sec: float) -> Stretch:
    every = max(1, int(step_sec / stretch.row_sec))
    rows = {name: getattr(stretch, name)[::every] for name in ("knots", *_BY_ROW)}
    return replace(stretch, row_sec=stretch.row_sec * every, **rows)

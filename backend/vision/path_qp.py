"""The quadratic program of one axis over a stretch of time: which spline moves the window best.

After Grundmann et al. 2011, "Auto-directed video stabilization with robust L1 optimal
camera paths": an L1 price on speed makes the window stand still wherever it may and then move once, and containment
is an L1 penalty; but smoothness is by squared derivatives, so a move begins and ends softly.

Solved by path_interior.py; where that finds nothing, as where keyframes contradict one another, OSQP (Stellato et al.
2020) gives the path that comes nearest. Both and scipy.sparse are imported where they are used: only aggregators solve,
but everybody knows these limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import FramefleetError
from backend.vision.path_interior import Program, Rows, solved
from backend.vision.window import Floats

Limits = tuple[float, float, float]

KNOT_SEC = 0.2
# Hard limits in frame widths per s, s2, s3: a whip pan at the most. Most paths stay far below.
LIMITS: Limits = (1.0, 3.0, 30.0)

# Weights per frame at this rate and in frame widths, as measured; _problem adds the time units.
_REFERENCE_RATE = 30.0
_CENTRE_WEIGHT = 1e-6
_SPEED_WEIGHT = 3e-4
_ACCELERATION_WEIGHT = 30.0
_JERK_WEIGHT = 300.0
_SLACK_SQUARE_WEIGHT = 1.0
# Leaving the wanted band is cheap beside leaving the band, so that padding costs hardly any rest. The square makes one
# path the best where many would be as good.
_WANTED_WEIGHT, _WANTED_SQUARE_WEIGHT = 1e-4, 3e-3

_TOLERANCE = 5e-5
# Rows of limits are scaled down to the size of the others, or OSQP's steps serve the limits alone.
_LIMIT_SCALE = 0.05
# Bounds the time of a stretch; the best path so far is still smooth and inside the picture.
_MAX_ITERATIONS = 3_000


class PathUnsolved(FramefleetError):
    """The solver gave no path; `message` has its status."""

    code = "path_unsolved"


@dataclass(frozen=True, eq=False)
class Stretch:
    """One axis in frame widths: at each time `knots` (in knots) the band for the centre, infinite where nobody is
    known, the narrower one that is wanted, and a target that goes on through gaps, so that the solver knows where to be
    when the subject comes back.

    `floor` and `ceiling` bound each coefficient, the first `fixed` of which are given; `pins` (k, 2) are times and
    the centres wanted there.
    """

    knots: Floats
    low: Floats
    high: Floats
    wanted_low: Floats
    wanted_high: Floats
    target: Floats
    row_sec: float
    floor: Floats
    ceiling: Floats
    fixed: Floats
    pins: Floats
    beyond: tuple[int, int] = (0, 0)  # rows with a subject outside of it and how many of those are held


def basis(knots: Floats, count: int) -> Any:
    """Uniform cubic B-splines (n, count) at times in knots: rows of four that add up to one."""
    from scipy import sparse

    cell, weights = _local(knots, count)
    columns = cell[:, None] + np.arange(4)
    rows = np.repeat(np.arange(len(knots)), 4)
    return sparse.csr_matrix((weights.ravel(), (rows, columns.ravel())), shape=(len(knots), count))


def _local(knots: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
    """The first coefficient that decides each value, and the weights of it and the three behind it (n, 4)."""
    cell = np.clip(np.floor(knots).astype(np.int64), 0, count - 4)
    t = knots - cell
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    return cell, weights


def best_coefficients(stretch: Stretch, slack_weight: float, limits: Limits = LIMITS) -> Floats:
    """The spline's coefficients inside floor and ceiling; raises PathUnsolved when no solver returns any."""
    found = solved(_program(stretch, slack_weight, limits), _start(stretch))
    return _by_osqp(stretch, slack_weight, limits) if found is None else np.clip(found, stretch.floor, stretch.ceiling)


def _program(stretch: Stretch, slack_weight: float, limits: Limits) -> Program:
    """As `_problem`, in the terms of path_interior.py."""
    count, fixed = len(stretch.floor), len(stretch.fixed)
    speed, acceleration, jerk = (Rows.stencil(_stencil(order), count) for order in (1, 2, 3))
    knot_weight, row_weight = KNOT_SEC * _REFERENCE_RATE, stretch.row_sec * _REFERENCE_RATE
    at_rows = Rows(*_local(stretch.knots, count), count)
    smooth = _ACCELERATION_WEIGHT * acceleration.band(np.ones(len(acceleration)))
    smooth += _JERK_WEIGHT * jerk.band(np.ones(len(jerk)))
    centring = row_weight * _CENTRE_WEIGHT
    known = np.isfinite(stretch.low)
    held, still = at_rows.some(known), np.zeros(len(speed))
    rows = np.full(len(held), row_weight)
    hard = Rows.stacked(
        Rows.stencil(np.ones(1), count), speed, acceleration, jerk, Rows(*_local(stretch.pins[:, 0], count), count)
    )
    ends = [
        np.full(len(rows), limit / _REFERENCE_RATE**order)
        for order, (rows, limit) in enumerate(zip((speed, acceleration, jerk), limits, strict=True), start=1)
    ]
    free = hard.beyond(fixed)  # the others are as they were decided
    return Program(
        curvature=2 * (knot_weight * smooth + centring * at_rows.band(np.ones(len(at_rows)))),
        pull=2 * centring * at_rows.back(stretch.target),
        fixed=stretch.fixed,
        soft=Rows.stacked(held, held, Rows.stencil(_stencil(1) * knot_weight, count)),
        soft_low=np.concatenate([stretch.low[known], stretch.wanted_low[known], still]),
        soft_high=np.concatenate([stretch.high[known], stretch.wanted_high[known], still]),
        price=np.concatenate([slack_weight * rows, _WANTED_WEIGHT * rows, still + _SPEED_WEIGHT]),
        square=np.concatenate([_SLACK_SQUARE_WEIGHT * rows, _WANTED_SQUARE_WEIGHT * rows, still]),
        hard=hard.some(free),
        hard_low=np.concatenate([stretch.floor, *(-end for end in ends), stretch.pins[:, 1]])[free],
        hard_high=np.concatenate([stretch.ceiling, *ends, stretch.pins[:, 1]])[free],
    )


def _start(stretch: Stretch) -> Floats:
    """On the target, as far as it lies inside."""
    places = np.arange(len(stretch.floor)) - 1.0  # where each coefficient weighs most
    on_target = np.interp(places, stretch.knots, stretch.target)
    return np.asarray(np.clip(on_target, stretch.floor, stretch.ceiling))


def _by_osqp(stretch: Stretch, slack_weight: float, limits: Limits) -> Floats:
    import osqp  # type: ignore[import-untyped]

    solver = osqp.OSQP()
    # The problem comes scaled; OSQP's own scaling multiplies the iterations by ten here. A fixed interval for
    # adapting rho, where the default follows the clock, gives the same path on every machine and run.
    settings = {"eps_abs": _TOLERANCE, "eps_rel": _TOLERANCE, "max_iter": _MAX_ITERATIONS, "scaling": 0}
    solver.setup(
        **_problem(stretch, slack_weight, limits), verbose=False, polishing=True, adaptive_rho_interval=200, **settings
    )
    result = solver.solve(raise_error=False)
    found = np.asarray(result.x, dtype=np.float64)[: len(stretch.floor)]
    if not np.isfinite(found).all():
        raise PathUnsolved(
            f"The camera path could not be solved ({result.info.status}); smoothing=ema works without the solver."
        )
    return np.clip(found, stretch.floor, stretch.ceiling)


def _problem(stretch: Stretch, slack_weight: float, limits: Limits) -> dict[str, Any]:
    """Minimises over coefficients c, slacks s >= 0 and t >= 0 and travel w >= |speed|, with B c - s <= high,
    B c + s >= low and the same of t and the wanted band, the squared acceleration and jerk, the distance from the
    target, w, and s and t (L1, and a little squared)."""
    from scipy import sparse

    count, rows = len(stretch.floor), len(stretch.knots)
    at_rows, at_pins = basis(stretch.knots, count), basis(stretch.pins[:, 0], count)
    speed, acceleration, jerk = (_differences(count, order) for order in (1, 2, 3))
    knot_weight, row_weight = KNOT_SEC * _REFERENCE_RATE, stretch.row_sec * _REFERENCE_RATE
    smooth = _ACCELERATION_WEIGHT * (acceleration.T @ acceleration) + _JERK_WEIGHT * (jerk.T @ jerk)
    curvature = knot_weight * smooth + row_weight * _CENTRE_WEIGHT * (at_rows.T @ at_rows)
    pull = 2 * row_weight * _CENTRE_WEIGHT * (at_rows.T @ stretch.target)
    slack, travel, never = sparse.identity(rows), sparse.identity(count - 1), np.inf
    floor, ceiling = stretch.floor.copy(), stretch.ceiling.copy()
    floor[: len(stretch.fixed)] = ceiling[: len(stretch.fixed)] = stretch.fixed
    constraints: list[tuple[list[Any], Any, Any]] = [
        ([sparse.identity(count), None, None, None], floor, ceiling),
        ([at_pins, None, None, None], stretch.pins[:, 1], stretch.pins[:, 1]),
        ([at_rows, slack, None, None], stretch.low, never),
        ([at_rows, -slack, None, None], -never, stretch.high),
        ([None, slack, None, None], 0.0, never),
        ([at_rows, None, slack, None], stretch.wanted_low, never),
        ([at_rows, None, -slack, None], -never, stretch.wanted_high),
        ([None, None, slack, None], 0.0, never),
        ([speed * knot_weight, None, None, travel], 0.0, never),
        ([speed * knot_weight, None, None, -travel], -never, 0.0),
        *_limits((speed, acceleration, jerk), limits),
    ]
    blocks: Any = [blocks for blocks, _, _ in constraints if _height(blocks)]
    squared = [curvature, row_weight * _SLACK_SQUARE_WEIGHT * slack, row_weight * _WANTED_SQUARE_WEIGHT * slack]
    linear = [(rows, row_weight * slack_weight), (rows, row_weight * _WANTED_WEIGHT), (count - 1, _SPEED_WEIGHT)]
    return {
        "P": sparse.triu(sparse.block_diag([*(2 * each for each in squared), 0 * travel]), format="csc"),
        "q": np.concatenate([-pull, *(np.full(length, price) for length, price in linear)]),
        "A": sparse.bmat(blocks, format="csc"),
        "l": np.concatenate([np.broadcast_to(low, _height(blocks)) for blocks, low, _ in constraints]),
        "u": np.concatenate([np.broadcast_to(high, _height(blocks)) for blocks, _, high in constraints]),
    }


def _limits(derivatives: tuple[Any, Any, Any], limits: Limits) -> list[tuple[list[Any], float, float]]:
    """A derivative is a convex mix of its coefficients, so bounding those bounds it everywhere."""
    return [
        ([derivative * (_REFERENCE_RATE**order * _LIMIT_SCALE / limit), None, None, None], -_LIMIT_SCALE, _LIMIT_SCALE)
        for order, (derivative, limit) in enumerate(zip(derivatives, limits, strict=True), start=1)
    ]


def _height(blocks: list[Any]) -> int:
    return int(next(block.shape[0] for block in blocks if block is not None))


def _differences(count: int, order: int) -> Any:
    """The derivative of that order, by coefficients, per reference frame instead of per knot."""
    from scipy import sparse

    places = list(range(order + 1))
    return sparse.diags(_stencil(order).tolist(), places, shape=(count - order, count), format="csr")


def _stencil(order: int) -> Floats:
    """The weights of neighbouring coefficients in that derivative, as `_differences` has it."""
    return np.asarray(np.diff(np.eye(order + 1), n=order, axis=0)[0] / (KNOT_SEC * _REFERENCE_RATE) ** order)


def largest_acceleration(coefficients: Floats) -> float:
    """In frame widths per s2, by the coefficients, which bound it everywhere."""
    bends = np.abs(_differences(len(coefficients), 2) @ coefficients)
    return float(bends.max(initial=0.0)) * _REFERENCE_RATE**2


def held_share(stretch: Stretch, coefficients: Floats, tolerance: float) -> float:
    """Share of the rows with a subject that the path holds, those beyond too; 1 where there is none."""
    known, held = rows_held(stretch, coefficients, tolerance)
    rows = int(known.sum()) + stretch.beyond[0]
    return (int(held.sum()) + stretch.beyond[1]) / rows if rows else 1.0


def rows_held(stretch: Stretch, coefficients: Floats, tolerance: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows have a subject, and which of them the path holds."""
    centres = np.asarray(basis(stretch.knots, len(coefficients)) @ coefficients)
    known = np.asarray(np.isfinite(stretch.low))
    inside = (centres >= stretch.low - tolerance) & (centres <= stretch.high + tolerance)
    return known, np.asarray(known & inside)

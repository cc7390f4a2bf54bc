"""How the window moves: one axis of a shot, solved as a QP over a cubic B-spline in real time.

OSQP (Stellato et al. 2020); smoothness by squared derivatives, containment by an L1 penalty, after Grundmann et al.
2011, "Auto-directed video stabilization with robust L1 optimal camera paths". A spline has no frame rate: variable
rates and long gaps need no special case, and its convex hull keeps the window in the picture wherever its coefficients
are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import osqp  # type: ignore[import-untyped]
from numpy.typing import NDArray
from scipy import sparse

from backend.errors import FramefleetError
from backend.vision.subject import seconds_from_start
from backend.vision.window import Floats

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


class PathUnsolved(FramefleetError):
    """The solver did not converge; `message` has its status."""

    code = "path_unsolved"


def clock_sec(frame_pts: NDArray[np.int64], time_base: Fraction) -> Floats:
    """Real time with pauses cut to a second: nobody sees a move between two frames, and a hostile gap costs nothing."""
    steps = np.diff(seconds_from_start(frame_pts, time_base), prepend=0.0)
    return np.asarray(np.cumsum(np.minimum(steps, _MAX_STEP_SEC)))


def axis_path(
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

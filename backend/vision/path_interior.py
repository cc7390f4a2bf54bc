"""A quadratic program over a spline's coefficients by an interior-point method that knows its structure.

Every term is about the spline's value, or a derivative, at one place, which at most four neighbouring coefficients
decide, and the slack variables belong to one such place each. So a Newton step, slacks eliminated, is a banded system
of half-width 3: a millisecond, where a general solver's first-order steps take hundreds of them.

Mehrotra 1992, "On the implementation of a primal-dual interior point method".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.vision.window import Floats

REACH = 4  # coefficients of one row
_PAIRS = [(a, b) for a in range(REACH) for b in range(a, REACH)]
_MAX_STEPS = 100
_TO_BOUNDARY = 0.99
# What counts as solved: the gap between the program and its dual, and how far any condition is from holding.
_GAP, _RESIDUAL = 1e-7, 1e-7
# Hard intervals without any room are opened by this on either side: thousandths of a pixel, in frame widths.
_ROOM = 2e-6
_FAR = 100.0  # for a bound that is none
_LEAST_SLACK, _FIRST_MULTIPLIER = 1e-3, 1e-3


class Rows:
    """Linear functions of the coefficients c (count,), `values` (n, 4) of those from `first` (n,) on."""

    def __init__(self, first: NDArray[np.int64], values: Floats, count: int) -> None:
        from scipy import sparse

        self.first, self.values, self.count = first, values, count
        rows = len(first)
        columns = first[:, None] + np.arange(REACH)
        ends = np.arange(rows + 1) * REACH
        self._matrix = sparse.csr_matrix((values.ravel(), columns.ravel(), ends), shape=(rows, count))
        self._transposed = self._matrix.T
        self._squares: Any = None

    @classmethod
    def stencil(cls, weights: Floats, count: int) -> Rows:
        """The same weights, at most four, at each place where they fit."""
        begins = np.arange(count - len(weights) + 1)
        first = np.minimum(begins, count - REACH)
        values = np.zeros((len(begins), REACH))
        for offset, weight in enumerate(weights):
            values[np.arange(len(begins)), begins - first + offset] = weight
        return cls(first, values, count)

    @classmethod
    def stacked(cls, *parts: Rows) -> Rows:
        return cls(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.values for part in parts]),
            parts[0].count,
        )

    def __len__(self) -> int:
        return len(self.first)

    def some(self, which: NDArray[np.bool_]) -> Rows:
        return Rows(self.first[which], self.values[which], self.count)

    def beyond(self, fixed: int) -> NDArray[np.bool_]:
        """Which of them depend on anything behind the first `fixed` coefficients."""
        columns = self.first[:, None] + np.arange(REACH)
        return np.asarray(((columns >= fixed) & (self.values != 0)).any(axis=1))

    def of(self, c: Floats) -> Floats:
        return np.asarray(self._matrix @ c)

    def back(self, weights: Floats) -> Floats:
        """The sum of the rows, weighted."""
        return np.asarray(self._transposed @ weights)

    def band(self, weights: Floats) -> Floats:
        """(4, count): rows' diag(weights) rows, its diagonals from the main one down."""
        if self._squares is None:
            from scipy import sparse

            places = np.stack([(b - a) * self.count + self.first + a for a, b in _PAIRS], axis=1)
            products = np.stack([self.values[:, a] * self.values[:, b] for a, b in _PAIRS], axis=1)
            ends = np.arange(len(self) + 1) * len(_PAIRS)
            self._squares = sparse.csc_matrix(
                (products.ravel(), places.ravel(), ends), shape=(REACH * self.count, len(self))
            )
        return np.asarray(self._squares @ weights).reshape(REACH, self.count)


@dataclass(frozen=True, eq=False)
class Program:
    """Minimise c'Hc/2 - pull'c + what the soft intervals cost, with every hard row in its interval and the first
    coefficients as given.

    `curvature`: H as `Rows.band` has it. A soft row may leave [low, high] by s for price * s + square * s².
    """

    curvature: Floats
    pull: Floats
    fixed: Floats
    soft: Rows
    soft_low: Floats
    soft_high: Floats
    price: Floats
    square: Floats
    hard: Rows
    hard_low: Floats
    hard_high: Floats


def solved(program: Program, start: Floats) -> Floats | None:
    """The coefficients; None where no solution is found, as where hard intervals contradict one another. The hard ones
    hold to about a millionth."""
    return _Steps(program).run(start)


class _Steps:
    """Conditions, in this order: value - s <= high, low - value <= s, 0 <= s of the soft rows; value <= high,
    low <= value of the hard ones. Each has a slack `z` and a multiplier `lam`."""

    def __init__(self, program: Program) -> None:
        self._given, self._fixed = program, len(program.fixed)
        soft, hard = len(program.soft), len(program.hard)
        edges = np.cumsum([0, soft, soft, soft, hard, hard])
        self._parts = [slice(int(a), int(b)) for a, b in pairwise(edges)]
        low, high = np.maximum(program.hard_low, -_FAR), np.minimum(program.hard_high, _FAR)
        opened = np.maximum(0.0, _ROOM - (high - low) / 2)
        self._bounds = np.concatenate(
            [
                program.soft_high,
                -program.soft_low,
                np.zeros(soft),
                high + opened,
                opened - low,
            ]
        )

    def run(self, start: Floats) -> Floats | None:
        given = self._given
        c = start.copy()
        c[: self._fixed] = given.fixed
        value = given.soft.of(c)
        outside = np.maximum(np.maximum(value - given.soft_high, given.soft_low - value), 0.0)
        s = outside + 10 * _LEAST_SLACK
        z = np.maximum(self._bounds - self._left(c, s), _LEAST_SLACK)
        lam = np.full(len(z), _FIRST_MULTIPLIER)
        lam[: 3 * len(s)] = np.tile((given.price + 2 * given.square * s) / 3, 3)
        off = self._left(c, s) + z - self._bounds
        for _ in range(_MAX_STEPS):
            off_s, off_c = self._gradient(c, s, lam)
            gap = float((lam * z).sum())  # BLAS would start threads for it
            worst = max(float(np.abs(each).max(initial=0.0)) for each in (off, off_s, off_c))
            if not np.isfinite(gap + worst):
                return None
            if gap < _GAP and worst < _RESIDUAL:
                return c
            weights = lam / z
            newton = self._factored(weights)
            if newton is None:
                return None
            _, _, dz, dlam = newton.step(weights * off - lam, off, off_s, off_c)
            after = float(((lam + _most(lam, dlam) * dlam) * (z + _most(z, dz) * dz)).sum())
            target = lam * z + dlam * dz - (after / gap) ** 3 * gap / len(z)
            dc, ds, dz, dlam = newton.step(weights * off - target / z, off, off_s, off_c)
            # One length for both: the squares tie the program to its dual.
            share = min(1.0, _TO_BOUNDARY * min(_most(lam, dlam), _most(z, dz)))
            c, s, z, lam = c + share * dc, s + share * ds, z + share * dz, lam + share * dlam
            off = (1.0 - share) * off
        return None

    def _left(self, c: Floats, s: Floats) -> Floats:
        """The conditions' left sides."""
        return self.spread(self._given.soft.of(c), s, self._given.hard.of(c))

    def spread(self, soft: Floats, s: Floats, hard: Floats) -> Floats:
        return np.concatenate([soft - s, -soft - s, -s, hard, -hard])

    def _gradient(self, c: Floats, s: Floats, lam: Floats) -> tuple[Floats, Floats]:
        """Of the Lagrangian by s and by c."""
        given = self._given
        above, below, least, over, under = self.split(lam)
        by_s = given.price + 2 * given.square * s - above - below - least
        by_c = _times(given.curvature, c) - given.pull + given.soft.back(above - below) + given.hard.back(over - under)
        by_c[: self._fixed] = 0.0
        return by_s, by_c

    def split(self, values: Floats) -> list[Floats]:
        return [values[part] for part in self._parts]

    def _factored(self, weights: Floats) -> _Newton | None:
        from scipy.linalg import LinAlgError, cholesky_banded

        given = self._given
        above, below, least, over, under = self.split(weights)
        own = 2 * given.square + least
        total = own + above + below
        band = given.curvature + given.soft.band(((above + below) * own + 4 * above * below) / total)
        band += given.hard.band(over + under)
        band[:, : self._fixed] = 0.0
        band[0, : self._fixed] = 1.0
        try:
            factor = cholesky_banded(band, lower=True, overwrite_ab=True, check_finite=False)
        except (LinAlgError, ValueError):
            return None
        return _Newton(self, given, self._fixed, weights, total, factor)


@dataclass(frozen=True, eq=False)
class _Newton:
    """The system of one iterate, factored: it serves a step towards the solution and one that is corrected."""

    steps: _Steps
    given: Program
    fixed: int
    weights: Floats
    total: Floats
    factor: Floats

    def step(
        self, multipliers: Floats, off: Floats, off_s: Floats, off_c: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """What to add to c, s, z, lam. `multipliers`: what is added to lam where the left sides do not move."""
        from scipy.linalg import cho_solve_banded

        above, below, least, over, under = self.steps.split(multipliers)
        tilt = self.steps.split(self.weights)
        tilt_s = tilt[1] - tilt[0]
        right_s = above + below + least - off_s
        right = self.given.soft.back(below - above - tilt_s * right_s / self.total) + self.given.hard.back(under - over)
        right -= off_c
        right[: self.fixed] = 0.0
        dc = cho_solve_banded((self.factor, True), right, check_finite=False)
        soft = self.given.soft.of(dc)
        ds = (right_s - tilt_s * soft) / self.total
        moved = self.steps.spread(soft, ds, self.given.hard.of(dc))
        return dc, ds, -off - moved, multipliers + self.weights * moved


def _most(values: Floats, steps: Floats) -> float:
    """How much of the step, 1 at most, keeps all values from becoming negative."""
    return 1.0 / max(1.0, float(np.max(-steps / values, initial=0.0)))


def _times(band: Floats, c: Floats) -> Floats:
    found = band[0] * c
    for below in range(1, min(REACH, len(c))):
        side = band[below, : len(c) - below]
        found[below:] += side * c[:-below]
        found[:-below] += side * c[below:]
    return np.asarray(found)

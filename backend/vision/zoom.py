"""How a window may grow and shrink within a shot: slowly, only when it pays, and never too small for what it holds."""

from __future__ import annotations

import numpy as np

from backend.vision.window import Floats

# Natural logarithm per s: a tenth of the picture's width takes two seconds. Faster is seen as a zoom.
ZOOM_PER_SEC = 0.05
# A shot whose window could not become this much smaller keeps its size.
_WORTH_RATIO = 0.8
# Zooms begin and end over this long.
_EASE_SEC = 2.0
_GRID_SEC = 0.1


def zoom_factors(needs: Floats, clock_sec: Floats, smallest: float) -> Floats:
    """What to multiply the window of a shot with on each frame (n,): from `smallest` to 1.

    `needs` (n,) is the share of the window that the padded subject fills, NaN where nobody is known. The factor is
    never below it (as far as it is below 1) and changes by at most ZOOM_PER_SEC; 1 throughout where it is not worth it.
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d  # slow to import, and only aggregators zoom

    known = np.isfinite(needs)
    if not known.any() or smallest >= _WORTH_RATIO or clock_sec[-1] - clock_sec[0] < 2 * _EASE_SEC:
        return np.ones(len(needs))
    grid = np.arange(clock_sec[0], clock_sec[-1] + _GRID_SEC, _GRID_SEC)
    wanted = np.full(len(grid), np.log(smallest))
    cell = np.round((clock_sec[known] - clock_sec[0]) / _GRID_SEC).astype(np.int64)
    np.maximum.at(wanted, cell, np.log(np.clip(needs[known], smallest, 1.0)))
    # The mean of the largest values around is never below the value itself, and bends gently. A cell more on either
    # side makes up for the rounding of times to the grid.
    width = 2 * round(_EASE_SEC / 2 / _GRID_SEC) + 1
    eased = uniform_filter1d(maximum_filter1d(_slow_envelope(wanted), width + 2), width, mode="nearest")
    factors = np.exp(np.interp(clock_sec, grid, eased))
    return np.asarray(factors) if factors.min() < _WORTH_RATIO else np.ones(len(needs))


def _slow_envelope(wanted: Floats) -> Floats:
    """The lowest curve on the grid above `wanted` that nowhere changes faster than ZOOM_PER_SEC."""
    slope = ZOOM_PER_SEC * _GRID_SEC * np.arange(len(wanted))
    rising = np.maximum.accumulate(wanted + slope) - slope
    falling = (np.maximum.accumulate((wanted - slope)[::-1])[::-1]) + slope
    return np.asarray(np.maximum(rising, falling))

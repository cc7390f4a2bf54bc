"""Windows between those that a user has set at given times: along lines, or along a smooth curve."""

from __future__ import annotations

from typing import Literal

import numpy as np

from backend.vision.window import Floats

Interpolation = Literal["linear", "smooth"]


def between(key_sec: Floats, values: Floats, times_sec: Floats, interpolation: Interpolation) -> Floats:
    """(n, d): the values (k, d) of the keys, at rising times, brought to other times. Held before the first key and
    after the last one; exactly the key's at its own time.

    `smooth` is a Catmull-Rom spline over the keys' real times (E. Catmull, R. Rom, 1974; for uneven times the
    tangents of the parabola through each key and its neighbours). It sets off and arrives at rest.
    """
    if interpolation == "linear" or len(key_sec) < 2:
        return np.column_stack([np.interp(times_sec, key_sec, column) for column in values.T])
    gaps_sec = np.diff(key_sec)
    slopes = np.diff(values, axis=0) / gaps_sec[:, None]
    tangents = np.zeros_like(values)
    before, after = gaps_sec[:-1, None], gaps_sec[1:, None]
    tangents[1:-1] = (slopes[:-1] * after + slopes[1:] * before) / (before + after)
    held_sec = np.clip(times_sec, key_sec[0], key_sec[-1])
    part = np.clip(np.searchsorted(key_sec, held_sec, side="right") - 1, 0, len(gaps_sec) - 1)
    gap = gaps_sec[part][:, None]
    t = (held_sec - key_sec[part])[:, None] / gap
    start, stop = values[part], values[part + 1]
    # Cubic Hermite.
    curve: Floats = (
        (2 * t**3 - 3 * t**2 + 1) * start
        + (t**3 - 2 * t**2 + t) * gap * tangents[part]
        + (3 * t**2 - 2 * t**3) * stop
        + (t**3 - t**2) * gap * tangents[part + 1]
    )
    return curve


def kept_inside(windows: Floats, frame_size: tuple[int, int], sizes: tuple[Floats, Floats]) -> Floats:
    """Windows (n, 4) of x, y, width, height, each no smaller or larger than `sizes` (2,), moved into the picture where
    a curve between two keys left it."""
    size = np.clip(windows[:, 2:], sizes[0], np.minimum(sizes[1], frame_size))
    middle = windows[:, :2] + windows[:, 2:] / 2
    corner = np.clip(middle - size / 2, 0, np.array(frame_size) - size)
    return np.hstack([corner, size])


def trimmed(windows: Floats, aspect: float) -> Floats:
    """The largest window of this shape (width by height) in the middle of each."""
    width = np.minimum(windows[:, 2], windows[:, 3] * aspect)
    height = np.minimum(windows[:, 3], windows[:, 2] / aspect)
    x, y = windows[:, 0] + (windows[:, 2] - width) / 2, windows[:, 1] + (windows[:, 3] - height) / 2
    return np.column_stack([x, y, width, height])

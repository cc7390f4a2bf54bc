"""How large a shot's window has to be for its camera to be calm.

A window that is just as large as the person in it has to follow all they do: it turns back, and still loses an arm. A
larger one stands nearly still and loses nothing, but shows them smaller, between bars where it is larger than any
window of its shape. What is worth what is said in prices, which are added up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.vision.moves import direction_changes
from backend.vision.window import FITS_PX, Floats, wanted_bands

# Of the frames with a body that fits, the share that cuts it off; of all, the share without the padding that there is
# room for; changes of direction a second; a window twice as large; and bars at all.
_CUT_OFF_PRICE, _TIGHT_PRICE, _TURN_PRICE, _TWICE_PRICE, _BARS_PRICE = 5.0, 1.0, 2.0, 0.4, 0.15
_LARGER, _LARGER_WITH_BARS = (1.12, 1.25), (1.25, 1.6, 2.0)
# Somebody too large for the window on more frames than this is seen from near: bars would make a face small.
_MOST_TOO_LARGE = 0.2
_GRACE_PX = 1.0


@dataclass(frozen=True, eq=False)
class Larger:
    """A window (width, height) in pixels, `times` as large as what it replaces, and what that costs."""

    size: Floats
    times: float
    price: float


def larger_windows(size: Floats, frame_size: tuple[int, int], boxes: Floats, *, bars: bool) -> Iterator[Larger]:
    """What a shot's window of `size` (width, height) may grow to, the cheapest first. `boxes` (n, 4) of its one person;
    `bars`: whether it may become wider or higher than its shape."""
    frame = np.array(frame_size, dtype=np.float64)
    limit = size * (frame / size).min()
    most = float(limit[0] / size[0])
    for times in _LARGER:
        if most > 1.01:
            yield Larger(size * min(times, most), min(times, most), _TWICE_PRICE * np.log2(min(times, most)))
        if times >= most:
            break
    if bars and _too_large(boxes, limit).mean() <= _MOST_TOO_LARGE:
        for times in _LARGER_WITH_BARS:
            wide = np.minimum(frame, limit * times)
            if (wide > limit + FITS_PX).any():
                grown = float((wide / size).max())
                yield Larger(wide, grown, _TWICE_PRICE * np.log2(grown) + _BARS_PRICE)


def unrest(
    boxes: Floats, centres: Floats, sizes: Floats, padding_ratio: float, seconds: float, frame_size: tuple[int, int]
) -> float:
    """What it costs how the windows of a shot (n, 2) follow one person's boxes (n, 4), NaN where nobody is known."""
    known = np.isfinite(boxes[:, 0])
    if not known.any():
        return 0.0
    turns = direction_changes(centres, [(0, len(centres))], frame_size[0]) / max(seconds, 1.0)
    here = boxes[known], centres[known], sizes[known]
    tight, cut_off = (~_held(*here, ratio, frame_size) for ratio in (padding_ratio, 0.0))
    cut_off &= ~_too_large(here[0], here[2])
    return _TURN_PRICE * turns + _TIGHT_PRICE * float(tight.mean()) + _CUT_OFF_PRICE * float(cut_off.mean())


def _held(
    boxes: Floats, centres: Floats, sizes: Floats, padding_ratio: float, frame_size: tuple[int, int]
) -> NDArray[np.bool_]:
    """On which frames the window has the box in it, and the padding as far as there is room in window and picture."""
    limits = sizes / 2, np.array(frame_size) - sizes / 2
    low, high = (np.clip(side, *limits) for side in wanted_bands(boxes, sizes, padding_ratio))
    return np.asarray(((centres >= low - _GRACE_PX) & (centres <= high + _GRACE_PX)).all(axis=1))


def _too_large(boxes: Floats, size: Floats) -> NDArray[np.bool_]:
    return np.asarray(((boxes[:, 2:] - boxes[:, :2]) > size + FITS_PX).any(axis=1))

"""How a window moves, as an editor sees it: how often it turns back, and how far it goes at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.vision.window import Floats, Shot

# Going back by less than this share of the frame width is not seen as a change of mind.
_TURN_RATIO = 0.01
_LURCH_SEC = 0.5


def direction_changes(centres: Floats, shots: Sequence[Shot], frame_width: int) -> int:
    """How often the window turns back within its shots, along x and along y, by more than 1 % of the frame width.

    `centres` (n_frames, 2) in pixels. Turning points as rainflow counting finds them: with hysteresis (ASTM E1049).
    """
    least_px = _TURN_RATIO * frame_width
    return sum(_turns(centres[start:stop, axis], least_px) for start, stop in shots for axis in range(2))


def _turns(places: Floats, least_px: float) -> int:
    turns, heading, furthest, lowest, highest = 0, 0, 0.0, np.inf, -np.inf
    for place in _extremes(places).tolist():
        if heading == 0:
            lowest, highest = min(lowest, place), max(highest, place)
            if highest - lowest > least_px:
                heading, furthest = (1, place) if place == highest else (-1, place)
        elif (place - furthest) * heading >= 0:
            furthest = place
        elif abs(place - furthest) > least_px:
            turns, heading, furthest = turns + 1, -heading, place
    return turns


def _extremes(places: Floats) -> Floats:
    """The first, the last and those between that are higher or lower than both neighbours: a small part of them."""
    steps = np.diff(places)
    moved = np.flatnonzero(steps)
    turning = moved[1:][np.sign(steps[moved[1:]]) != np.sign(steps[moved[:-1]])]
    return np.asarray(np.concatenate([places[:1], places[turning], places[-1:]]))


def largest_lurch(centres: Floats, times_sec: Floats, shots: Sequence[Shot], frame_width: int) -> float:
    """How far the window goes at the most within half a second of a shot, in frame widths; 0 where it stands still.

    `centres` (n_frames, 2) in pixels.
    """
    largest = 0.0
    for start, stop in shots:
        clock, own = times_sec[start:stop], centres[start:stop]
        later = np.minimum(np.searchsorted(clock, clock + _LURCH_SEC, side="right") - 1, len(clock) - 1)
        # Frames further apart than that count with their neighbour.
        later = np.minimum(np.maximum(later, np.arange(len(clock)) + 1), len(clock) - 1)
        largest = max(largest, float(np.hypot(*(own[later] - own).T).max(initial=0.0)))
    return round(largest / frame_width, 6)

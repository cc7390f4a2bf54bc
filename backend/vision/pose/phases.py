"""When a person moves and when not."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.vision.pose.person import Person
from backend.vision.pose.speeds import smoothed, stretches

Floats = NDArray[np.float64]

# In heights of the person a second: from here on it moves, until it falls below the second. Between the two it goes on
# with what it did.
MOVES_FROM, STILL_BELOW = 0.25, 0.12
SHORTEST_SEC = 0.4
# Of a body of which only the legs walk, or only the arms work, the others stand still: the fastest landmarks count, as
# many as there are limbs.
_FASTEST = 4
# Faster motion than a second's is of single joints; most of it is the detector's noise.
_CUTOFF_HZ = 1.5


@dataclass(frozen=True)
class Activity:
    """From the person's sample `start` up to `stop`."""

    state: Literal["moving", "still"]
    start: int
    stop: int
    start_sec: float
    end_sec: float
    mean_speed: float  # heights a second

    @property
    def seconds(self) -> float:
        return self.end_sec - self.start_sec


def body_speed(person: Person) -> Floats:
    """(n,) heights a second, the mean of the four fastest landmarks; NaN where fewer are seen."""
    places = person.places
    speeds = np.full(places.shape[:2], np.nan)
    for number in range(places.shape[1]):
        across, down = (smoothed(person.times_sec, places[:, number, axis], _CUTOFF_HZ)[1] for axis in (0, 1))
        speeds[:, number] = np.hypot(across, down)
    enough = np.isfinite(speeds).sum(axis=1) >= _FASTEST
    fastest = np.sort(np.where(np.isfinite(speeds), speeds, 0.0), axis=1)[:, -_FASTEST:]
    return np.where(enough, fastest.mean(axis=1) / person.height_px, np.nan)


def activities(person: Person, speed: Floats) -> list[Activity]:
    """In order. Nothing is said of times in which the person is not seen."""
    found: list[Activity] = []
    for start, stop in stretches(person.times_sec, np.isfinite(speed)):
        is_moving = _with_hysteresis(speed[start:stop])
        edges = [0, *(np.flatnonzero(np.diff(is_moving.astype(np.int8))) + 1).tolist(), stop - start]
        pieces = [(bool(is_moving[low]), start + low, start + high) for low, high in pairwise(edges)]
        found += [_activity(person, speed, *piece) for piece in _without_short(pieces, person.times_sec)]
    return found


def _with_hysteresis(speed: Floats) -> NDArray[np.bool_]:
    states = np.zeros(len(speed), bool)
    moving = bool(speed[0] >= (MOVES_FROM + STILL_BELOW) / 2)
    for number, value in enumerate(speed):
        moving = value >= (STILL_BELOW if moving else MOVES_FROM)
        states[number] = moving
    return states


def _without_short(pieces: list[tuple[bool, int, int]], times_sec: Floats) -> list[tuple[bool, int, int]]:
    """The shortest first, each that is too short becomes part of what is around it."""
    pieces = list(pieces)
    while len(pieces) > 1:
        seconds = [_end_sec(times_sec, stop) - times_sec[start] for _, start, stop in pieces]
        number = int(np.argmin(seconds))
        if seconds[number] >= SHORTEST_SEC:
            break
        low, high = max(0, number - 1), min(len(pieces), number + 2)
        pieces[low:high] = [(not pieces[number][0], pieces[low][1], pieces[high - 1][2])]
    return pieces


def _activity(person: Person, speed: Floats, is_moving: bool, start: int, stop: int) -> Activity:
    return Activity(
        state="moving" if is_moving else "still",
        start=start,
        stop=stop,
        start_sec=float(person.times_sec[start]),
        end_sec=_end_sec(person.times_sec, stop),
        mean_speed=float(speed[start:stop].mean()),
    )


def _end_sec(times_sec: Floats, stop: int) -> float:
    """Until the sample after it, if that follows at once."""
    last = stop - 1
    if stop < len(times_sec) and times_sec[stop] - times_sec[last] <= SHORTEST_SEC:
        last = stop
    return float(times_sec[last])

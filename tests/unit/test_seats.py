"""Tracks that follow one another at one place of a shot are one place; everybody else has a place of their own."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from backend.vision.seats import seats
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline

FPS = 25
TIMELINE = Timeline(np.arange(20 * FPS), Fraction(1, FPS), (1280, 720))
WHOLE = [(0, 20 * FPS)]


def track(track_id: int, start_sec: float, stop_sec: float, x: float = 300.0) -> Track:
    pts = np.arange(round(start_sec * FPS), round(stop_sec * FPS), 2)
    return Track(track_id, pts, np.tile([x, 100.0, x + 200.0, 700.0], (len(pts), 1)), np.ones(len(pts)))


def test_whoever_begins_where_somebody_ended_has_that_place() -> None:
    found = seats([track(3, 12, 18), track(1, 0, 5), track(2, 5.5, 11, x=380.0)], TIMELINE, WHOLE)
    assert found == [(1, 2, 3)]


@pytest.mark.parametrize(
    ("later", "shots"),
    [
        (track(2, 5.5, 11, x=700.0), WHOLE),
        (track(2, 8, 11), WHOLE),
        (track(2, 3, 11), WHOLE),
        (track(2, 5.5, 11), [(0, 5 * FPS), (5 * FPS, 20 * FPS)]),
    ],
    ids=["at another place", "long after", "beside one another", "after a cut"],
)
def test_everybody_else_has_an_own_one(later: Track, shots: list[tuple[int, int]]) -> None:
    assert seats([track(1, 0, 5), later], TIMELINE, shots) == [(1,), (2,)]


def test_of_two_places_the_nearer_one_is_taken_and_none_twice() -> None:
    before = [track(1, 0, 5, x=300.0), track(2, 0, 5, x=400.0)]
    found = seats([*before, track(3, 5.2, 9, x=410.0), track(4, 5.4, 9, x=420.0)], TIMELINE, WHOLE)
    assert found == [(1, 4), (2, 3)]


def test_nobody_is_nowhere() -> None:
    assert seats([], TIMELINE, WHOLE) == []

"""Where a window is placed among people whom it cannot all hold: the best sequence of places, and a calm one."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest

from backend.vision import placement
from backend.vision.camera_path import solve_path
from backend.vision.moves import direction_changes
from backend.vision.placement import placed
from backend.vision.sightings import Sighting, Sightings
from backend.vision.stitch import Track
from backend.vision.subject import choose_subject
from backend.vision.timeline import Timeline
from backend.vision.window import CropSpec, Room, room_of

SIZE, RATE = (1920, 1080), 10
SPEC = CropSpec(aspect=Fraction(9, 16))
ROOM = room_of(SPEC, SIZE)


def walkers(*middles: np.ndarray, height: float = 400.0) -> list[Track]:
    """People whose boxes have these middles along x, ten a second; NaN where they are not there."""
    tracks = []
    for number, x in enumerate(middles, start=1):
        at = np.flatnonzero(np.isfinite(x))
        boxes = np.stack([x[at] - height / 6, np.full(len(at), 500.0), x[at] + height / 6, np.full(len(at), 900.0)], 1)
        tracks.append(Track(number, at.astype(np.int64), boxes, np.full(len(at), 0.9)))
    return tracks


def seen(tracks: list[Track], frames: int) -> tuple[list[Sighting], np.ndarray]:
    timeline = Timeline(np.arange(frames), Fraction(1, RATE), SIZE)
    return Sightings(tracks, timeline).on(timeline.frame_pts, timeline.times_sec), timeline.times_sec


def cost_of(places: tuple[int, ...], headings: tuple[int, ...], unit: float) -> float:
    """What it costs to be at these places while heading like that; infinite where that cannot be."""
    fresh, stood_up, stood_down, up, down = range(5)
    total = 0.0
    for before, after, was, now in zip(places, places[1:], headings, headings[1:], strict=False):
        step = after - before
        total += placement._PLACE_SEC * unit * abs(step)
        if now in (fresh, stood_up, stood_down):
            arrived = {fresh: (fresh,), stood_up: (stood_up, up), stood_down: (stood_down, down)}[now]
            if step or was not in arrived:
                return np.inf
            continue
        if (step < 0 and now == up) or (step > 0 and now == down):
            return np.inf
        total += placement._ON_THE_WAY * unit * placement.STEP_SEC
        if was != now:
            turns = was in ((stood_down, down) if now == up else (stood_up, up))
            total += unit * (placement._SET_OUT_SEC + (placement._TURN_SEC if turns else 0.0))
    return total


@pytest.mark.parametrize("seed", range(6))
def test_no_sequence_of_places_is_better_than_the_one_that_is_found(seed: int) -> None:
    steps, places = 4, 3
    worth = np.random.default_rng(seed).random((steps, places)) * 3
    unit, apart = 0.5, 0.05  # one place a step at the most: 0.35 * 0.2 / 0.05
    found = tuple(placement._best_places(worth, unit, apart).tolist())

    def best(sequence: tuple[int, ...]) -> float:
        gained = sum(worth[step, place] for step, place in enumerate(sequence))
        if any(abs(one - other) > 1 for one, other in pairwise(sequence)):
            return -np.inf
        return gained - min(cost_of(sequence, (0, *later), unit) for later in product(range(5), repeat=steps - 1))

    assert best(found) == pytest.approx(max(best(each) for each in product(range(places), repeat=steps)))


def test_a_window_stands_still_while_a_crowd_mills_about() -> None:
    rng, frames = np.random.default_rng(3), 600
    times = np.arange(frames) / RATE
    middles = [900 + 500 * np.sin(2 * np.pi * times / rng.uniform(9, 20) + rng.uniform(0, 6)) for _ in range(8)]
    tracks = walkers(*middles)
    timeline = Timeline(np.arange(frames), Fraction(1, RATE), SIZE)
    subject = choose_subject(tracks, timeline, "all", room=ROOM)
    path = solve_path(subject.boxes, timeline, SPEC, bodies=subject.bodies)
    assert direction_changes(path.centres, path.shots, SIZE[0]) <= 3  # one in 20 s


def test_the_window_is_where_most_people_are_and_follows_them_to_another_place() -> None:
    frames = 400
    moved = np.where(np.arange(frames) < 200, 400.0, 1600.0)
    people, times_sec = seen(walkers(moved - 100, moved + 100, np.full(frames, 1000.0)), frames)
    found = placed(people, times_sec, SIZE, ROOM)
    centres = found.low + ROOM.width_px / 2
    assert abs(centres[found.rows < 180] - 400).max() < 200
    assert abs(centres[found.rows > 240] - 1600).max() < 200


def test_somebody_is_always_shown_who_is_there() -> None:
    frames = 300
    there = np.arange(frames)
    left, right = np.where(there < 100, 300.0, np.nan), np.where(there >= 100, 1600.0, np.nan)
    people, times_sec = seen(walkers(left, right), frames)
    found = placed(people, times_sec, SIZE, ROOM)
    assert (found.worth.max(axis=0) > 0)[(found.rows < 90) | (found.rows > 140)].all()


def test_along_y_where_the_window_is_as_wide_as_the_picture() -> None:
    frames, size = 100, (1080, 1920)
    boxes = np.tile([400.0, 1400.0, 600.0, 1900.0], (frames, 1))
    timeline = Timeline(np.arange(frames), Fraction(1, RATE), size)
    people = Sightings([Track(1, np.arange(frames), boxes, np.ones(frames))], timeline)
    found = placed(
        people.on(timeline.frame_pts, timeline.times_sec), timeline.times_sec, size, Room(1080.0, 608.0, 0.1)
    )
    assert found.axis == 1
    assert ((found.low <= 1400) & (found.low + 608 >= 1900)).all()


def test_nobody_and_single_frames_have_a_place() -> None:
    for frames in (1, 2, 3):
        people, times_sec = seen([], frames)
        found = placed(people, times_sec, SIZE, ROOM)
        assert len(found.low) >= 1 and found.worth.shape == (0, len(found.rows))


def test_a_picture_of_any_shape_has_few_enough_places_and_one_that_fits_has_one() -> None:
    for size, room in (((16, 16_000), Room(16.0, 9.0, 0.1)), ((100, 100), Room(100.0, 100.0, 0.1))):
        timeline = Timeline(np.arange(20), Fraction(1, RATE), size)
        boxes = np.tile([1.0, 1.0, 9.0, 9.0], (20, 1))
        people = Sightings([Track(1, np.arange(20), boxes, np.ones(20))], timeline)
        found = placed(people.on(timeline.frame_pts, timeline.times_sec), timeline.times_sec, size, room)
        assert np.isfinite(found.low).all() and (found.low <= max(size) - min(room.size_px) + 1).all()


def test_empty_minutes_make_no_move_cheaper() -> None:
    frames, rng = 300, np.random.default_rng(5)
    middles = [900 + 500 * np.sin(np.arange(frames) / RATE / 3 + rng.uniform(0, 6)) for _ in range(5)]
    short, times_sec = seen(walkers(*middles), frames)
    long = [np.concatenate([x, np.full(20 * frames, np.nan)]) for x in middles]
    longer, long_sec = seen(walkers(*long), 21 * frames)
    alone, in_company = placed(short, times_sec, SIZE, ROOM), placed(longer, long_sec, SIZE, ROOM)
    assert in_company.low[: len(alone.low) - 10] == pytest.approx(alone.low[:-10])

"""Where not everybody fits into the window, it holds whole people, keeps to them, and never the gap between them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from backend.vision.camera_path import solve_path
from backend.vision.certificate import certificate
from backend.vision.stitch import Track
from backend.vision.subject import Subject, choose_subject
from backend.vision.timeline import Timeline
from backend.vision.window import CropSpec, Room, room_of

SIZE, TIME_BASE = (1920, 1080), Fraction(1, 25)
FRAMES = np.arange(500)  # 20 s
SPEC = CropSpec(aspect=Fraction(9, 16))
ROOM = room_of(SPEC, SIZE)


def person(track_id: int, x: Any, start: int = 0, stop: int = 500, height: Any = 600.0) -> Track:
    """Standing at x (the middle of the box, or one for each frame), a third as wide as high, on the frames given."""
    pts = FRAMES[start:stop]
    x, height = np.broadcast_to(x, len(FRAMES))[start:stop], np.broadcast_to(height, len(FRAMES))[start:stop]
    boxes = np.stack([x - height / 6, 1000 - height, x + height / 6, np.full(len(pts), 1000.0)], axis=1)
    sampled = np.arange(len(pts)) % 3 == 0
    return Track(track_id, pts[sampled], boxes[sampled], np.full(int(sampled.sum()), 0.9))


def choose(*tracks: Track, mode: str = "all", room: Room | None = ROOM) -> Subject:
    return choose_subject(tracks, Timeline(FRAMES, TIME_BASE, SIZE), mode, room=room)


def middles(subject: Subject) -> np.ndarray:
    return (subject.boxes[:, 0] + subject.boxes[:, 2]) / 2


def changes(subject: Subject) -> int:
    known = middles(subject)[np.isfinite(subject.boxes[:, 0])]
    return int((np.abs(np.diff(known)) > 50).sum())


def test_two_people_far_apart_leave_one_of_them_whole_and_the_gap_outside() -> None:
    tracks = [person(1, 300, height=700), person(2, 1600)]
    subject = choose(*tracks)
    assert middles(subject) == pytest.approx(300)
    assert subject.left_out.all() and not subject.passing.any()
    path = solve_path(subject.boxes, Timeline(FRAMES, TIME_BASE, SIZE), SPEC)
    assert certificate(path, subject.boxes, Timeline(FRAMES, TIME_BASE, SIZE))["containment_pct"] == 100


def test_named_tracks_are_treated_alike() -> None:
    tracks = [person(1, 300, height=700), person(2, 1600), person(3, 1100, height=900)]
    assert middles(choose(*tracks, mode="track:1,track:2")) == pytest.approx(300)


def test_everyone_who_fits_together_is_shown_together() -> None:
    subject = choose(person(1, 900), person(2, 1150), person(3, 200))
    assert subject.boxes[250, [0, 2]] == pytest.approx([800, 1250])


def test_without_a_limit_or_with_bars_everybody_is_in_the_box() -> None:
    tracks = [person(1, 300), person(2, 1600)]
    with_bars = room_of(CropSpec(aspect=Fraction(9, 16), fill="pad"), SIZE)
    for room in (None, with_bars):
        subject = choose(*tracks, room=room)
        assert subject.boxes[250, [0, 2]] == pytest.approx([200, 1700]) and not subject.left_out.any()


def test_two_people_of_changing_size_are_not_taken_in_turns() -> None:
    sway = 40 * np.sin(FRAMES / 8)
    subject = choose(person(1, 300, height=600 + sway), person(2, 1600, height=600 - sway))
    assert changes(subject) == 0 and not subject.passing.any()


def test_who_becomes_much_bigger_for_long_takes_over_once() -> None:
    shrinking = np.interp(FRAMES, [0, 200, 300], [800.0, 800.0, 300.0])
    growing = np.interp(FRAMES, [0, 200, 300], [300.0, 300.0, 800.0])
    subject = choose(person(1, 300, height=shrinking), person(2, 1600, height=growing))
    assert changes(subject) == 1
    assert middles(subject)[[10, 490]] == pytest.approx([300, 1600])
    assert 20 < subject.passing.sum() < 100  # a pan


def test_the_picture_goes_to_who_is_left() -> None:
    subject = choose(person(1, 300, stop=300, height=800), person(2, 1600, height=500))
    assert middles(subject)[[10, 400]] == pytest.approx([300, 1600])


def test_who_stays_is_held_while_another_joins_or_leaves() -> None:
    joining = choose(person(1, 900), person(2, 1150, start=250))
    assert not joining.passing.any() and np.isfinite(joining.boxes).all()
    assert (joining.boxes[:, 0] <= 801).all() and (joining.boxes[:, 2] >= 999).all()
    leaving = choose(person(1, 900), person(2, 1150, stop=250))
    assert not leaving.passing.any() and (leaving.boxes[:, 2] >= 999).all()


def test_a_pair_that_walks_apart_keeps_one_and_pairs_up_again() -> None:
    apart = np.interp(FRAMES, [0, 150, 200, 300, 350, 500], [250.0, 250.0, 900.0, 900.0, 250.0, 250.0])
    subject = choose(person(1, 700, height=650), person(2, 700 + apart))
    for frame in range(len(FRAMES)):
        width = subject.boxes[frame, 2] - subject.boxes[frame, 0]
        assert width <= ROOM.width_px + 1, frame
    assert (subject.boxes[:, 0] <= 700 - 650 / 6 + 1).all()  # the first person throughout
    assert subject.boxes[[10, 490], 2] == pytest.approx([1050, 1050])


def test_a_smaller_person_whom_the_window_holds_goes_before_one_whom_it_cuts_off() -> None:
    wide = Track(1, FRAMES[::3], np.tile([100.0, 100, 1200, 1080], (167, 1)), np.full(167, 0.9))
    subject = choose(wide, person(2, 1600, height=700))
    assert middles(subject) == pytest.approx(1600)
    assert middles(choose(wide)) == pytest.approx(650)


def test_a_crowd_is_held_as_the_group_that_fits() -> None:
    crowd = [person(number, 150 * number, height=400) for number in range(1, 12)]
    subject = choose(*crowd)
    width = subject.boxes[:, 2] - subject.boxes[:, 0]
    assert (width > 350).all() and (width <= ROOM.width_px + 0.5).all()
    assert changes(subject) == 0


def test_long_shots_change_hands_where_people_do_not_where_blocks_end() -> None:
    frames = np.arange(2_000)  # 80 s, four times as long as people are looked at together
    boxes = [np.tile([x - 100.0, 400, x + 100, 1000], (400, 1)) for x in (300, 1600)]
    tracks = [Track(number, frames[::5], each, np.full(400, 0.9)) for number, each in enumerate(boxes, 1)]
    subject = choose_subject(tracks, Timeline(frames, TIME_BASE, SIZE), "all", room=ROOM)
    assert changes(subject) == 0 and len(set(subject.boxes[:, 0])) == 1

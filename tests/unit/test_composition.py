"""Who walks has room in front of them; eyes are near the upper third where the window has the height."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from backend.vision.camera_path import solve_path
from backend.vision.composition import composed
from backend.vision.heads import head_boxes
from backend.vision.limbs import Bodies
from backend.vision.timeline import Timeline
from backend.vision.window import CropSpec, wanted_bands

SIZE, COUNT = (1000, 500), 250
TIMES_SEC = np.arange(COUNT) / 25
TIMELINE = Timeline(np.arange(COUNT), Fraction(1, 25), SIZE)
SPEC = CropSpec(aspect=Fraction(9, 16), zoom=False)


def walker(pace_px: float, start: float = 200.0) -> np.ndarray:
    x = start + pace_px * TIMES_SEC
    return np.stack([x, 0 * x + 100, x + 80, 0 * x + 400], axis=1)


@pytest.mark.parametrize(("pace_px", "start"), [(60.0, 150.0), (-60.0, 770.0)])
def test_who_walks_on_has_more_room_in_front_than_behind(pace_px: float, start: float) -> None:
    boxes = walker(pace_px, start)
    path = solve_path(boxes, TIMELINE, SPEC)
    middle = (boxes[:, 0] + boxes[:, 2]) / 2
    ahead = (path.centres[:, 0] - middle) * np.sign(pace_px)
    assert (ahead[25:-25] > 0).mean() > 0.9


def test_a_group_has_no_front() -> None:
    boxes, sizes = walker(60.0), np.tile([280.0, 500.0], (COUNT, 1))
    wanted = wanted_bands(boxes, sizes, 0.12)
    heads = head_boxes(boxes, SIZE)
    group, person = (
        composed(wanted, boxes, heads, np.full(COUNT, alone), sizes, TIMES_SEC, [(0, COUNT)], SIZE)
        for alone in (False, True)
    )
    np.testing.assert_array_equal(group[0][:, 0], wanted[0][:, 0])
    assert (person[0][50:200, 0] > wanted[0][50:200, 0] + 10).all()


def test_who_stands_still_is_not_led() -> None:
    boxes, sizes = walker(0.0), np.tile([280.0, 500.0], (COUNT, 1))
    wanted = wanted_bands(boxes, sizes, 0.12)
    found = composed(
        wanted, boxes, head_boxes(boxes, SIZE), np.ones(COUNT, dtype=bool), sizes, TIMES_SEC, [(0, COUNT)], SIZE
    )
    np.testing.assert_array_equal(found[0][:, 0], wanted[0][:, 0])
    np.testing.assert_array_equal(found[1][:, 0], wanted[1][:, 0])


def test_eyes_are_nearer_to_the_upper_third_than_centring_has_them() -> None:
    tall = Timeline(TIMELINE.frame_pts, TIMELINE.time_base, (600, 1200))
    boxes = np.tile([200.0, 500.0, 320.0, 800.0], (COUNT, 1))
    path = solve_path(boxes, tall, CropSpec(aspect=Fraction(1), zoom=False, min_crop_ratio=1.0))
    eyes = 500 + 300 / 14
    placed = (eyes - path.y) / path.height
    centred = (eyes - (650 - path.height / 2)) / path.height
    assert (np.abs(placed - 1 / 3) < np.abs(centred - 1 / 3)).all() or (np.abs(placed - 1 / 3) < 0.1).all()
    assert (path.y + path.height > 800 + 0.05 * 300).all()


def test_eyes_are_where_the_head_is_seen() -> None:
    """Somebody who bends: the head is seen in the middle of the box, not at its top."""
    boxes, sizes = np.tile([200.0, 100.0, 320.0, 400.0], (COUNT, 1)), np.tile([280.0, 500.0], (COUNT, 1))
    tall, wanted = (600, 1200), (np.full((COUNT, 2), 0.0), np.full((COUNT, 2), 1200.0))
    seen = np.tile([240.0, 300.0, 280.0, 350.0], (COUNT, 1))
    leads = np.zeros(COUNT, dtype=bool)
    low, high = composed(wanted, boxes, seen, leads, sizes, TIMES_SEC, [(0, COUNT)], tall)
    assert low[0, 1] <= 325 + 500 / 6 <= high[0, 1] and (low[0, 1] + high[0, 1]) / 2 == 325 + 500 / 6


def test_nobody_wants_nothing() -> None:
    nobody, sizes = np.full((COUNT, 4), np.nan), np.tile([280.0, 500.0], (COUNT, 1))
    wanted = wanted_bands(nobody, sizes, 0.12)
    found = composed(wanted, nobody, nobody, np.zeros(COUNT, dtype=bool), sizes, TIMES_SEC, [(0, COUNT)], SIZE)
    assert np.isnan(found[0]).all() and np.isnan(found[1]).all()


def test_a_body_alone_is_what_the_box_holds() -> None:
    boxes = walker(60.0)
    bodies = Bodies(boxes, np.ones(COUNT, dtype=np.bool_), head_boxes(boxes, SIZE))
    alone, given = solve_path(boxes, TIMELINE, SPEC), solve_path(boxes, TIMELINE, SPEC, bodies=bodies)
    np.testing.assert_array_equal(alone.x, given.x)

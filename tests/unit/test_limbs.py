"""An arm that is stretched out for a moment moves nothing; a person who steps aside does."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from backend.vision.camera_path import CameraPath, solve_path
from backend.vision.candidates import People
from backend.vision.heads import head_boxes, heads_first
from backend.vision.limbs import Bodies, without_limbs
from backend.vision.moves import direction_changes
from backend.vision.timeline import Timeline
from backend.vision.window import CropSpec

SIZE, COUNT = (1000, 500), 250
TIMES_SEC = np.arange(COUNT) / 25
TIMELINE = Timeline(np.arange(COUNT), Fraction(1, 25), SIZE)
SPEC = CropSpec(aspect=Fraction(9, 16), zoom=False)


def standing(left: np.ndarray | float = 440.0, right: np.ndarray | float = 560.0) -> np.ndarray:
    full = np.ones(COUNT)
    return np.stack([left * full, 50 * full, right * full, 480 * full], axis=1)


def arm_out(start: int, stop: int, reach: float = 140.0) -> np.ndarray:
    boxes = standing()
    boxes[start:stop, 2] += reach
    return boxes


def path_without_limbs(boxes: np.ndarray) -> CameraPath:
    return solve_path(
        boxes,
        TIMELINE,
        SPEC,
        bodies=Bodies(without_limbs(boxes, TIMES_SEC), np.ones(COUNT, dtype=np.bool_), head_boxes(boxes, SIZE)),
    )


def test_an_arm_for_a_moment_is_no_part_of_the_body_and_moves_nothing() -> None:
    boxes = arm_out(100, 112, reach=200.0)
    np.testing.assert_allclose(without_limbs(boxes, TIMES_SEC), standing(), atol=80.1)
    moved, still = solve_path(boxes, TIMELINE, SPEC), path_without_limbs(boxes)
    assert np.ptp(moved.x) > 10 and direction_changes(moved.centres, moved.shots, SIZE[0]) > 0
    assert np.ptp(still.x) < 10 and direction_changes(still.centres, still.shots, SIZE[0]) == 0


def test_an_arm_that_stays_out_is_held() -> None:
    boxes = arm_out(100, 225, reach=100.0)
    assert (without_limbs(boxes, TIMES_SEC)[115:210] == boxes[115:210]).all()


def test_who_steps_aside_or_walks_is_followed() -> None:
    aside = 200.0 * np.clip((TIMES_SEC - 4) / 0.5, 0, 1)
    walking = 60.0 * (TIMES_SEC - 5)
    for moved in (aside, walking):
        boxes = standing(440 + moved, 560 + moved)
        core = without_limbs(boxes, TIMES_SEC)
        assert np.abs(core - boxes).max() < 35
        path = path_without_limbs(boxes)
        head = (boxes[:, 0] + boxes[:, 2]) / 2
        assert ((head > path.x + 25) & (head < path.x + path.width - 25)).all()


def test_the_body_is_never_more_than_the_box_and_always_its_middle_quarter() -> None:
    noise = np.random.default_rng(1)
    boxes = standing(noise.uniform(200, 450, COUNT), noise.uniform(500, 900, COUNT))
    core, quarter = without_limbs(boxes, TIMES_SEC), (boxes[:, 2] - boxes[:, 0]) * 3 / 8
    assert (core[:, 0] >= boxes[:, 0]).all() and (core[:, 2] <= boxes[:, 2]).all()
    assert (core[:, 0] <= boxes[:, 0] + quarter + 1e-9).all() and (core[:, 2] >= boxes[:, 2] - quarter - 1e-9).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_frames_and_long_gaps_do_no_harm(count: int) -> None:
    boxes, apart = standing()[:count], np.arange(count) * 5.0
    np.testing.assert_array_equal(without_limbs(boxes, apart), boxes)
    np.testing.assert_array_equal(without_limbs(boxes, np.arange(count) / 25), boxes)


def test_the_cores_of_those_in_the_box_are_joined_and_others_left_out() -> None:
    bodies = np.array([[100.0, 50, 200, 400], [300.0, 50, 400, 400], [700.0, 50, 800, 400]])
    cores = bodies + np.array([10.0, 0, -10, 0])
    people = People(np.zeros(3, dtype=np.int64), bodies, cores, bodies - 1.0, np.ones(3, dtype=np.bool_))
    union = np.array([[100.0, 50, 400, 400], [500.0, 50, 600, 400], [np.nan] * 4])
    found = people.bodies_in(union, SIZE)
    assert found.cores[0].tolist() == [110, 50, 390, 400]
    assert found.cores[1].tolist() == union[1].tolist() and np.isnan(found.cores[2]).all()


def test_the_head_of_one_alone_is_that_persons_and_of_several_where_one_of_their_size_would_have_it() -> None:
    bodies = np.array([[100.0, 50, 200, 400], [300.0, 50, 400, 400], [100.0, 50, 200, 400]])
    seen = np.array([[150.0, 90, 180, 130]] * 3)
    people = People(np.array([0, 0, 1]), bodies, bodies, seen, np.ones(3, dtype=np.bool_))
    boxes = np.array([[100.0, 50, 400, 400], [100.0, 50, 200, 400]])
    found = people.bodies_in(boxes, SIZE)
    assert found.alone.tolist() == [False, True] and found.heads[1].tolist() == seen[0].tolist()
    assert found.heads[0].tolist() == head_boxes(boxes[:1], SIZE)[0].tolist()


def test_of_who_is_higher_than_the_window_the_head_is_shown() -> None:
    portrait = Timeline(TIMELINE.frame_pts, TIMELINE.time_base, (500, 1000))
    boxes = np.tile([50.0, 300.0, 450.0, 1000.0], (COUNT, 1))
    path = solve_path(boxes, portrait, CropSpec(aspect=Fraction(1), zoom=False))
    assert (path.height == 500).all()
    assert ((path.y < 300) & (path.y > 250)).all()


def test_what_fits_is_not_cut_at_the_feet_and_nothing_jumps_as_a_body_grows() -> None:
    heights = np.linspace(300, 700, COUNT)
    boxes = np.stack([heights * 0, 100 + 0 * heights, heights * 0 + 200, 100 + heights], axis=1)
    found = heads_first(boxes, head_boxes(boxes, (1920, 1080)), np.full((COUNT, 2), 500.0), (1920, 1080))
    fits = heights <= 500
    np.testing.assert_array_equal(found[fits], boxes[fits])
    assert np.abs(np.diff(found[:, 3])).max() < 3 and found[-1].tolist() == [0, 100, 200, 550]

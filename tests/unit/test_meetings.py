"""Where tracks meet is known, and how much looks say is learnt from who cannot be one and who must be."""

from __future__ import annotations

import numpy as np
import pytest

from backend.vision.likeness import Likeness, Looks, learnt, looks_of
from backend.vision.looks_record import LOOKS_BYTES
from backend.vision.meetings import meeting_points, overlaps
from backend.vision.stitch import Track

TOUCH = 0.3


def track(number: int, lefts: list[float], start: int = 0, looks: np.ndarray | None = None) -> Track:
    """100 px wide, at x on each frame from `start` on."""
    pts = np.arange(start, start + len(lefts))
    boxes = np.array([[left, 0.0, left + 100, 300.0] for left in lefts])
    rows = None if looks is None else np.tile(looks, (len(pts), 1)).astype(np.uint8)
    return Track(number, pts, boxes, np.full(len(pts), 0.9), looks=rows)


def clothes(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 120, LOOKS_BYTES)


def apart_from_everybody(tracks: list[Track]) -> list[np.ndarray]:
    return [np.zeros(len(each.pts)) for each in tracks]


def test_overlap_is_of_the_smaller_box_and_on_the_same_frame_only() -> None:
    first, second = track(1, [0, 0, 0, 0]), track(2, [500, 50, 75], start=1)
    met, _ = overlaps([first, second])
    assert met[0].tolist() == pytest.approx([0, 0, 0.5, 0.25])
    assert met[1].tolist() == pytest.approx([0, 0.5, 0.25])
    assert overlaps([]) == ([], [])


def test_who_stands_nearer_hides_the_other_and_of_two_as_near_each_hides_each() -> None:
    far, near, as_near = track(1, [0.0, 0.0]), track(2, [50.0, 50.0]), track(3, [400.0, 20.0])
    near.boxes[:, 3] = as_near.boxes[:, 3] = 330
    _, hidden = overlaps([far, near, as_near])
    assert [each[0] for each in hidden] == pytest.approx([0.5, 0, 0])
    assert hidden[1][1] == hidden[2][1] == pytest.approx(0.7)


def test_of_many_people_at_one_place_everybody_meets_the_nearest() -> None:
    crowd = [track(number, [10.0 * number]) for number in range(6)]
    met, _ = overlaps(crowd)
    assert [float(each[0]) for each in met] == pytest.approx([0.9] * 6)


def test_each_meeting_is_one_point_and_its_ends_are_none() -> None:
    assert meeting_points(np.array([0, 0.4, 0.6, 0.4, 0, 0, 0.5, 0]), TOUCH) == [2, 6]
    assert meeting_points(np.array([0.9, 0.1, 0.1, 0.8]), TOUCH) == []


def test_where_clothes_differ_looks_say_much_and_in_uniform_nothing() -> None:
    def film(worn: list[np.ndarray]) -> list[Track]:
        return [track(n, [300.0 * n] * 30, looks=each) for n, each in enumerate(worn)]

    mixed, uniform = film([clothes(n) for n in range(6)]), film([clothes(0)] * 6)
    say = [learnt(tracks, *[apart_from_everybody(tracks)] * 2, TOUCH) for tracks in (mixed, uniform)]
    one, same, other = (looks_of([each], [np.zeros(30)], TOUCH) for each in (mixed[0], mixed[0], mixed[1]))
    assert say[0].ratio(one, same)[0] > 3
    assert say[0].ratio(one, other)[0] < -3
    assert abs(say[1].ratio(one, same)[0]) < 1.5


def test_what_is_seen_beside_others_or_never_tells_little() -> None:
    person = track(1, [0.0] * 20, looks=clothes(1))
    alone, beside = (looks_of([person], [np.full(20, met)], TOUCH) for met in (0.0, 0.8))
    unknown = looks_of([track(1, [0.0] * 20)], [np.zeros(20)], TOUCH)
    assert alone.known[0] > 0.85 > 0.4 > beside.known[0]
    assert unknown.known[0] == 0
    nothing = Looks(np.zeros((1, LOOKS_BYTES)), np.zeros(1), np.arange(1))
    assert Likeness(-2.5, -1.2, 0.5).ratio(alone, nothing)[0] == 0

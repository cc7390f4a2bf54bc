"""Heads by the shape of a box, and what a window shows of people as an editor counts it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from backend.vision.camera_path import CameraPath, path_of, solve_path
from backend.vision.candidates import People
from backend.vision.certificate import certificate
from backend.vision.heads import head_boxes
from backend.vision.holding import counted
from backend.vision.holding_words import headline, shortfalls
from backend.vision.showing import showing
from backend.vision.stitch import Track
from backend.vision.subject import choose_subject
from backend.vision.timeline import Timeline
from backend.vision.window import CropSpec

SIZE, TIMES_SEC = (1000, 500), np.arange(50) / 25
TIMELINE = Timeline(np.arange(50), Fraction(1, 25), SIZE)


def window(left: float, width: float = 280.0, output: tuple[int, int] = (280, 500)) -> CameraPath:
    sizes = np.tile([width, width * 500 / 280], (50, 1))
    return path_of(np.tile([left, 0.0], (50, 1)) + sizes / 2, sizes, SIZE, ((0, 50),), output)


def people(*boxes: tuple[float, float, float, float], asked: bool = True) -> People:
    frames = np.tile(np.arange(50), len(boxes))
    rows = np.repeat(np.array(boxes, dtype=float), 50, axis=0)
    return People(frames, rows, rows, head_boxes(rows, SIZE), np.full(len(frames), asked))


def shown(path: CameraPath, seen: People) -> dict[str, Any]:
    return showing(path, seen, TIMES_SEC, SIZE)


def test_the_head_of_who_stands_is_a_seventh_at_the_top_in_the_middle() -> None:
    [head] = head_boxes(np.array([[100.0, 50.0, 240.0, 400.0]]), (800, 500))
    assert head.tolist() == pytest.approx([170 - 18.75, 50, 170 + 18.75, 100])


def test_a_bust_that_the_picture_cuts_off_has_a_larger_head_and_outstretched_arms_have_none() -> None:
    cut_off, arms = head_boxes(np.array([[100.0, 200.0, 400.0, 500.0], [100.0, 100.0, 400.0, 400.0]]), (800, 500))
    assert cut_off[3] - cut_off[1] == pytest.approx(100)
    assert arms[3] - arms[1] == pytest.approx(300 / 7)


def test_a_head_is_held_where_the_body_is_too_wide_for_the_window() -> None:
    found = shown(window(300), people((280, 100, 620, 400)))
    assert found["heads_held_pct"] == 100 and found["whole_held_pct"] is None


def test_whole_people_are_counted_of_those_who_fit() -> None:
    seen = people((310, 100, 410, 400), (500, 100, 650, 400), (0, 100, 400, 400))
    found = shown(window(300), seen)
    assert found["whole_held_pct"] == 50
    assert found["heads_held_pct"] == pytest.approx(100 / 3, abs=1e-3)


def test_nobody_is_shown_where_the_window_stands_between_people_whether_asked_for_or_not() -> None:
    seen = people((100, 100, 200, 400), (800, 100, 900, 400), asked=False)
    found = shown(window(360), seen)
    assert found["nobody_shown"]["frames"] == 50 and found["heads_held_pct"] is None
    assert shown(window(80), seen)["nobody_shown"]["frames"] == 0


def test_a_head_is_at_the_edge_of_the_window_but_not_where_the_picture_ends() -> None:
    assert shown(window(300), people((280, 100, 370, 400)))["at_edge"]["frames"] == 50
    assert shown(window(300), people((400, 100, 490, 400)))["at_edge"]["frames"] == 0
    assert shown(window(0), people((0, 100, 50, 400)))["at_edge"]["frames"] == 0


def test_the_certificate_tells_heads_and_moves_beside_a_still_window() -> None:
    walk = np.linspace(100, 700, 50)
    boxes = np.stack([walk, np.full(50, 100.0), walk + 100, np.full(50, 400.0)], axis=1)
    seen = People(np.arange(50), boxes, boxes, head_boxes(boxes, SIZE), np.ones(50, dtype=bool))
    sizes = np.tile([280.0, 500.0], (50, 1))
    follows = path_of(np.stack([walk + 50, np.full(50, 250.0)], axis=1), sizes, SIZE, ((0, 50),), (280, 500))
    proof = certificate(follows, boxes, TIMELINE, people=seen)
    assert proof["heads_held_pct"] == 100 > proof["static"]["heads_held_pct"]
    assert proof["direction_changes"] == 0 and proof["lurch_max"] > proof["static"]["lurch_max"] == 0
    assert "nobody_shown" in proof["ema_causal"]


def test_what_an_editor_would_reject_is_said() -> None:
    boxes = np.tile([330.0, 100.0, 400.0, 250.0], (50, 1))
    proof = certificate(window(322, 140), boxes, TIMELINE, people=people((330, 100, 340, 250)))
    nothing = counted(np.zeros(50, dtype=bool), TIMES_SEC)
    told = shortfalls(proof | {"subject_track_ids": [1], "passing": nothing, "left_out": nothing}, "main", "crop")
    assert any("the head is at the edge" in each for each in told)
    assert any("enlarged up to 2.0 times" in each for each in told)
    assert "Heads in the window: 100 %" in headline(proof)


def test_certificates_of_earlier_versions_are_worded_as_they_were() -> None:
    nothing = counted(np.zeros(50, dtype=bool), TIMES_SEC)
    proof = certificate(window(300), np.tile([350.0, 100.0, 450.0, 400.0], (50, 1)), TIMELINE)
    proof.pop("enlarged")
    assert shortfalls(proof | {"subject_track_ids": [1], "passing": nothing, "left_out": nothing}, "main", "crop") == []
    assert "Heads" not in headline(proof)


def test_asked_for_is_the_person_who_is_followed_and_others_only_could_be() -> None:
    def standing(track_id: int, left: float, width: float) -> Track:
        return Track(
            track_id, np.arange(50), np.tile([left, 150.0, left + width, 150.0 + 2 * width], (50, 1)), np.ones(50)
        )

    tracks = [standing(1, 450, 100), standing(2, 100, 60)]
    main, everybody = (choose_subject(tracks, TIMELINE, mode).people for mode in ("main", "all"))
    assert main.asked.sum() == 50 and (main.boxes[main.asked, 0] == 450).all() and len(main.asked) == 100
    assert everybody.asked.all() and len(everybody.asked) == 100


def test_the_face_of_a_close_up_is_shown_whole_where_the_hair_has_to_go() -> None:
    """A selfie, 480 by 640, cut to a square: brow to chin are a band of the box, not its top third."""
    size, count = (480, 640), 30
    boxes = np.tile([2.0, 20.0, 478.0, 640.0], (count, 1))
    [face] = head_boxes(boxes[:1], size)
    assert face[1] == pytest.approx(20 + 0.12 * 620) and face[3] == pytest.approx(20 + 0.8 * 620)
    timeline = Timeline(np.arange(count), Fraction(1, 30), size)
    path = solve_path(boxes, timeline, CropSpec(aspect=Fraction(1)))
    assert (path.y <= face[1]).all() and (path.y + path.height >= face[3]).all()
    # Who is cut off below only is no close-up: there the top of the head is shown.
    bust = solve_path(boxes + np.array([60, 0, -60, 0]), timeline, CropSpec(aspect=Fraction(1)))
    assert (bust.y <= 21).all()

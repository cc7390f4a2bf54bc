"""The scoreboard's rules: what counts as held by the ground truth."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from backend.vision.camera_path import CameraPath, path_of
from backend.vision.timeline import Timeline
from benchmarks.truth import Truth, all_heads_pct, read_truth, score

SIZE = (1000, 500)
TIMELINE = Timeline(np.arange(10), Fraction(1, 25), SIZE)


def truth_of(tmp_path: Path, *people: tuple[float, float, float, float], only_heads: bool = False) -> Truth:
    rows = [
        f"{frame},{number},{','.join(map(str, box))},1,-1,-1,-1"
        for number, box in enumerate(people)
        for frame in range(1, 11)
    ]
    (tmp_path / "gt.txt").write_text("\n".join(rows))
    return read_truth(tmp_path / "gt.txt", TIMELINE, only_heads)


def window(left: float, width: float = 280.0) -> CameraPath:
    centres = np.tile([left + width / 2, 250.0], (10, 1))
    return path_of(centres, np.tile([width, 500.0], (10, 1)), SIZE, ((0, 10),), (280, 500))


def test_a_person_in_the_window_is_held_and_one_outside_is_nobody(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, (400, 100, 100, 300))
    inside, outside = score(window(300), truth, TIMELINE), score(window(0), truth, TIMELINE)
    assert (inside.heads, inside.whole, inside.nobody, inside.edge) == (100, 100, 0, 0)
    assert (outside.heads, outside.whole, outside.nobody) == (0, 0, 100)


def test_a_head_may_be_held_where_the_body_is_not(tmp_path: Path) -> None:
    found = score(window(340), truth_of(tmp_path, (300, 100, 200, 300)), TIMELINE)
    assert (found.heads, found.whole) == (100, 0)


def test_of_two_people_too_far_apart_only_one_counts(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, (100, 100, 100, 300), (800, 100, 100, 300))
    assert score(window(50), truth, TIMELINE).whole == 100
    assert score(window(400), truth, TIMELINE).nobody == 100


def test_of_two_people_close_together_both_count(tmp_path: Path) -> None:
    found = score(window(200), truth_of(tmp_path, (220, 100, 100, 300), (390, 100, 100, 300)), TIMELINE)
    assert (found.heads, found.whole) == (100, 50)


def test_a_head_at_the_side_of_the_window_is_at_the_edge_but_not_at_the_side_of_the_picture(tmp_path: Path) -> None:
    near = (375, 100, 70, 60)
    assert score(window(400), truth_of(tmp_path, (400, 100, 40, 60), only_heads=True), TIMELINE).edge == 100
    assert score(window(0), truth_of(tmp_path, (2, 100, 40, 60), only_heads=True), TIMELINE).edge == 0
    assert score(window(300), truth_of(tmp_path, near, only_heads=True), TIMELINE).edge == 0


def test_what_a_second_panel_shows_is_shown(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, (100, 100, 100, 300), (800, 100, 100, 300))
    path = window(50)
    panels = np.full((10, 2, 4), np.nan)
    panels[:5, 0] = [700, 0, 280, 500]
    split = replace(path, panels=panels)
    assert (all_heads_pct(path, truth), all_heads_pct(split, truth)) == (0, 50)
    assert score(split, truth, TIMELINE).whole == 100

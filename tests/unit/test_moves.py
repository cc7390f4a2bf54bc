"""How often a window turns back and how far it goes at once, as an editor sees them."""

from __future__ import annotations

import numpy as np
import pytest

from backend.vision.moves import direction_changes, largest_lurch

WIDTH = 1000
TIMES_SEC = np.arange(101) / 25


def along_x(x: np.ndarray) -> np.ndarray:
    return np.stack([x, np.full(len(x), 250.0)], axis=1)


def test_there_and_back_is_one_change_of_direction() -> None:
    there_and_back = along_x(400 + 50 * np.sin(np.linspace(0, np.pi, 101)))
    twice = along_x(400 + 50 * np.sin(np.linspace(0, 4 * np.pi, 101)))
    assert direction_changes(there_and_back, [(0, 101)], WIDTH) == 1
    assert direction_changes(twice, [(0, 101)], WIDTH) == 4


def test_a_tremor_below_a_hundredth_of_the_picture_is_no_change_of_direction() -> None:
    trembling = along_x(400 + np.linspace(0, 100, 101) + 4 * np.sin(np.arange(101)))
    assert direction_changes(trembling, [(0, 101)], WIDTH) == 0


def test_up_and_down_counts_too_and_a_jump_on_a_cut_does_not() -> None:
    swings = along_x(np.full(101, 400.0))
    swings[:, 1] += 30 * np.sin(np.linspace(0, np.pi, 101))
    assert direction_changes(swings, [(0, 101)], WIDTH) == 1
    jumps = along_x(np.where(np.arange(101) < 50, 400.0, np.where(np.arange(101) < 70, 100.0, 700.0)))
    assert direction_changes(jumps, [(0, 50), (50, 70), (70, 101)], WIDTH) == 0
    assert largest_lurch(jumps, TIMES_SEC, [(0, 50), (50, 70), (70, 101)], WIDTH) == 0


def test_the_largest_lurch_is_what_goes_by_in_half_a_second() -> None:
    steady = along_x(np.arange(101) * 4.0)  # 100 px a second
    assert largest_lurch(steady, TIMES_SEC, [(0, 101)], WIDTH) == pytest.approx(0.05, abs=0.005)
    assert largest_lurch(along_x(np.full(101, 400.0)), TIMES_SEC, [(0, 101)], WIDTH) == 0
    apart = along_x(np.array([0.0, 200.0, 300.0]))
    assert largest_lurch(apart, np.array([0.0, 2.0, 4.0]), [(0, 3)], WIDTH) == pytest.approx(0.2)


def test_no_frames_and_one_frame_do_not_move() -> None:
    assert direction_changes(np.zeros((0, 2)), [], WIDTH) == 0
    assert largest_lurch(along_x(np.array([5.0])), np.zeros(1), [(0, 1)], WIDTH) == 0

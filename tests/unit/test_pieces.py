"""Where pieces of a film begin, and in which order their pictures are decoded."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from backend.errors import PiecesApart
from backend.media.join import decode_times
from backend.media.pieces import LEAD_FRAMES, piece_boundaries, spans

MS = Fraction(1, 1000)


def at_25_fps(frames: int) -> np.ndarray:
    return np.arange(frames, dtype=np.int64) * 40 + 7000


def test_pieces_are_alike_where_no_shot_starts() -> None:
    assert piece_boundaries(at_25_fps(2500), [(0, 2500)], MS, 25) == [0, 625, 1250, 1875, 2500]
    assert piece_boundaries(at_25_fps(2500), [(0, 2500)], MS, 60) == [0, 1250, 2500]


def test_a_boundary_moves_to_a_shot_that_starts_within_a_quarter_of_a_piece() -> None:
    shots = [(0, 480), (480, 1240), (1240, 2050), (2050, 2500)]
    assert piece_boundaries(at_25_fps(2500), shots, MS, 25) == [0, 480, 1240, 1875, 2500]


def test_a_keyframe_is_better_than_a_shot_and_both_together_are_best() -> None:
    pts = at_25_fps(2500)
    keyframes = pts[[0, 500, 590, 1000, 1240, 1300, 2050]]
    shots = [(0, 500), (500, 640), (640, 1250), (1250, 2050), (2050, 2500)]
    assert piece_boundaries(pts, shots, MS, 25, keyframes) == [0, 500, 1240, 1875, 2500]


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_a_short_film_is_one_piece(frames: int) -> None:
    assert piece_boundaries(at_25_fps(frames), [(0, frames)], MS, 60) == [0, frames]


def test_a_pause_that_is_longer_than_a_piece_is_not_cut() -> None:
    pts = at_25_fps(1000)
    pts[500:] += 600_000
    boundaries = piece_boundaries(pts, [(0, 1000)], MS, 60)
    assert boundaries == [0, 500, 1000]


def test_pieces_never_get_empty_or_cross_whatever_the_shots() -> None:
    dice = np.random.default_rng(3)
    for _ in range(200):
        frames = int(dice.integers(1, 3000))
        pts = np.cumsum(dice.integers(1, 200, frames))
        starts = [0, *sorted(set(dice.integers(0, frames, 40).tolist()) - {0}), frames]
        boundaries = piece_boundaries(pts, list(pairwise(starts)), MS, float(dice.uniform(0.1, 60)))
        assert (boundaries[0], boundaries[-1]) == (0, frames)
        assert all(earlier < later for earlier, later in pairwise(boundaries))


def test_spans_cover_every_frame_once_and_begin_to_decode_earlier_where_fields_are_woven() -> None:
    pts = at_25_fps(100)
    first, second, third = spans(pts, [0, 1, 60, 100], interlaced=True)
    assert (first.lead_pts, first.start_pts, first.end_pts, first.frames) == (None, 7000, 7040, 1)
    assert (second.lead_pts, second.start_pts, second.end_pts) == (7000, 7040, 7000 + 60 * 40)
    assert (third.lead_pts, third.end_pts, third.frames) == (7000 + (60 - LEAD_FRAMES) * 40, None, 40)
    whole = spans(pts, [0, 60, 100], interlaced=False)[1]
    assert whole.lead_pts == whole.start_pts == 7000 + 60 * 40


def test_decode_times_rise_and_never_pass_the_picture() -> None:
    pts = np.array([0, 160, 80, 40, 120, 200, 360, 280, 240, 320])  # two groups of B pictures
    assert decode_times(pts, 2).tolist() == [-80, -40, 0, 40, 80, 120, 160, 200, 240, 280]
    assert decode_times(np.array([5]), 2).tolist() == [5]
    assert decode_times(np.array([0, 40]), 2).tolist() == [-40, 0]


def test_pictures_out_of_order_by_more_than_the_depth_are_refused() -> None:
    with pytest.raises(PiecesApart):
        decode_times(np.array([80, 0, 40]), 0)
    with pytest.raises(PiecesApart):
        decode_times(np.array([0, 40, 40]), 1)

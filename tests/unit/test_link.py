"""Pieces of one person's track become one; two people never do; no track crosses a cut; flickers go."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.vision.link import link, split_at_cuts
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline

TIME_BASE, SAMPLE_TICKS, SIZE = Fraction(1, 1000), 100, (1920, 1080)
FRAMES = np.arange(0, 20_000, 40)


def walk(number: int, first: int, last: int, x0: float, px_per_sec: float, confidence: float = 0.8) -> Track:
    """Samples from `first` to `last` ms of a person 100 x 300 px, at `x0` at time 0."""
    pts = np.arange(first, last + 1, SAMPLE_TICKS)
    left = x0 + px_per_sec * pts / 1000
    boxes = np.clip(np.column_stack([left, left * 0 + 300, left + 100, left * 0 + 600]), 0, [*SIZE, *SIZE])
    return Track(number, pts, boxes, np.full(len(pts), confidence))


def linked(*tracks: Track, cuts_pts: tuple[int, ...] = (), frames: np.ndarray = FRAMES) -> list[Track]:
    return link(tracks, Timeline(frames, TIME_BASE, SIZE), conf=0.25, cuts_pts=cuts_pts)


def spans(tracks: list[Track]) -> list[tuple[int, int]]:
    return [(int(track.pts[0]), int(track.pts[-1])) for track in tracks]


def test_someone_hidden_for_two_seconds_stays_one_person() -> None:
    assert spans(linked(walk(1, 0, 4_000, 200, 80), walk(2, 6_000, 9_000, 200, 80))) == [(0, 9_000)]


def test_someone_hidden_for_longer_than_three_seconds_is_another() -> None:
    assert len(linked(walk(1, 0, 4_000, 200, 0), walk(2, 7_500, 9_000, 200, 0))) == 2


def test_two_people_who_cross_unseen_keep_their_ids() -> None:
    """They meet at 5 s; a tracker loses both, and position alone would swap them."""
    pieces = [walk(1, 0, 4_500, 200, 100), walk(2, 0, 4_500, 1200, -100)]
    pieces += [walk(3, 5_500, 9_000, 1200, -100), walk(4, 5_500, 9_000, 200, 100)]
    people = linked(*pieces)
    assert spans(people) == [(0, 9_000)] * 2
    assert all(len(set(np.sign(np.diff(person.boxes[:, 0])))) == 1 for person in people)


def test_two_people_who_leave_and_come_back_keep_their_ids() -> None:
    """One at each side, walking out and in again."""
    out = [walk(1, 0, 2_000, 180, -100), walk(2, 0, 2_000, 1640, 100)]
    back = [walk(3, 4_000, 7_000, -420, 100), walk(4, 4_000, 7_000, 2240, -100)]
    people = linked(*out, *back)
    assert spans(people) == [(0, 7_000)] * 2
    assert all(abs(person.boxes[0, 0] - person.boxes[-1, 0]) < 400 for person in people)


def test_one_who_walks_on_is_not_one_who_stood_where_they_vanished() -> None:
    assert len(linked(walk(1, 0, 4_000, 200, 200), walk(2, 5_000, 9_000, 1000, 0))) == 2


def test_a_child_does_not_go_on_as_an_adult() -> None:
    adult = walk(2, 5_000, 9_000, 200, 0)
    adult.boxes[:, 1] -= 250
    assert len(linked(walk(1, 0, 4_000, 200, 0), adult)) == 2


def test_no_track_crosses_a_cut() -> None:
    people = linked(walk(1, 0, 4_000, 200, 0), walk(2, 5_000, 9_000, 200, 0), cuts_pts=(4_600,))
    assert spans(people) == [(0, 4_000), (5_000, 9_000)]
    assert spans(linked(walk(1, 0, 9_000, 200, 0), cuts_pts=(4_600,))) == [(0, 4_500), (4_600, 9_000)]


@given(cuts=st.lists(st.integers(-500, 10_000), max_size=6))
def test_splitting_keeps_every_sample_and_crosses_no_cut(cuts: list[int]) -> None:
    track = walk(7, 0, 9_000, 200, 10)
    pieces = split_at_cuts([track], cuts)
    assert np.concatenate([piece.pts for piece in pieces]).tolist() == track.pts.tolist()
    assert not any(piece.pts[0] < cut <= piece.pts[-1] for piece in pieces for cut in cuts)
    assert {piece.id for piece in pieces} == {7}


def test_flickers_and_weak_sightings_are_nobody() -> None:
    person, flicker = walk(1, 0, 9_000, 200, 0), walk(2, 3_000, 3_400, 900, 0)
    weak = walk(3, 0, 9_000, 1400, 0, confidence=0.45)
    assert spans(linked(person, flicker, weak)) == [(0, 9_000)]


def test_a_person_begins_at_the_first_sure_sighting() -> None:
    track = walk(1, 0, 9_000, 200, 0)
    track.confidence[:10] = 0.3
    track.confidence[50:] = 0.3
    assert spans(linked(track)) == [(1_000, 9_000)]


def test_in_a_clip_of_half_a_second_a_person_is_no_flicker() -> None:
    assert spans(linked(walk(1, 0, 400, 200, 0), frames=np.arange(0, 500, 40))) == [(0, 400)]


def test_the_order_of_the_pieces_does_not_matter() -> None:
    pieces = [walk(n, 3_000 * n, 3_000 * n + 2_000, 200, 20) for n in range(4)]
    assert spans(linked(*pieces)) == spans(linked(*pieces[::-1])) == [(0, 11_000)]


@pytest.mark.parametrize("frames", [FRAMES, FRAMES[:0], FRAMES[:1]])
def test_nothing_in_gives_nothing(frames: np.ndarray) -> None:
    assert linked(frames=frames) == []

"""Cutting: half-open PTS intervals that follow on one another, close to the wanted length, at keyframes if near."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.media.facts import VideoFacts
from backend.media.segments import DECODED_AGAIN_SEC, KEYFRAME_REACH, Segment, divided
from backend.media.timebase import SampleGrid

TIME_BASES = [(1, 1000), (1, 90_000), (1, 25), (1001, 30_000), (1, 1), (1, 1_000_000)]


def facts(
    duration_pts: int | None,
    *,
    time_base: tuple[int, int] = (1, 1000),
    start_pts: int = 0,
    keyframe_pts: list[int] | None = None,
) -> VideoFacts:
    return VideoFacts(
        container="mp4",
        codec="h264",
        coded_width=640,
        coded_height=360,
        width=640,
        height=360,
        rotation=0,
        sample_aspect_ratio=(1, 1),
        fps=(25, 1),
        time_base=time_base,
        start_pts=start_pts,
        duration_pts=duration_pts,
        duration_seconds=None if duration_pts is None else float(duration_pts * Fraction(*time_base)),
        frame_count=None,
        has_audio=False,
        audio_codecs=[],
        keyframe_pts=keyframe_pts or [],
    )


@st.composite
def videos(draw: st.DrawFn) -> tuple[VideoFacts, float]:
    """Up to some hundreds of chunks; keyframes anywhere, also past an end that the container promised wrongly."""
    time_base = draw(st.sampled_from(TIME_BASES))
    chunk_seconds = draw(st.sampled_from([0.04, 0.5, 2.0, 7.0, 30.0, 29.97, 600.0]))
    chunk_pts = max(1, round(Fraction(chunk_seconds) / Fraction(*time_base)))
    duration_pts = draw(st.integers(1, chunk_pts * 200) | st.integers(1, chunk_pts * 3))
    start_pts = draw(st.integers(-(10**6), 10**9))
    offsets = draw(st.lists(st.integers(-chunk_pts, duration_pts + 2 * chunk_pts), unique=True, max_size=60))
    known = sorted(start_pts + offset for offset in offsets)
    return facts(duration_pts, time_base=time_base, start_pts=start_pts, keyframe_pts=known), chunk_seconds


def inner_bounds(pieces: list[Segment]) -> list[int]:
    return [piece.start_pts for piece in pieces[1:]]


@given(videos())
def test_pieces_are_half_open_increasing_and_cover_the_video_exactly(video: tuple[VideoFacts, float]) -> None:
    known, chunk_seconds = video
    pieces = divided(known, chunk_seconds)
    assert [piece.index for piece in pieces] == list(range(len(pieces)))
    assert pieces[0].start_pts == known.start_pts
    assert pieces[-1].end_pts == known.start_pts + (known.duration_pts or 1)
    assert all(piece.start_pts < piece.end_pts for piece in pieces)
    assert all(one.end_pts == two.start_pts for one, two in pairwise(pieces))


@given(videos())
def test_a_boundary_lies_near_its_mark_or_at_a_keyframe(video: tuple[VideoFacts, float]) -> None:
    """Marks are a chunk apart; only a keyframe out of reach moves those after it, so they never drift."""
    known, chunk_seconds = video
    step = max(1, round(Fraction(chunk_seconds) / known.time_base_fraction))
    mark = known.start_pts + step
    for bound in inner_bounds(divided(known, chunk_seconds)):
        near = abs(bound - mark) <= round(step * KEYFRAME_REACH)
        assert bound == mark or bound in known.keyframe_pts
        assert near or (known.keyframe_pts and bound > mark)
        mark = (mark if near else bound) + step


@given(videos())
def test_no_worker_decodes_much_that_is_not_its_own(video: tuple[VideoFacts, float]) -> None:
    known, chunk_seconds = video
    step = max(1, round(Fraction(chunk_seconds) / known.time_base_fraction))
    farthest = max(step, round(DECODED_AGAIN_SEC / known.time_base_fraction))
    for bound in inner_bounds(divided(known, chunk_seconds)) if known.keyframe_pts else []:
        before = [pts for pts in known.keyframe_pts if pts <= bound]
        assert before and bound - before[-1] <= farthest


def test_one_keyframe_for_a_whole_film_costs_no_more_than_twice_its_length() -> None:
    pieces = divided(facts(3_600_000, keyframe_pts=[0]), 30)
    decoded_sec = sum(piece.end_sec for piece in pieces)  # every worker begins at the one keyframe
    assert decoded_sec <= 2 * 3600


def test_two_hours_of_nothing_inside_a_film_are_no_chunks() -> None:
    known = facts(7_212_000, keyframe_pts=[0, 4_000, 7_206_000, 7_210_000])
    assert len(divided(known, 30)) <= 3


def test_a_clock_that_has_to_be_read_from_the_beginning_makes_one_chunk() -> None:
    known = facts(90_000, keyframe_pts=[0, 30_000, 60_000]).model_copy(update={"clock": "jumps"})
    (piece,) = divided(known, 30)
    assert (piece.start_pts, piece.end_pts) == (0, 90_000)


@given(videos())
def test_seconds_count_from_the_first_frame(video: tuple[VideoFacts, float]) -> None:
    known, chunk_seconds = video
    for piece in divided(known, chunk_seconds):
        exact = (piece.start_pts - known.start_pts) * known.time_base_fraction
        assert piece.start_sec == pytest.approx(float(exact), abs=1e-6)
        assert piece.start_sec <= piece.end_sec


def test_a_video_of_62_seconds_in_chunks_of_30_is_three_pieces() -> None:
    pieces = divided(facts(62_880), 30)
    assert [(p.start_sec, p.end_sec) for p in pieces] == [(0, 30), (30, 60), (60, 62.88)]


def test_a_scrap_at_the_end_joins_the_piece_before() -> None:
    assert [p.end_pts for p in divided(facts(60_900), 30)] == [30_000, 60_900]
    assert [p.end_pts for p in divided(facts(61_001), 30)] == [30_000, 60_000, 61_001]


def test_the_nearest_keyframe_in_reach_is_preferred() -> None:
    known = facts(90_000, keyframe_pts=[0, 24_500, 31_000, 53_999, 66_001])
    assert inner_bounds(divided(known, 30)) == [31_000, 60_000]


def test_a_late_start_moves_every_boundary() -> None:
    pieces = divided(facts(65_000, start_pts=1_720), 30)
    assert [p.start_pts for p in pieces] == [1_720, 31_720, 61_720]
    assert [p.start_sec for p in pieces] == [0, 30, 60]


@pytest.mark.parametrize("duration_pts", [None, 1])
def test_a_video_of_unknown_or_no_length_is_one_piece(duration_pts: int | None) -> None:
    (piece,) = divided(facts(duration_pts), 30)
    assert (piece.start_pts, piece.end_pts) == (0, 1)


def test_a_keyframe_past_the_promised_end_is_no_boundary() -> None:
    pieces = divided(facts(31_500, keyframe_pts=[0, 32_000]), 30)
    assert all(piece.start_pts < piece.end_pts for piece in pieces)


@given(videos(), st.sampled_from([0.5, 9.99, 10.0, 25.0]))
def test_where_frames_are_sampled_chunks_begin_at_edges_of_the_grid_and_cover_all(
    video: tuple[VideoFacts, float], sample_fps: float
) -> None:
    known, chunk_seconds = video
    grid = SampleGrid(known.start_pts, known.time_base_fraction, sample_fps)
    plain, pieces = divided(known, chunk_seconds), divided(known, chunk_seconds, sample_fps=sample_fps)
    assert (pieces[0].start_pts, pieces[-1].end_pts) == (plain[0].start_pts, plain[-1].end_pts)
    assert all(before.end_pts == after.start_pts for before, after in pairwise(pieces))
    assert all(piece.start_pts < piece.end_pts for piece in pieces)
    assert all(bound == grid.edge_from(bound) for bound in inner_bounds(pieces))

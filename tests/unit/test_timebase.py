"""Times in a time base, and the grid that makes neighbours sample the same frames."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.media.timebase import SampleGrid, pts_at, seconds

TIME_BASES = st.sampled_from([Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 12_800), Fraction(1001, 30_000)])
RATES = st.sampled_from([0.5, 1.0, 2.0, 5.0, 9.99, 10.0, 23.976, 25.0, 240.0])


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[int], Fraction, float]:
    """Rising PTS with any gaps, a time base, a rate."""
    gaps = draw(st.lists(st.integers(1, 20_000), min_size=1, max_size=150))
    pts, total = [], draw(st.integers(-(10**6), 10**9))
    for gap in gaps:
        total += gap
        pts.append(total)
    return pts, draw(TIME_BASES), draw(RATES)


def sampled(pts: list[int], origin_pts: int, time_base: Fraction, fps: float, boundary_pts: int | None) -> list[int]:
    """As a worker samples: its first frame always, and the first one at or past its end."""
    grid = SampleGrid(origin_pts, time_base, fps)
    taken, crossed = [], False
    for number, when in enumerate(pts):
        crosses = boundary_pts is not None and not crossed and when >= boundary_pts
        crossed = crossed or crosses
        if grid.takes(when, boundary=number == 0 or crosses):
            taken.append(when)
    return taken


@given(streams(), st.data())
def test_neighbours_sample_the_same_frames_from_the_boundary_on(
    stream: tuple[list[int], Fraction, float], data: st.DataObject
) -> None:
    pts, time_base, fps = stream
    cut = data.draw(st.integers(0, len(pts) - 1))
    begun = data.draw(st.integers(0, cut))
    runs_over = sampled(pts[begun:], pts[0], time_base, fps, pts[cut])
    starts_there = sampled(pts[cut:], pts[0], time_base, fps, None)
    assert [when for when in runs_over if when >= pts[cut]] == starts_there


@given(streams())
def test_each_cell_of_the_grid_gives_its_first_frame_and_no_other(stream: tuple[list[int], Fraction, float]) -> None:
    pts, time_base, fps = stream
    per_tick = Fraction(fps).limit_denominator(1000) * time_base
    first_of_cell: dict[int, int] = {}
    for when in pts:
        first_of_cell.setdefault(((when - pts[0]) * per_tick).__floor__(), when)
    assert sampled(pts, pts[0], time_base, fps, None) == list(first_of_cell.values())


@pytest.mark.parametrize(("fps", "expected"), [(10.0, 100), (5.0, 50), (25.0, 250), (60.0, 250)])
def test_ten_seconds_of_25_fps_give_the_wanted_rate_and_never_more_than_all(fps: float, expected: int) -> None:
    pts = list(range(0, 10_000, 40))
    assert len(sampled(pts, 0, Fraction(1, 1000), fps, None)) == expected


@given(st.integers(-(2**53), 2**53), TIME_BASES)
def test_a_pts_survives_the_way_over_exact_seconds(pts: int, time_base: Fraction) -> None:
    assert round(pts * time_base / time_base) == pts
    near = pts % 10**9
    assert pts_at(seconds(near, time_base), time_base) == near


@given(streams(), st.lists(st.floats(0, 1), max_size=6))
def test_chunks_that_begin_at_edges_of_the_grid_sample_what_one_pass_does(
    stream: tuple[list[int], Fraction, float], shares: list[float]
) -> None:
    pts, time_base, fps = stream
    grid = SampleGrid(pts[0], time_base, fps)
    inner = {grid.edge_from(pts[0] + round(share * (pts[-1] - pts[0]))) for share in shares}
    edges = [pts[0], *sorted(inner - {pts[0]}), pts[-1] + 1]
    found: list[int] = []
    for start, end in pairwise(edges):
        found += sampled([when for when in pts if start <= when < end], pts[0], time_base, fps, None)
    assert found == sampled(pts, pts[0], time_base, fps, None)


@given(st.integers(-(10**6), 10**9), st.integers(0, 10**6), TIME_BASES, RATES)
def test_an_edge_is_the_first_tick_of_a_cell_and_the_next_there_is(
    origin: int, after: int, time_base: Fraction, fps: float
) -> None:
    edge = SampleGrid(origin, time_base, fps).edge_from(origin + after)
    cell = Fraction(fps).limit_denominator(1000) * time_base
    assert edge >= origin + after
    assert ((edge - origin) * cell).__floor__() > ((edge - 1 - origin) * cell).__floor__()
    assert ((edge - 1 - origin) * cell).__floor__() == ((origin + after - 1 - origin) * cell).__floor__()

"""What one small request may cost: a refusal is cheap, and what is computed of many points needs little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backend.errors import InvalidParams
from backend.kinds import kind_named
from backend.vision.object_summary import Zone

MANY = 20_000


def peak_mib(work: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("kind", "params", "named"),
    [
        ("overlay", {"highlight_regions": [{"keyframes": [{}] * 5000}] * 4}, "highlight_regions.0.keyframes.0"),
        ("overlay", {"highlight_regions": [{"track_id": 1}], "crop_keyframes": [{}] * 9999}, "crop_keyframes.0"),
        ("framing", {"keyframes": [{}] * 9999}, "keyframes.0"),
        ("crop", {"shots": {f"a{number}": "x" for number in range(MANY)}}, "shots"),
        ("annotate", {"draw": ["halos"] * MANY}, "draw.0"),
        ("annotate", {"zones": [{"name": "z", "polygon": [[]] * 200}] * 50}, "zones.0.polygon.0"),
    ],
)
def test_many_bad_parameters_cost_no_more_than_the_first(kind: str, params: dict[str, Any], named: str) -> None:
    """A request of 1 MiB could hold hundreds of thousands, with a complaint each."""

    def refused() -> None:
        with pytest.raises(InvalidParams, match=named):
            kind_named(kind).parse_params(params)

    assert peak_mib(refused) < 2


def test_a_zone_of_many_corners_needs_memory_for_its_points_alone() -> None:
    """An hour of film has 100,000 frames, on which every track is asked for."""
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = Zone("circle", 100 * np.column_stack([np.cos(angles), np.sin(angles)]))
    points = np.random.default_rng(1).uniform(-150, 150, (MANY, 2))
    found: list[np.ndarray[Any, Any]] = []
    assert peak_mib(lambda: found.append(circle.holds(points))) < 10
    away = np.hypot(*points.T)
    sure = abs(away - 100) > 0.1  # of the circle's own edge, the polygon's is a little inside
    np.testing.assert_array_equal(found[0][sure], away[sure] < 100)


def test_no_more_regions_than_can_be_drawn_are_on_one_frame() -> None:
    """A thousand that cover a picture of 1080 lines took nine seconds a frame."""

    def asked(spans: list[tuple[int, int | None]]) -> None:
        place = {"x": 9, "y": 9, "radius_x": 9, "radius_y": 9}
        regions = [{"start_frame": start, "end_frame": end, **place} for start, end in spans]
        kind_named("overlay").parse_params({"highlight_regions": regions})

    asked([(number, number + 99) for number in range(1000)])
    asked([(0, None)] * 100)
    with pytest.raises(InvalidParams, match=r"highlight_regions\.100: more than 100 regions are on frame 100"):
        asked([(number, number + 100) for number in range(1000)])
    with pytest.raises(InvalidParams, match=r"highlight_regions\.100: more than 100 regions are on frame 0"):
        asked([(0, None)] * 101)

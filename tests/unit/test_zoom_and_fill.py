"""The window grows and shrinks slowly where that pays, and takes another shape only where it must and may."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest

from backend.vision.camera_path import CameraPath, solve_path
from backend.vision.certificate import certificate
from backend.vision.keyframes import Keyframe
from backend.vision.timeline import Timeline
from backend.vision.window import CropSpec
from backend.vision.zoom import ZOOM_PER_SEC

SIZE, TIME_BASE, FPS = (1920, 1080), Fraction(1, 30), 30
PADDING = 0.12


def coming_closer(seconds: float, least_px: float = 250, most_px: float = 800) -> np.ndarray:
    """(frames, 4): somebody whose height grows from `least_px` to `most_px`, standing at x = 960."""
    height = np.linspace(least_px, most_px, round(seconds * FPS))
    return np.stack([960 - height / 6, 540 - height / 2, 960 + height / 6, 540 + height / 2], axis=1)


def solve(boxes: np.ndarray, **more: Any) -> CameraPath:
    keyframes = more.pop("keyframes", ())
    spec = CropSpec(**{"aspect": Fraction(9, 16), "padding_ratio": PADDING} | more)
    return solve_path(boxes, Timeline(np.arange(len(boxes)), TIME_BASE, SIZE), spec, keyframes=keyframes)


def test_the_window_opens_slowly_as_somebody_comes_closer() -> None:
    boxes = coming_closer(40)
    path = solve(boxes)
    steps = np.diff(np.log(path.height)) * FPS
    assert path.height[-1] / path.height[0] > 1.5
    assert np.abs(steps).max() <= ZOOM_PER_SEC * 1.01
    needed = np.minimum((boxes[:, 3] - boxes[:, 1]) * (1 + 2 * PADDING), path.height.max())
    assert (path.height >= needed - 0.5).all()
    assert np.allclose(path.width / path.height, path.output_size[0] / path.output_size[1], rtol=1e-3)


def test_a_zoom_neither_begins_nor_ends_with_a_jolt() -> None:
    steps = np.diff(np.log(solve(coming_closer(40)).height)) * FPS
    assert np.abs(np.diff(steps)).max() < ZOOM_PER_SEC / 10


def test_zooming_leaves_the_picture_inside_the_source_and_the_subject_in_the_window() -> None:
    boxes = coming_closer(40) + np.array([700.0, 0.0, 700.0, 0.0])
    path = solve(boxes)
    assert path.height.min() < 0.8 * path.height.max()
    assert path.x.min() >= 0
    assert (path.x + path.width).max() <= SIZE[0] + 1e-9
    found = certificate(path, boxes, Timeline(np.arange(len(boxes)), TIME_BASE, SIZE))
    assert found["containment_pct"] == 100


@pytest.mark.parametrize(
    ("boxes", "more"),
    [
        (coming_closer(40, 700, 800), {}),
        (coming_closer(3), {}),
        (coming_closer(40), {"zoom": False}),
        (coming_closer(40), {"max_upscale": 1.0}),
        (coming_closer(40), {"keyframes": [Keyframe(1.0, 960, 540, width=500)]}),
    ],
    ids=["little to gain", "a short shot", "switched off", "no enlarging", "a keyframe's width"],
)
def test_else_the_window_keeps_its_size(boxes: np.ndarray, more: dict[str, Any]) -> None:
    assert np.ptp(solve(boxes, **more).width) == 0


TWO_FAR_APART = np.tile([200.0, 300.0, 1700.0, 900.0], (90, 1))


@pytest.mark.parametrize("fill", ["pad", "blur"])
def test_a_subject_wider_than_any_window_is_shown_whole_between_bars(fill: Literal["pad", "blur"]) -> None:
    path = solve(TWO_FAR_APART, fill=fill)
    assert (path.x <= 200).all() and (path.x + path.width >= 1700).all()
    assert path.output_size[0] / path.output_size[1] == pytest.approx(9 / 16, rel=0.01)
    found = certificate(path, TWO_FAR_APART, Timeline(np.arange(90), TIME_BASE, SIZE))
    assert found["filled_pts"] == [[0, 89]]
    assert found["larger_than_window_pts"] == []


def test_without_a_fill_the_best_window_stays_and_the_certificate_says_where_it_is_too_small() -> None:
    path = solve(TWO_FAR_APART)
    assert path.width[0] / path.height[0] == pytest.approx(9 / 16, rel=0.01)
    found = certificate(path, TWO_FAR_APART, Timeline(np.arange(90), TIME_BASE, SIZE))
    assert found["larger_than_window_pts"] == [[0, 89]]
    assert found["filled_pts"] == []


def test_one_outstretched_arm_brings_no_bars() -> None:
    boxes = np.tile([900.0, 300.0, 1100.0, 900.0], (90, 1))
    boxes[40:43, 2] = 1800
    path = solve(boxes, fill="pad")
    assert path.width[0] / path.height[0] == pytest.approx(9 / 16, rel=0.01)


def test_only_the_shot_that_needs_bars_gets_them() -> None:
    boxes = np.concatenate([np.tile([900.0, 300.0, 1100.0, 900.0], (60, 1)), TWO_FAR_APART])
    spec = CropSpec(aspect=Fraction(9, 16), fill="pad")
    path = solve_path(boxes, Timeline(np.arange(150), TIME_BASE, SIZE), spec, shots=[(0, 60), (60, 150)])
    assert np.ptp(path.width[:60]) == 0
    found = certificate(path, boxes, Timeline(np.arange(150), TIME_BASE, SIZE))
    assert found["filled_pts"] == [[60, 149]]

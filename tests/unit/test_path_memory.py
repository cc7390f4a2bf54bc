"""A path that was solved with a memory is the one that would be solved without; near enough is within a pixel."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from backend.vision.camera_path import CameraPath, solve_path
from backend.vision.keyframes import Keyframe
from backend.vision.path_memory import PathMemory
from backend.vision.path_qp import LIMITS, Stretch, _by_osqp, _problem, basis, best_coefficients
from backend.vision.timeline import Timeline
from backend.vision.window import CropSpec

SIZE, RATE, SECONDS = (1920, 1080), 10, 290  # three windows of the solver
SPEC = CropSpec(aspect=Fraction(9, 16))


@pytest.fixture(scope="module")
def boxes() -> np.ndarray:
    """Somebody who walks to and fro, with a detector's jitter."""
    rng, t = np.random.default_rng(3), np.arange(RATE * SECONDS) / RATE
    x = 960 + 600 * np.sin(t / 5) * np.cos(t / 23)
    return np.stack([x - 100, np.full_like(t, 290), x + 100, np.full_like(t, 790)], axis=1) + rng.normal(
        0, 4, (len(t), 4)
    )


def solve(boxes: np.ndarray, keyframes: list[Keyframe], **more: Any) -> CameraPath:
    pts = np.arange(len(boxes), dtype=np.int64) * (30_000 // RATE)
    return solve_path(boxes, Timeline(pts, Fraction(1, 30_000), SIZE), SPEC, keyframes=keyframes, **more)


def furthest_px(one: CameraPath, other: CameraPath) -> float:
    return float(max(np.abs(one.x - other.x).max(), np.abs(one.y - other.y).max()))


def test_what_is_remembered_changes_nothing(boxes: np.ndarray) -> None:
    memory = PathMemory()
    for keyframes in ([], [Keyframe(150.0, 700, 540)], [Keyframe(150.0, 700, 540), Keyframe(20.0, 900, 540)], []):
        known, alone = solve(boxes, keyframes, memory=memory), solve(boxes, keyframes)
        assert furthest_px(known, alone) == 0.0


def test_a_keyframe_that_is_dragged_is_within_a_pixel_of_the_whole_solve(boxes: np.ndarray) -> None:
    memory = PathMemory()
    before = solve(boxes, [], memory=memory)
    for at_sec, x in ((60.0, 1100.0), (60.0, 1180.0), (60.4, 1180.0), (135.0, 800.0), (280.0, 600.0)):
        keyframes = [Keyframe(at_sec, x, 540)]
        near = solve(boxes, keyframes, memory=memory, near=True)
        assert furthest_px(near, solve(boxes, keyframes)) <= 1.0
        assert furthest_px(near, before) > 5  # it does something
        # Further away nothing is solved, and nothing moves.
        untouched = np.abs(np.arange(len(boxes)) / RATE - at_sec) > 25
        assert np.array_equal(near.x[untouched], before.x[untouched])


def test_memory_is_bounded(boxes: np.ndarray) -> None:
    memory = PathMemory(max_bytes=20_000)
    for x in range(600, 1200, 100):
        solve(boxes[: RATE * 60], [Keyframe(30.0, x, 540)], memory=memory)
    assert 0 < memory.size_bytes <= 20_000


@pytest.mark.parametrize("pinned", [False, True])
def test_the_interior_point_method_finds_what_a_general_solver_comes_near_to(boxes: np.ndarray, pinned: bool) -> None:
    stretch = stretch_of(boxes[: RATE * 40], pinned)
    found, general = best_coefficients(stretch, 1.0), _by_osqp(stretch, 1.0, LIMITS)
    assert cost(stretch, general) - 1e-4 <= cost(stretch, found) <= cost(stretch, general) + 1e-9
    assert (found >= stretch.floor).all() and (found <= stretch.ceiling).all()
    speeds = np.abs(np.diff(found)) / 0.2
    assert speeds.max() <= LIMITS[0] * (1 + 1e-4)
    if pinned:
        # A uniform cubic spline at a knot: a sixth, four sixths, a sixth.
        assert (found[100] + 4 * found[101] + found[102]) / 6 == pytest.approx(0.5, abs=1e-5)


def stretch_of(boxes: np.ndarray, pinned: bool) -> Stretch:
    middle = (boxes[:, 0] + boxes[:, 2]) / 2 / SIZE[0]
    knots = np.arange(len(boxes)) / RATE / 0.2
    count = int(np.ceil(knots[-1])) + 3
    return Stretch(
        knots=knots,
        low=middle - 0.1,
        high=middle + 0.1,
        wanted_low=middle - 0.05,
        wanted_high=middle + 0.05,
        target=middle,
        row_sec=1 / RATE,
        floor=np.full(count, 0.16),
        ceiling=np.full(count, 0.84),
        fixed=np.zeros(0),
        pins=np.array([[100.0, 0.5]]) if pinned else np.zeros((0, 2)),
    )


def cost(stretch: Stretch, coefficients: np.ndarray) -> float:
    """Of the coefficients, by the general solver's own matrices, with the least slacks that they need."""
    problem = _problem(stretch, 1.0, LIMITS)
    count = len(coefficients)
    at = np.asarray(basis(stretch.knots, count) @ coefficients)
    slack = np.maximum(0, np.maximum(at - stretch.high, stretch.low - at))
    wanted = np.maximum(0, np.maximum(at - stretch.wanted_high, stretch.wanted_low - at))
    whole = np.concatenate([coefficients, slack, wanted, np.abs(np.diff(coefficients))])
    upper = problem["P"]
    return float(whole @ (upper @ whole) - 0.5 * (upper.diagonal() * whole) @ whole + problem["q"] @ whole)

"""What the camera did is measured on what stands still, and places on the ground stay where they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.vision.camera_motion import CameraMotion
from backend.vision.ground import STEADY, STILL, Ground, Move

WIDE, HIGH = 640, 360
NOBODY = np.zeros((0, 4))


def ground(seed: int = 3) -> np.ndarray:
    rough = np.random.default_rng(seed).normal(120, 40, (60, 100, 3)).astype(np.float32)
    return np.clip(cv2.resize(rough, (1000, 600), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def seen(picture: np.ndarray, x: float, y: float, zoom: float = 1.0) -> np.ndarray:
    """The picture of a camera that looks at (x, y) of the ground with its upper left corner."""
    return cv2.warpAffine(picture, np.array([[zoom, 0, -x * zoom], [0, zoom, -y * zoom]]), (WIDE, HIGH))


def moves(*pictures: np.ndarray, boxes: np.ndarray = NOBODY) -> list[Move]:
    camera = CameraMotion()
    return [camera.take(picture, boxes) for picture in pictures]


@pytest.mark.parametrize(("x", "y", "zoom"), [(12.0, 0.0, 1.0), (-7.0, 5.0, 1.0), (20.0, 10.0, 1.05)])
def test_a_shift_and_a_zoom_are_found_to_a_pixel(x: float, y: float, zoom: float) -> None:
    first, second = moves(seen(ground(), 100, 100), seen(ground(), 100 + x, 100 + y, zoom))
    assert first == STILL
    a, b, right, down = second
    assert (1 + a, b) == pytest.approx((zoom, 0), abs=0.004)
    assert (right * WIDE, down * WIDE) == pytest.approx((-x * zoom, -y * zoom), abs=1.2)


def test_a_still_camera_is_still_though_somebody_walks() -> None:
    pictures = []
    for step in range(2):
        picture = seen(ground(), 100, 100)
        picture[60:340, 200 + 25 * step : 330 + 25 * step] = seen(ground(9), 0, 0)[60:340, 200:330]
        pictures.append(picture)
    assert moves(*pictures, boxes=np.array([[190.0, 50, 370, 350]]))[1] == STILL


@pytest.mark.parametrize("picture", [np.zeros((HIGH, WIDE, 3), np.uint8), seen(ground(1), 300, 200)])
def test_where_nothing_can_be_followed_it_is_not_known(picture: np.ndarray) -> None:
    """A dark picture, and another place."""
    assert moves(seen(ground(2), 0, 0), picture)[1] == STILL


@given(st.lists(st.tuples(*[st.floats(-0.05, 0.05)] * 4), min_size=1, max_size=30))
def test_what_stands_on_the_ground_stays_there(steps: list[tuple[float, float, float, float]]) -> None:
    """A point on the ground goes through the picture as the camera moves; taken back, it does not move."""
    width = 1000
    place, points = complex(0.4, 0.3), []
    for a, b, x, y in steps:
        place = place * complex(1 + a, b) + complex(x, y)
        points.append(place * width)
    pts = np.arange(len(steps)) * 10
    boxes = np.array([[p.real - 5, p.imag - 10, p.real + 5, p.imag + 10] for p in points])
    found = Ground(pts.tolist(), steps, width).boxes(pts, boxes)
    middles = (found[:, :2] + found[:, 2:]) / 2
    assert np.allclose(middles, [400.0, 300.0], atol=1e-6)


def test_between_samples_the_one_before_counts_and_a_steady_camera_changes_nothing() -> None:
    boxes = np.array([[10.0, 20, 30, 60]] * 2)
    shifted = Ground([0, 100], [STILL, (0.0, 0.0, 0.1, 0.0)], 100).boxes(np.array([99, 150]), boxes)
    assert shifted[:, 0].tolist() == pytest.approx([10.0, 0.0])
    assert STEADY.boxes(np.array([0, 1]), boxes) is boxes


def test_a_camera_that_zooms_for_ever_leaves_no_place_out_of_reach() -> None:
    pts = np.arange(20_000)
    boxes = np.tile([10.0, 20, 30, 60], (len(pts), 1))
    for a in (0.3, -0.3):
        assert np.isfinite(Ground(pts.tolist(), [(a, 0.0, 0.1, 0.0)] * len(pts), 100).boxes(pts, boxes)).all()


@pytest.mark.parametrize("size", [(2, 2), (640, 2), (2, 640), (16, 16)])
def test_pictures_of_any_size_are_taken(size: tuple[int, int]) -> None:
    rough = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    assert moves(rough, np.roll(rough, 1, axis=0))[0] == STILL

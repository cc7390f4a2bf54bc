"""Windows at any position, size and turn, against the formula of a picture that has one."""

from __future__ import annotations

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.media.resample import Geometry, Window, crop, plane

WIDTH, HEIGHT = 320, 240


def wave(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth picture, known at every point; x and y count from the corner."""
    return 128 + 50 * np.sin(2 * np.pi * x / 23) + 40 * np.cos(2 * np.pi * y / 31)


def upright_frame(rotation: int, deep: bool = False) -> av.VideoFrame:
    """The coded frame that shows the wave after `rotation` degrees counter-clockwise."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    # np.rot90 turns counter-clockwise too: the coded picture is the upright one turned back.
    upright = np.rot90(wave(x, y), -rotation // 90)
    frame = av.VideoFrame(upright.shape[1], upright.shape[0], "yuv420p10le" if deep else "yuv420p")
    gain = 4 if deep else 1
    plane(frame, 0)[:] = np.round(upright * gain)
    for number in (1, 2):
        plane(frame, number)[:] = 128 * gain
    return frame


def shown(frame: av.VideoFrame, window: Window, size: tuple[int, int], rotation: int) -> NDArray[np.float64]:
    geometry = Geometry(frame.width, frame.height, WIDTH, HEIGHT, rotation)
    return plane(crop(frame, window, size, geometry), 0).astype(np.float64)


def wanted(window: Window, size: tuple[int, int]) -> NDArray[np.float64]:
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]] + 0.5
    return wave(window.x + columns * window.width / size[0], window.y + rows * window.height / size[1])


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
@pytest.mark.parametrize(
    ("window", "size"),
    [
        (Window(40, 30, 100, 120), (100, 120)),
        (Window(40.3, 30.7, 100, 120), (100, 120)),
        (Window(40.3, 30.7, 100, 120), (200, 240)),
        (Window(40.37, 30.11, 101.7, 77.3), (142, 108)),
        (Window(20.5, 10.25, 250, 200), (200, 160)),
        (Window(0, 0, WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2)),
    ],
)
def test_every_window_shows_what_lies_there(rotation: int, window: Window, size: tuple[int, int]) -> None:
    error = shown(upright_frame(rotation), window, size, rotation) - wanted(window, size)
    inner = error[8:-8, 8:-8]
    # Each of three short filters rounds to whole levels.
    assert abs(inner.mean()) < 0.2
    assert np.abs(inner).max() < (3.0 if size[0] >= window.width * 0.9 else 4.0)


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_a_window_that_is_halved_first_shows_the_same(rotation: int) -> None:
    window, size = Window(20.3, 10.7, 276, 207), (120, 90)
    frame = upright_frame(rotation)
    geometry = Geometry(frame.width, frame.height, WIDTH, HEIGHT, rotation)
    found = plane(crop(frame, window, size, geometry, halves=True), 0)
    error = (found - wanted(window, size))[4:-4, 4:-4]
    assert abs(error.mean()) < 0.2 and np.abs(error).max() < 4


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0, 1.7])
def test_a_pan_of_a_halved_window_is_exact(shift: float) -> None:
    """The phase of the wave moves with the window."""
    size = (100, 80)
    window = Window(15 + shift, 20, 230, 184)
    geometry = Geometry(WIDTH, HEIGHT, WIDTH, HEIGHT, 0)
    found = plane(crop(upright_frame(0), window, size, geometry, halves=True), 0).astype(np.float64)
    columns = found.mean(axis=0) - found.mean()
    at = window.x + (np.arange(size[0]) + 0.5) * 2.3
    seen, expected = (
        np.angle(values[:100] @ np.exp(2j * np.pi * at / 23)) for values in (columns, np.sin(2 * np.pi * at / 23))
    )
    assert (seen - expected) * 23 / (2 * np.pi) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_a_whole_pixel_window_is_a_copy_whatever_the_turn(rotation: int) -> None:
    frame = upright_frame(rotation)
    upright = np.rot90(plane(frame, 0), rotation // 90)
    found = shown(frame, Window(32, 16, 96, 64), (96, 64), rotation)
    assert np.array_equal(found, upright[16:80, 32:128])


@pytest.mark.parametrize("window", [Window(0, 0, 108, 192), Window(212, 48, 108, 192), Window(211.6, 47.7, 108, 192)])
@pytest.mark.parametrize("zoom", [1, 2])
def test_a_window_at_the_edge_repeats_the_edge_and_nothing_else(window: Window, zoom: int) -> None:
    size = (108 * zoom, 192 * zoom)
    error = shown(upright_frame(0), window, size, 0) - wanted(window, size)
    assert np.abs(error).max() < 12


def test_ten_bit_samples_stay_in_ten_bits() -> None:
    frame = upright_frame(0, deep=True)
    plane(frame, 0)[:, ::2], plane(frame, 0)[:, 1::4] = 1023, 0
    found = shown(frame, Window(40.5, 30.5, 100, 120), (100, 120), 0)
    assert 1000 < found.max() <= 1023

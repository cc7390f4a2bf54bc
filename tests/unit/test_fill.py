"""Windows that have not the output's shape: where they go, and what is beside them."""

from __future__ import annotations

import av
import numpy as np
import pytest

from backend.media.fill import Fill, Placement, filled, placement
from backend.media.resample import Window, plane

OUTPUT = (608, 1080)


def placed(window: Window, output: tuple[int, int] = OUTPUT) -> Placement:
    found = placement(window, output)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("window", "output"),
    [
        (Window(3, 5, 608, 1080), (608, 1080)),
        (Window(3, 5, 607.5, 1080), (608, 1080)),
        (Window(0, 0, 304.2, 540), (608, 1080)),
        (Window(0, 0, 1920, 1080), (1280, 720)),
    ],
)
def test_a_window_of_the_outputs_shape_is_cut_as_ever(window: Window, output: tuple[int, int]) -> None:
    assert placement(window, output) is None


@pytest.mark.parametrize("window", [Window(0, 0, 1920, 1080), Window(10, 20, 300, 1000), Window(5.3, 7.7, 800.1, 803)])
def test_the_window_is_whole_to_two_pixels_and_in_the_middle(window: Window) -> None:
    place = placed(window)
    scale = min(OUTPUT[0] / window.width, OUTPUT[1] / window.height)
    assert place.size[0] / place.window.width == pytest.approx(scale)
    assert place.size[1] / place.window.height == pytest.approx(scale)
    assert (place.window.x + place.window.width / 2) == pytest.approx(window.x + window.width / 2)
    assert (place.window.y + place.window.height / 2) == pytest.approx(window.y + window.height / 2)
    for side, fitted in zip(place.size, (window.width * scale, window.height * scale), strict=True):
        assert fitted - 4 < side <= fitted + 0.1
    assert (2 * place.x + place.size[0], 2 * place.y + place.size[1]) == OUTPUT
    assert place.x % 2 == place.y % 2 == 0


@pytest.mark.parametrize("aspect", [16 / 9, 4 / 3, 608 / 342, 608 / 344, 0.3])
def test_a_slow_zoom_never_moves_the_edges_of_the_area(aspect: float) -> None:
    noise = np.random.default_rng(1)
    heights = np.linspace(400, 1000, 500)
    widths = heights * aspect * (1 + noise.uniform(-1e-6, 1e-6, 500))
    places = [placed(Window(0, 0, w, h)) for w, h in zip(widths, heights, strict=True)]
    assert len({(place.x, place.y, place.size) for place in places}) == 1
    steps = np.diff([place.window.width for place in places])
    assert steps.max() - steps.min() < 0.01


@pytest.mark.parametrize("window", [Window(0, 0, 5000, 3), Window(0, 0, 3, 5000)])
def test_even_a_sliver_keeps_two_pixels(window: Window) -> None:
    place = placed(window, (16, 18))
    assert min(place.size) >= 2 and place.size[0] % 2 == place.size[1] % 2 == 0


def picture(size: tuple[int, int], *, deep: bool) -> av.VideoFrame:
    """Bright below, dark above, with some colour."""
    frame = av.VideoFrame(*size, "yuv420p10le" if deep else "yuv420p")
    gain = 4 if deep else 1
    plane(frame, 0)[:] = np.linspace(60, 200, size[1])[:, None] * gain
    plane(frame, 1)[:] = 100 * gain
    plane(frame, 2)[:] = 150 * gain
    return frame


PLACES = [(Window(0, 0, 160, 90), (72, 128)), (Window(0, 0, 72, 128), (160, 90))]


def shown(window: Window, output: tuple[int, int], fill: Fill, *, deep: bool, full: bool = False) -> list[np.ndarray]:
    """Three planes of the output, its own area taken out (-1)."""
    place = placed(window, output)
    made = picture(place.size, deep=deep)
    frame = filled(made, place, output, fill, full=full)
    planes = []
    for number in range(3):
        step = 1 if number == 0 else 2
        samples = plane(frame, number).astype(np.float64)
        y, x = place.y // step, place.x // step
        inside = samples[y : samples.shape[0] - y, x : samples.shape[1] - x]
        assert np.array_equal(inside, plane(made, number))
        inside[:] = -1
        planes.append(samples)
    return planes


@pytest.mark.parametrize(("window", "output"), PLACES, ids=["wide", "tall"])
@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "10 bits"])
@pytest.mark.parametrize(("full", "black"), [(False, 16), (True, 0)], ids=["limited", "full"])
def test_padding_is_black_to_the_sample(
    window: Window, output: tuple[int, int], deep: bool, full: bool, black: int
) -> None:
    gain = 4 if deep else 1
    for samples, level in zip(shown(window, output, "pad", deep=deep, full=full), (black, 128, 128), strict=True):
        assert set(np.unique(samples)) == {-1, level * gain}


@pytest.mark.parametrize(("window", "output"), PLACES, ids=["wide", "tall"])
@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "10 bits"])
def test_the_blurred_background_has_the_windows_own_light_and_colour(
    window: Window, output: tuple[int, int], deep: bool
) -> None:
    gain = 4 if deep else 1
    luma, blue, red = (samples[samples >= 0] / gain for samples in shown(window, output, "blur", deep=deep))
    assert luma.min() > 55
    assert luma.mean() == pytest.approx(130, abs=6)
    assert np.abs(blue - 100).max() <= 1 and np.abs(red - 150).max() <= 1


def test_the_blurred_background_has_no_detail() -> None:
    place = placed(Window(0, 0, 1920, 1080))
    made = av.VideoFrame(*place.size, "yuv420p")
    plane(made, 0)[:] = np.random.default_rng(3).integers(16, 236, plane(made, 0).shape)
    luma = plane(filled(made, place, OUTPUT, "blur", full=False), 0)[: place.y].astype(np.float64)
    assert np.abs(np.diff(luma, axis=0)).max() <= 2 and np.abs(np.diff(luma, axis=1)).max() <= 2

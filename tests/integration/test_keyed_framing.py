"""Films of job kind `framing`: what stands where in which picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.errors import InvalidParams
from backend.kinds.keyed_framing import FRAMING
from tests.integration.conftest import read_film
from tests.integration.films import beep_times, beeps, grey, write_film
from tests.integration.test_render import luma_of
from tests.integration.whole_films import Made, made

SIZE = (224, 112)
SIDE = 96
WAVE_PX = 32  # three of them fill a picture
QUICK = {"preset": "ultrafast", "crf": 4}
# Uneven: the rate halves after a second.
SECONDS = [Fraction(n, 25) for n in range(25)] + [1 + Fraction(n * 2, 25) for n in range(20)]


@pytest.fixture(scope="module")
def ruler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wave from left to right: its phase says where a picture was cut, to a small part of a pixel."""
    levels = np.rint(126 + 90 * np.cos(2 * np.pi * np.arange(SIZE[0]) / WAVE_PX)).astype(np.uint8)
    columns = np.tile(levels, (SIZE[1], 1))
    frames = (grey(columns) for _ in SECONDS)
    return write_film(tmp_path_factory.mktemp("ruler") / "ruler.mp4", frames, SECONDS, sounds=[("aac", beeps(2.6))])


def key(frame: int, x: float, side: float = SIDE) -> dict[str, float]:
    return {"frame": frame, "x": x, "y": 8, "width": side, "height": side}


def away_px(film: Made, lefts: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the left edge of each picture is from where it should be, in the source's columns."""
    turn = np.exp(-2j * np.pi * np.arange(SIDE) / WAVE_PX)
    waves = np.array([luma.mean(axis=0) @ turn for luma in luma_of(film.path)])
    return np.abs(np.angle(waves * np.exp(-2j * np.pi * lefts / WAVE_PX))) * WAVE_PX / (2 * np.pi)


def expected(*keys: tuple[int, float]) -> NDArray[np.float64]:
    times = np.array([float(sec) for sec in SECONDS])
    return np.interp(times, [times[frame] for frame, _ in keys], [x for _, x in keys])


@pytest.mark.parametrize("workers", [0, 2])
def test_the_window_is_where_the_keyframes_say_on_every_frame(ruler: Path, tmp_path: Path, workers: int) -> None:
    keys: Any = [key(5, 10), key(30, 100.5), key(40, 20)]
    film = made(FRAMING, ruler, tmp_path / "film", workers, keyframes=keys, **QUICK)
    assert (film.pieces > 1) == (workers > 1)
    assert away_px(film, expected((5, 10), (30, 100.5), (40, 20))).max() < 0.1
    assert film.result.files["contact_sheet.png"].startswith(b"\x89PNG")


def test_times_and_sound_are_the_sources_own(ruler: Path, tmp_path: Path) -> None:
    film = made(FRAMING, ruler, tmp_path / "film", keyframes=[key(0, 0)], **QUICK)
    shown = read_film(film.path)
    assert (shown.color, shown.pix_fmt) == ((1, 1, 1, 1), "yuv420p")
    assert shown.size == (SIDE, SIDE)
    assert shown.seconds == pytest.approx([float(sec) for sec in SECONDS], abs=1e-4)
    assert beep_times(film.path) == pytest.approx(beep_times(ruler), abs=0.002)


def test_a_window_that_grows_shows_more_in_the_same_size(ruler: Path, tmp_path: Path) -> None:
    keys = [key(0, 0, 48), key(44, 0, 96)]
    film = made(FRAMING, ruler, tmp_path / "film", keyframes=keys, output_width=96, interpolation="smooth", **QUICK)
    pictures = luma_of(film.path)
    assert pictures[0].shape == (96, 96)
    waves = [np.abs(np.fft.rfft(luma.mean(axis=0))[1:]).argmax() + 1 for luma in (pictures[0], pictures[-1])]
    assert waves[1] == SIDE // WAVE_PX and waves[0] < waves[1]
    halved = pictures[0].mean(axis=0).reshape(-1, 2).mean(axis=1)
    assert np.abs(halved - pictures[-1].mean(axis=0)[:48]).max() < 3


def test_another_shape_is_trimmed_or_shown_between_bars(ruler: Path, tmp_path: Path) -> None:
    wide = {"frame": 0, "x": 0, "y": 0, "width": 224, "height": 112}
    sizes = {"output_width": 96, "output_height": 96}
    cut = made(FRAMING, ruler, tmp_path / "cut", keyframes=[wide], **sizes, **QUICK)
    row = luma_of(cut.path)[0].mean(axis=0)
    columns = 56 + (np.arange(96) + 0.5) * 112 / 96 - 0.5  # of the middle, 112 wide
    assert np.abs(row - (126 + 90 * np.cos(2 * np.pi * columns / WAVE_PX))).max() < 5
    barred = luma_of(made(FRAMING, ruler, tmp_path / "bars", keyframes=[wide], fill="pad", **sizes, **QUICK).path)[0]
    assert barred[:20].max() <= 18 and barred[48].max() > 200


def test_overlay_calls_its_windows_so_too(ruler: Path, tmp_path: Path) -> None:
    film = made(FRAMING, ruler, tmp_path / "film", crop_keyframes=[key(0, 32)], **QUICK)
    assert away_px(film, expected((0, 32))).max() < 0.1


def test_a_window_outside_of_the_picture_fails_the_job_by_its_name(ruler: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidParams, match=r"keyframes\.1: .* leaves the picture of 224x112: x must be from 0 to 128"):
        made(FRAMING, ruler, tmp_path / "film", keyframes=[key(0, 0), key(9, 130)], **QUICK)

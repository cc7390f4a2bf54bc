"""Films of job kind `overlay`: what is inside and outside of the ellipses, on which frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.errors import InvalidParams
from backend.kinds.overlay import OVERLAY, highlights
from backend.kinds.overlay_params import OverlayParams
from backend.media.paint.rows import LayerRows
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline
from tests.integration.conftest import read_film
from tests.integration.films import Shape, beep_times, beeps, picture, write_film
from tests.integration.test_render import deep_film, planes_of
from tests.integration.whole_films import ffmpeg, made

WIDTH, HEIGHT, FRAMES = 160, 96, 50
QUICK = {"preset": "ultrafast", "crf": 0}  # no sample is lost
TAGGED = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of noise that moves, with sound."""
    dice = np.random.default_rng(2)
    luma = dice.integers(40, 220, (HEIGHT, WIDTH), np.uint8)
    chroma = dice.integers(80, 180, (2, HEIGHT // 2, WIDTH // 2), np.uint8)
    frames = (picture([np.roll(luma, number, 1), *chroma]) for number in range(FRAMES))
    shape = Shape(options={"qp": "0", "preset": "ultrafast"}, colour=TAGGED, gop=10)
    seconds = [Fraction(number, 25) for number in range(FRAMES)]
    path = tmp_path_factory.mktemp("noise") / "noise.mp4"
    return write_film(path, frames, seconds, shape, sounds=[("aac", beeps(2.0))])


def region(**changes: Any) -> dict[str, Any]:
    return {"start_frame": 10, "end_frame": 19, "x": 60, "y": 48, "radius_x": 30, "radius_y": 20} | changes


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.asarray(((columns - x) / radius_x) ** 2 + ((rows - y) / radius_y) ** 2 <= 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_spotlight_is_on_its_frames_inclusive_and_nowhere_else(noise: Path, tmp_path: Path, workers: int) -> None:
    regions = [region(), region(start_frame=15, end_frame=30, x=120, y=30, radius_x=15, radius_y=15)]
    film = made(
        OVERLAY,
        noise,
        tmp_path / "film",
        workers,
        highlight_regions=regions,
        effect_type="spotlight",
        feather=0,
        **QUICK,
    )
    assert (film.pieces > 1) == (workers > 1)
    first, second = ellipse(60, 48, 30, 20), ellipse(120, 30, 15, 15)
    for number, (before, after) in enumerate(zip(planes_of(noise), planes_of(film.path), strict=True)):
        clear = np.zeros_like(first)
        if 10 <= number <= 19:
            clear |= first
        if 15 <= number <= 30:
            clear |= second
        if not 10 <= number <= 30:
            assert all((a == b).all() for a, b in zip(before, after, strict=True)), f"frame {number}"
            continue
        assert (before[0][clear] == after[0][clear]).all(), f"frame {number}"
        expected = 16 + 0.3 * (before[0][~clear] - 16.0)
        assert np.abs(after[0][~clear] - expected).max() <= 0.51, f"frame {number}"


def test_a_blur_takes_detail_outside_and_nothing_inside_and_keeps_the_sound(noise: Path, tmp_path: Path) -> None:
    film = made(OVERLAY, noise, tmp_path / "film", highlight_regions=[region(end_frame=None)], feather=0.5, **QUICK)
    inside, far = ellipse(60, 48, 30, 20), ~ellipse(60, 48, 45, 30)
    pictures = list(zip(planes_of(noise), planes_of(film.path), strict=True))
    for before, after in pictures[10:]:
        assert (before[0][inside] == after[0][inside]).all()
        assert after[0][far].std() < 0.3 * before[0][far].std()
        assert after[0][far].mean() == pytest.approx(before[0][far].mean(), abs=2)
    with av.open(str(noise)) as source, av.open(str(film.path)) as copy:
        packets = [[bytes(packet) for packet in each.demux(audio=0) if packet.size] for each in (source, copy)]
    assert packets[0] == packets[1]
    assert beep_times(film.path) == beep_times(noise)


def test_a_keyframed_region_moves_within_a_cropped_window(noise: Path, tmp_path: Path) -> None:
    """The window starts at an odd half; the ellipse is found where it went, in the picture's own pixels."""
    keys = [
        {"frame": 0, "x": 40, "y": 40, "radius_x": 10, "radius_y": 10},
        {"frame": 40, "x": 100, "y": 60, "radius_x": 14, "radius_y": 14},
    ]
    window = {"frame": 0, "x": 16, "y": 8, "width": 120, "height": 80}
    film = made(
        OVERLAY,
        noise,
        tmp_path / "film",
        highlight_regions=[{"keyframes": keys}],
        effect_type="spotlight",
        darken_strength=0,
        feather=0,
        crop_keyframes=[window],
        **QUICK,
    )
    for number in (0, 20, 40, 49):
        share = min(1.0, number / 40)
        after = planes_of(film.path)[number][0]
        rows, columns = np.nonzero(after > 16)
        middle = (columns.mean() + 0.5 + 16, rows.mean() + 0.5 + 8)
        assert middle == pytest.approx((40 + 60 * share, 40 + 20 * share), abs=0.3), f"frame {number}"
        assert np.sqrt(len(rows) / np.pi) == pytest.approx(10 + 4 * share, abs=0.3)
    assert after.shape == (80, 120)


def test_a_turned_source_is_marked_in_its_upright_picture(noise: Path, tmp_path: Path) -> None:
    """As a phone held upright writes it."""
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", 90, "-i", noise, "-c", "copy", turned)
    upright = {"x": 30, "y": 110, "radius_x": 15, "radius_y": 40}
    look = {"effect_type": "spotlight", "darken_strength": 0, "feather": 0}
    film = made(
        OVERLAY, turned, tmp_path / "film", highlight_regions=[region(start_frame=0) | upright], **look, **QUICK
    )
    before, after = np.rot90(planes_of(noise)[5][0]), planes_of(film.path)[5][0]
    assert film.facts.rotation == 90 and after.shape == (WIDTH, HEIGHT)
    rows, columns = np.mgrid[:WIDTH, :HEIGHT] + 0.5
    inside = ((columns - 30) / 15) ** 2 + ((rows - 110) / 40) ** 2 <= 1
    assert (after[inside] == before[inside]).all() and (after[~inside] == 16).all()


def test_kept_hdr_is_marked_in_ten_bits(tmp_path: Path) -> None:
    chroma = np.full((HEIGHT // 2, WIDTH // 2), 512, np.uint16)
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    source = deep_film(tmp_path / "hdr.mkv", [np.full((HEIGHT, WIDTH), 600, np.uint16), chroma, chroma], **tags)
    look = {"effect_type": "spotlight", "feather": 0, "hdr": "keep", "preset": "ultrafast", "crf": 4}
    film = made(OVERLAY, source, tmp_path / "film", highlight_regions=[region(start_frame=0)], **look)
    assert read_film(film.path).pix_fmt == "yuv420p10le"
    luma = planes_of(film.path)[0][0]
    assert luma[44:52, 50:70].mean() == pytest.approx(600, abs=3)
    assert luma[:, 110:].mean() == pytest.approx(64 + 0.3 * (600 - 64), abs=3)


TIMELINE = Timeline(np.arange(FRAMES, dtype=np.int64) * 40, Fraction(1, 1000), (WIDTH, HEIGHT))
TRACK = Track(3, np.array([400, 800]), np.array([[10.0, 20, 30, 60], [50, 20, 70, 60]]), np.ones(2))


def rows_of(**changes: Any) -> tuple[LayerRows, list[str]]:
    params = OVERLAY.parse_params({"highlight_regions": [changes]})
    layer, warnings = highlights(cast(OverlayParams, params), TIMELINE, [TRACK])
    assert layer.rows is not None
    return layer.rows, warnings


def test_a_region_that_ends_behind_the_film_ends_with_it_and_one_that_begins_there_is_said() -> None:
    rows, warnings = rows_of(**region(start_frame=40, end_frame=900))
    assert (rows.pts.tolist(), warnings) == ([frame * 40 for frame in range(40, 50)], [])
    rows, warnings = rows_of(**region(start_frame=50, end_frame=60))
    assert len(rows) == 0
    assert warnings == ["highlight_regions.0 begins with frame 50; the film ends with frame 49: it is never seen."]


def test_a_region_is_where_its_track_is_on_its_own_frames() -> None:
    rows, warnings = rows_of(track_id=3, end_frame=15, room=0.5, opacity=0.7)
    assert (rows.pts.tolist(), warnings) == ([frame * 40 for frame in range(10, 16)], [])
    assert rows.columns["x"] == pytest.approx([20, 24, 28, 32, 36, 40])
    for name, value in {"y": 40, "radius_x": 15, "radius_y": 30, "opacity": 0.7}.items():
        assert rows.columns[name] == pytest.approx([value] * 6)
    assert rows_of(track_id=3, start_frame=30)[1] == ["highlight_regions.0: track 3 is not there on any of its frames."]
    with pytest.raises(InvalidParams, match=r"highlight_regions\.0\.track_id: no track 7 in this video; there are 3\."):
        rows_of(track_id=7)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "highlight_regions is needed: ellipses"),
        ({"highlight_regions": []}, "highlight_regions: .*at least 1"),
        ({"highlight_regions": [region(end_frame=9)]}, "highlight_regions.0: end_frame must not be before start_frame"),
        ({"highlight_regions": [region(), region(radius_x=0)]}, "highlight_regions.1.radius_x"),
        ({"highlight_regions": [region(x=None)]}, "highlight_regions.0: name all of x, y, radius_x and radius_y"),
        ({"highlight_regions": [region(track_id=3)]}, "highlight_regions.0: name x, y.* or keyframes, or track_id"),
        ({"highlight_regions": [{}]}, "highlight_regions.0: name x, y"),
        ({"highlight_regions": [region(opacity=1.5)]}, "highlight_regions.0.opacity"),
        ({"highlight_regions": [region()], "effect_type": "glow"}, "effect_type"),
        ({"highlight_regions": [region()], "radius": 1}, "There is no parameter 'radius'"),
    ],
)
def test_bad_parameters_are_refused_by_name(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidParams, match=complaint):
        OVERLAY.parse_params(given)

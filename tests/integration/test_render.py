"""The picture and the sound of the output, measured in the decoded file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.errors import EncodeFailed
from tests.conftest import shared_file
from tests.integration import films
from tests.integration.films import Shape
from tests.integration.rendering import Rendered, Row, planned, render, rendered, rendered_in_pieces

STEP_PX = 0.3
PERIOD_PX = 8
SYNC_SEC = 0.020
SYNC_FILM_SEC = 300
LOSSLESS = {"crf": 0}


def luma_of(path: Path) -> list[NDArray[np.uint8]]:
    return [planes[0] for planes in planes_of(path)]


def planes_of(path: Path) -> list[list[NDArray[Any]]]:
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            deep = "10le" in frame.format.name
            found.append(
                [
                    np.frombuffer(memoryview(plane), np.uint16 if deep else np.uint8)
                    .reshape(plane.height, -1)[:, : plane.width]
                    .copy()
                    for plane in frame.planes
                ]
            )
    return found


def assert_times_are_kept(done: Rendered, shift_sec: float = 0.0) -> None:
    with av.open(str(done.path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) == len(done.source_pts)
    assert np.allclose(times, np.array(done.source_seconds) - shift_sec, atol=1e-6)


# Motion


def grid_film(path: Path, frames: int, speed: float) -> Path:
    """A grid of eight pixels that moves by `speed` a frame, right and down."""
    y, x = np.mgrid[0:256, 0:320].astype(np.float64)

    def pictures() -> Any:
        for number in range(frames):
            wave = sum(np.sin(2 * np.pi * (axis - speed * number) / PERIOD_PX) for axis in (x, y))
            yield films.grey(np.round(128 + 45 * wave).astype(np.uint8))

    exact = Shape(options={"crf": "0", "preset": "ultrafast"})
    return films.write_film(path, pictures(), [Fraction(n, 25) for n in range(frames)], exact)


def grid_positions(path: Path, period: float) -> NDArray[np.float64]:
    """Where the grid lies, (frame, axis) in pixels, by the phase of its ground wave: exact to a hundredth."""
    found = []
    for luma in luma_of(path):
        inner = luma[16:-16, 16:-16].astype(np.float64)
        phases = []
        for profile in (inner.mean(axis=0), inner.mean(axis=1)):
            whole = profile[: int(len(profile) // period * period)] - profile.mean()
            wave = np.exp(2j * np.pi * np.arange(len(whole)) / period)
            phases.append(np.angle(whole @ wave) * period / (2 * np.pi))
        found.append(phases)
    return np.unwrap(np.array(found), axis=0, period=period)


@pytest.mark.parametrize(
    ("grid_speed", "window_speed", "zoom"),
    [(0.0, STEP_PX, 1), (2 * STEP_PX, STEP_PX, 1), (0.0, STEP_PX, 2)],
    ids=["still source", "moving source", "enlarged"],
)
def test_a_window_that_moves_a_third_of_a_pixel_a_frame_shows_no_stepping(
    tmp_path: Path, grid_speed: float, window_speed: float, zoom: int
) -> None:
    source = grid_film(tmp_path / "grid.mp4", 60, grid_speed)
    size = (160, 128)

    def window(number: int) -> Row:
        return 40 + window_speed * number, 30 + window_speed * number, size[0], size[1]

    # At the default quality x264's own error in one frame is already as large as what is measured here.
    done = render(source, tmp_path / "out.mp4", window, size=(size[0] * zoom, size[1] * zoom), crf=8)
    steps = np.diff(grid_positions(done.path, PERIOD_PX * zoom), axis=0) / zoom
    assert np.abs(steps - (grid_speed - window_speed)).max() <= 0.05


# Sync


def seconds_cfr(rate: Fraction, start: Fraction = Fraction(0)) -> list[Fraction]:
    count = int((SYNC_FILM_SEC - start) * rate)
    return [start + number / rate for number in range(count)]


def seconds_vfr() -> list[Fraction]:
    """Gaps between 15 and 95 milliseconds, from a fixed seed."""
    gaps = np.random.default_rng(1).integers(15, 95, SYNC_FILM_SEC * 30)
    times = np.concatenate([[0], np.cumsum(gaps)])
    return [Fraction(int(t), 1000) for t in times if t < SYNC_FILM_SEC * 1000]


def flash_film(path: Path, times: list[Fraction], codec: str, shape: Shape) -> Path:
    """White for a tenth of every second, and a beep that begins with it."""
    white = [when % 1 < Fraction(1, 10) for when in times]
    dark, bright = (films.grey(np.full((32, 48), level, np.uint8)) for level in (20, 230))
    sound = np.zeros(SYNC_FILM_SEC * films.RATE, np.float32)
    tone = films.beeps(films.BEEP_SEC)
    for number, when in enumerate(times):
        if white[number] and (number == 0 or not white[number - 1]):
            at = round(when * films.RATE)
            sound[at : at + len(tone)] = tone[: len(sound) - at]
    return films.write_film(path, (bright if is_white else dark for is_white in white), times, shape, [(codec, sound)])


NTSC = Fraction(30_000, 1001)


@pytest.mark.parametrize(
    ("name", "codec", "times", "shape"),
    [
        ("cfr.mp4", "aac", lambda: seconds_cfr(Fraction(25)), Shape()),
        ("vfr.mkv", "pcm_s16le", seconds_vfr, Shape(time_base=Fraction(1, 1000))),
        ("late.mp4", "aac", lambda: seconds_cfr(Fraction(25), Fraction(85, 100)), Shape()),
        ("ntsc.mov", "pcm_s16le", lambda: seconds_cfr(NTSC), Shape(time_base=1 / NTSC, rate=NTSC)),
    ],
)
def test_video_of_any_rate_does_not_drift_from_its_sound_in_five_minutes(
    tmp_path: Path, name: str, codec: str, times: Callable[[], list[Fraction]], shape: Shape
) -> None:
    source = flash_film(tmp_path / name, times(), codec, shape)
    done = render(source, tmp_path / "out.mp4", lambda _: (8, 0, 32, 32), preset="ultrafast")
    assert_times_are_kept(done)
    flashes, beeps = films.flash_times(done.path), films.beep_times(done.path)
    assert len(flashes) == len(beeps) >= SYNC_FILM_SEC - 2
    offsets = np.abs(np.array(flashes) - np.array(beeps))
    assert offsets[:10].max() < SYNC_SEC and offsets[-10:].max() < SYNC_SEC
    assert offsets.max() < SYNC_SEC


# Colour

BARS = np.array([[r, g, b] for r in (0.0, 0.75) for g in (0.0, 0.75) for b in (0.0, 0.75)])
MATRICES = {5: (0.299, 0.114), 1: (0.2126, 0.0722)}


def encoded(rgb: NDArray[np.float64], matrix: int, *, full: bool) -> NDArray[np.float64]:
    """Y'CbCr samples of 8 bits, as ITU-R BT.601 and BT.709 write them down."""
    kr, kb = MATRICES[matrix]
    red, green, blue = rgb.T
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = [(blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)]
    if full:
        return np.stack([255 * luma, *(128 + 255 * c for c in chroma)], axis=1)
    return np.stack([16 + 219 * luma, *(128 + 224 * c for c in chroma)], axis=1)


def bars_film(path: Path, matrix: int, *, full: bool) -> Path:
    samples = np.round(encoded(BARS, matrix, full=full)).astype(np.uint8)
    planes = [np.repeat(samples[:, i], 32 if i == 0 else 16)[None].repeat(128 if i == 0 else 64, 0) for i in range(3)]
    colour = {
        "colorspace": matrix,
        "color_primaries": 1,
        "color_trc": 1,
        "color_range": 2 if full else 1,
    }
    shape = Shape(options={"crf": "0", "preset": "ultrafast"}, colour=colour)
    return films.write_film(path, [films.picture(planes)] * 3, [Fraction(n, 25) for n in range(3)], shape)


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [5, 1], ids=["601", "709"])
def test_colour_bars_come_out_within_two_levels(tmp_path: Path, matrix: int, full: bool) -> None:
    source = bars_film(tmp_path / "bars.mp4", matrix, full=full)
    done = render(source, tmp_path / "out.mp4", lambda _: (0, 0, 256, 128), **LOSSLESS)
    wanted = encoded(BARS, 1, full=False)
    planes = planes_of(done.path)[1]
    for number in range(3):
        wide = 32 if number == 0 else 16
        middles = planes[number][:, wide // 2 :: wide].astype(np.float64)
        assert np.abs(middles - wanted[:, number]).max() <= 2
    with av.open(str(done.path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 1, 1)


def test_a_still_window_at_whole_pixels_copies_every_sample(tmp_path: Path) -> None:
    noise = np.random.default_rng(2)
    planes = [noise.integers(16, 236, shape, dtype=np.uint8) for shape in ((96, 128), (48, 64), (48, 64))]
    colour = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
    shape = Shape(options={"crf": "0", "preset": "ultrafast"}, colour=colour)
    source = films.write_film(
        tmp_path / "noise.mp4", [films.picture(planes)] * 2, [Fraction(0), Fraction(1, 25)], shape
    )
    done = render(source, tmp_path / "out.mp4", lambda _: (32, 16, 54, 64), **LOSSLESS)
    luma, blue, red = planes_of(done.path)[1]
    assert np.array_equal(luma, planes[0][16:80, 32:86])
    assert np.array_equal(blue, planes[1][8:40, 16:43])
    assert np.array_equal(red, planes[2][8:40, 16:43])


def deep_film(path: Path, planes: list[NDArray[np.uint16]], **colour: int) -> Path:
    """Three lossless ten-bit frames."""
    shape = Shape("ffv1", "yuv420p10le", Fraction(1, 1000), options={}, colour=colour)
    return films.write_film(
        path, [films.picture(planes, "yuv420p10le")] * 3, [Fraction(n, 25) for n in range(3)], shape
    )


def test_ten_bits_become_eight_with_the_gradient_kept(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(400, 432, dtype=np.uint16), 8)[None].repeat(128, 0)
    chroma = np.full((64, 128), 513, np.uint16)
    tags = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
    source = deep_film(tmp_path / "ramp.mkv", [ramp, chroma, chroma], **tags)
    done = render(source, tmp_path / "out.mp4", lambda _: (0, 0, 256, 128), **LOSSLESS)
    luma, blue, _ = planes_of(done.path)[1]
    steps = luma.reshape(128, 32, 8).mean(axis=(0, 2))
    assert np.abs(steps - np.arange(400, 432) / 4).max() < 0.05
    assert blue.mean() == pytest.approx(513 / 4, abs=0.05)


def pq(nits: float) -> float:
    """SMPTE ST 2084, inverse EOTF."""
    y = (nits / 10_000) ** 0.1593017578125
    return float(((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375)


# BT.2408 puts reference white, 203 cd/m², at 58 % of PQ and 75 % of HLG.
@pytest.mark.parametrize(
    ("transfer", "signal", "low", "high"),
    [
        (16, 0.0, 16, 16.5),
        (16, pq(10), 77, 80),
        (16, pq(50), 137, 140),
        (16, 0.58, 195, 225),
        (16, pq(1000), 234, 236),
        (16, 1.0, 234, 236),
        (18, 0.0, 16, 16.5),
        (18, 0.75, 195, 225),
        (18, 1.0, 234, 236),
    ],
)
def test_hdr_grey_becomes_the_sdr_grey_of_the_same_brightness(
    tmp_path: Path, transfer: int, signal: float, low: float, high: float
) -> None:
    luma = np.full((64, 64), round(64 + 876 * signal), np.uint16)
    chroma = np.full((32, 32), 512, np.uint16)
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": transfer, "color_range": 1}
    source = deep_film(tmp_path / "grey.mkv", [luma, chroma, chroma], **tags)
    done = render(source, tmp_path / "out.mp4", lambda _: (0, 0, 64, 64), **LOSSLESS)
    shown, blue, red = planes_of(done.path)[1]
    assert low <= shown.mean() <= high
    assert abs(blue.mean() - 128) <= 1 and abs(red.mean() - 128) <= 1


def test_hdr_films_leave_nothing_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = [np.full((64, 64), 502, np.uint16), *[np.full((32, 32), 512, np.uint16)] * 2]
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    source = deep_film(tmp_path / "grey.mkv", planes, **tags)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it was asked for before
    for _ in range(5):  # a child may be quick enough to clean up before it is killed, but not always
        done = render(source, tmp_path / "out.mp4", lambda _: (0, 0, 64, 64), **LOSSLESS)
        assert done.source_pts
    assert list(temporary.iterdir()) == []


def test_hdr_is_kept_as_ten_bit_hevc_when_asked(tmp_path: Path) -> None:
    source = shared_file("media", "media3_hdr10-video-with-sdr-container.mp4")
    done = render(source, tmp_path / "out.mp4", lambda _: (800, 300, 180, 320), hdr="keep", preset="ultrafast")
    assert_times_are_kept(done)
    with av.open(str(done.path)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.codec_context.codec_tag) == ("hevc", "hvc1")
        frame = next(container.decode(video))
        assert frame.format.name == "yuv420p10le"
        assert (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range) == (9, 16, 9, 1)
        assert bytes(frame.side_data["CONTENT_LIGHT_LEVEL"])[:4] == (1000).to_bytes(4, "little")


# Interlace


def combing(luma: NDArray[np.uint8]) -> float:
    """How much every other line differs from its neighbours: high where two moments are woven together."""
    lines = luma.astype(np.float64)
    return float(np.abs(lines[:-2] - 2 * lines[1:-1] + lines[2:]).mean())


def test_interlaced_film_loses_its_combs_and_none_of_its_frames(tmp_path: Path) -> None:
    def bar(offset: int) -> NDArray[np.uint8]:
        luma = np.full((128, 192), 40, np.uint8)
        luma[:, offset % 192 : offset % 192 + 40] = 200
        return luma

    def woven(number: int) -> av.VideoFrame:
        luma = bar(8 * number)
        luma[1::2] = bar(8 * number + 4)[1::2]
        return films.grey(luma)

    shape = Shape(options={"crf": "4", "x264-params": "tff=1"}, gop=12)
    source = films.write_film(
        tmp_path / "woven.mp4", map(woven, range(20)), [Fraction(n, 25) for n in range(20)], shape
    )
    done = render(source, tmp_path / "out.mp4", lambda _: (0, 0, 192, 128), crf=4)
    assert_times_are_kept(done)
    before, after = (np.mean([combing(luma) for luma in luma_of(path)]) for path in (source, done.path))
    assert after < before / 5


def test_an_interlaced_transport_stream_keeps_every_frame(tmp_path: Path) -> None:
    done = render(shared_file("media", "fate_scte20.mp4"), tmp_path / "out.mp4")
    assert len(done.source_pts) == 202
    assert_times_are_kept(done, shift_sec=done.source_seconds[0])


def test_a_preset_that_no_encoder_knows_fails_the_job(tmp_path: Path) -> None:
    source = grid_film(tmp_path / "grid.mp4", 3, 0.0)
    with pytest.raises(EncodeFailed):
        render(source, tmp_path / "out.mp4", preset="nonsense")


# Windows of another shape than the output

FILM_SIZE = (192, 128)
MARKER = (104, 56, 16)  # left, top and side, in pixels of the upright picture


def marker_film(path: Path, rotation: int, *, deep: bool) -> Path:
    """A bright square on grey, upright after `rotation` degrees counter-clockwise; three frames."""
    luma = np.full(FILM_SIZE[::-1], 90, np.uint16)
    left, top, side = MARKER
    luma[top : top + side, left : left + side] = 220
    coded = np.rot90(luma, -rotation // 90) * (4 if deep else 1)
    chroma = np.full((coded.shape[0] // 2, coded.shape[1] // 2), 512 if deep else 128, np.uint16)
    tags = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
    if deep:
        return deep_film(path, [coded, chroma, chroma], **tags)
    shape = Shape(options={"crf": "0", "preset": "ultrafast"}, colour=tags)
    planes = [samples.astype(np.uint8) for samples in (coded, chroma, chroma)]
    return films.write_film(path, [films.picture(planes)] * 3, [Fraction(n, 25) for n in range(3)], shape)


@pytest.mark.parametrize("in_pieces", [False, True])
def test_panels_show_the_sources_own_samples_each_in_its_place(tmp_path: Path, in_pieces: bool) -> None:
    """The second half of the film is split in two, then in three of which the last covers the rounding."""
    rng = np.random.default_rng(2)
    luma = [rng.integers(30, 220, (128, 192)).astype(np.uint8) for _ in range(6)]
    shape = Shape(options={"crf": "0", "preset": "ultrafast"})
    times = [Fraction(n, 25) for n in range(6)]
    source = films.write_film(tmp_path / "noise.mkv", [films.grey(each) for each in luma], times, shape)
    none = (np.nan,) * 4
    rows = {
        0: (10, 0, 96, 128, *none, *none),
        2: (0, 2, 96, 64, 90, 60, 96, 64, *none),
        4: (4, 6, 96, 42, 96, 20, 96, 42, 8, 80, 96, 42),
    }
    areas = {2: [(0, 0, 96, 64), (0, 64, 96, 64)], 3: [(0, 0, 96, 42), (0, 42, 96, 42), (0, 84, 96, 42)]}
    plan = planned(
        source, tmp_path / "out.mp4", lambda n: rows[n // 2 * 2], size=(96, 128), panel_areas=areas, **LOSSLESS
    )
    done = rendered_in_pieces(plan, [3]) if in_pieces else rendered(plan)
    shown = luma_of(done.path)
    for number, picture in enumerate(shown):
        row = [value for value in rows[number // 2 * 2] if np.isfinite(value)]
        windows = [tuple(int(value) for value in row[at : at + 4]) for at in range(0, len(row), 4)]
        places = areas.get(len(windows), [(0, 0, 96, 128)])
        for (x, y, width, height), (left, top, *_) in zip(windows, places, strict=True):
            inside = picture[top : top + height, left : left + width]
            assert np.array_equal(inside, luma[number][y : y + height, x : x + width])
    assert (shown[5][126:] == 16).all()  # what is left over is black


WIDE, TALL = ((0.0, 0.0, 192.0, 128.0), (72, 128)), ((96.0, 0.0, 40.0, 128.0), (192, 96))


@pytest.mark.parametrize(
    ("window", "size", "rotation", "deep", "fill"),
    [(*WIDE, 0, False, "pad"), (*TALL, 0, True, "pad"), (*TALL, 90, False, "pad"), (*WIDE, 90, True, "blur")],
    ids=["wide", "tall, ten bits", "tall, turned", "wide, turned, ten bits, blurred"],
)
def test_a_window_of_another_shape_is_shown_whole_between_bars(
    tmp_path: Path, window: Row, size: tuple[int, int], rotation: int, deep: bool, fill: str
) -> None:
    source = marker_film(tmp_path / "marker.mkv", rotation, deep=deep)
    upright = {"upright_width": FILM_SIZE[0], "upright_height": FILM_SIZE[1], "rotation": rotation}
    hdr = "keep" if deep else "sdr"
    done = render(source, tmp_path / "out.mp4", lambda _: window, size=size, fill=fill, hdr=hdr, **LOSSLESS, **upright)
    luma, blue, red = (samples / (4.0 if deep else 1.0) for samples in planes_of(done.path)[1])
    scale = min(size[0] / window[2], size[1] / window[3])
    corner = [(out - side * scale) / 2 for out, side in zip(size, window[2:], strict=True)]
    x, y = (max(0, int(side)) for side in corner)
    shown = luma.copy()
    shown[:, : x + 1 if x else 0] = shown[:, size[0] - x - 1 if x else size[0] :] = 0  # edges are even
    shown[: y + 1 if y else 0] = shown[size[1] - y - 1 if y else size[1] :] = 0
    rows, columns = np.nonzero(shown > 155)
    for found, axis in ((columns, 0), (rows, 1)):
        middle = corner[axis] + (MARKER[axis] + MARKER[2] / 2 - window[axis]) * scale
        assert found.mean() + 0.5 == pytest.approx(middle, abs=0.3)
        assert np.ptp(found) + 1 == pytest.approx(MARKER[2] * scale, abs=1)
    bars = np.concatenate(
        [part.ravel() for part in (luma[:, :x], luma[:y], luma[:, size[0] - x :], luma[size[1] - y :])]
    )
    assert bars.size > 0.3 * luma.size
    if fill == "pad":
        assert np.abs(bars - 16).max() <= (0.25 if deep else 0)  # x265 is not lossless at crf 0
    else:
        assert bars.min() > 80 and bars.mean() == pytest.approx(luma.mean(), abs=15)
    assert set(np.unique(blue)) == set(np.unique(red)) == {128.0}


def test_a_window_of_the_outputs_shape_is_the_same_whatever_the_fill(tmp_path: Path) -> None:
    source = grid_film(tmp_path / "grid.mp4", 4, 0.3)
    pictures = [
        np.stack(
            luma_of(render(source, tmp_path / f"{fill}.mp4", lambda n: (40 + 0.3 * n, 30, 90, 160), fill=fill).path)
        )
        for fill in ("crop", "blur")
    ]
    assert np.array_equal(*pictures)


def test_a_slow_zoom_between_bars_is_steady(tmp_path: Path) -> None:
    source = grid_film(tmp_path / "grid.mp4", 40, 0.0)

    def window(number: int) -> Row:
        """It opens from 160 to 240 pixels about the middle, at 2:1."""
        width = 160 + 2 * number
        return 160 - width / 2, 128 - width / 4, width, width / 2

    done = render(source, tmp_path / "out.mp4", window, size=(160, 160), fill="pad", **LOSSLESS)
    found = np.array(luma_of(done.path))
    assert (found[:, :40] == 16).all() and (found[:, 120:] == 16).all()
    # The middle of the picture stays where it is: the wave about it is the source's, ever more of it.
    y, x = np.mgrid[0:80, 0:160] + 0.5
    for number in range(0, 40, 13):
        left, top, width, _ = window(number)
        at = (left + x * width / 160 - 0.5, top + y * width / 160 - 0.5)
        wanted = 128 + 45 * sum(np.sin(2 * np.pi * axis / PERIOD_PX) for axis in at)
        inner = (found[number, 40:120] - wanted)[4:-4, 4:-4]
        assert abs(inner.mean()) < 1 and np.abs(inner).max() < 12

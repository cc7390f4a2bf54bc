"""Films of strangers: clocks that jump or begin anywhere, pictures that are mirrored, transparent or of many shapes,
sound that changes its format. Each is intact, and arrives whole."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from backend.media.decode import open_container
from backend.media.film import origin_sec
from tests.conftest import shared_file
from tests.integration import films
from tests.integration.conftest import read_film
from tests.integration.rendering import probe, render
from tests.integration.test_render import luma_of
from tests.integration.whole_films import TEST_PICTURE, TEST_SOUND, Cropped, crop, ffmpeg, frames_in, joined

SYNC_SEC = 0.045  # a frame's length, and what AAC blurs
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def film_of(done: Cropped) -> tuple[int, list[float]]:
    """How many frames the film has, and their times in seconds."""
    film = read_film(done.result.output)
    return len(film.pts), film.seconds


def assert_even(seconds: list[float], step_sec: float = 0.04) -> None:
    assert all(later - earlier == pytest.approx(step_sec, abs=0.0015) for earlier, later in pairwise(seconds))


def sound_sec(path: Path) -> float:
    """Length of the sound that can be heard, by its decoded samples."""
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 1
        frames = list(container.decode(audio=0))
    assert len({(frame.sample_rate, frame.layout.name) for frame in frames}) == 1
    return sum(frame.samples for frame in frames) / frames[0].sample_rate


def flashes(path: Path, seconds: int, start: Fraction = Fraction(0)) -> Path:
    """White for a tenth of every second, and a beep that begins with it."""
    times = [start + Fraction(number, 25) for number in range(seconds * 25)]
    dark, bright = (films.grey(np.full((64, 96), level, np.uint8)) for level in (20, 230))
    sound = np.concatenate([np.zeros(int(start * films.RATE), np.float32), films.beeps(seconds)])
    pictures = (bright if (when - start) % 1 < Fraction(1, 10) else dark for when in times)
    return films.write_film(path, pictures, times, sounds=[("aac", sound)])


def assert_flash_and_beep_together(path: Path, count: int) -> None:
    light, noise = films.flash_times(path), films.beep_times(path)
    assert len(light) >= count
    for when in light:
        assert min(abs(when - heard) for heard in noise) < SYNC_SEC, (light, noise)


# Times


@pytest.mark.parametrize("name", ["vfr.mkv", "live3600.mkv"])
def test_an_intact_recording_of_variable_rate_is_not_called_damaged(tmp_path: Path, name: str) -> None:
    done = crop(shared_file("media", "found", name), tmp_path)
    assert film_of(done)[0] == frames_in(shared_file("media", "found", name))
    assert done.warnings == []


def test_pauses_and_sound_that_goes_on_are_no_damage(tmp_path: Path) -> None:
    pause, longer = tmp_path / "pause.mkv", tmp_path / "longer.mkv"
    kept = ("-vf", "select='not(between(t,4,7))'", "-fps_mode", "passthrough")
    ffmpeg(*TEST_PICTURE, *TEST_SOUND, "-t", 10, *kept, *H264, "-c:a", "aac", pause)
    ffmpeg("-t", 4, *TEST_PICTURE, "-t", 8, *TEST_SOUND, *H264, "-c:a", "aac", longer)
    for source in (pause, longer):
        for chunk_seconds in (2.0, 30.0):
            done = crop(source, tmp_path / "work", chunk_seconds)
            assert film_of(done)[0] == frames_in(source)
            assert done.warnings == []


def test_a_recording_cut_off_in_the_middle_says_so(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    ffmpeg(*TEST_PICTURE, *TEST_SOUND, "-t", 10, *H264, "-c:a", "aac", whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    done = crop(cut, tmp_path / "work")
    assert film_of(done)[0] == frames_in(cut)
    assert any("cut off" in said for said in done.warnings)


@pytest.mark.parametrize(("name", "frames"), [("live3600.mkv", 252), ("live1764000000.mp4", 200)])
def test_a_clock_that_begins_anywhere_is_planned_by_what_is_there_and_the_film_begins_at_zero(
    tmp_path: Path, name: str, frames: int
) -> None:
    done = crop(shared_file("media", "found", name), tmp_path)
    assert done.chunks == 1
    count, seconds = film_of(done)
    assert (count, done.facts.duration_seconds) == (frames, pytest.approx(frames / 25, abs=0.2))
    assert 0 <= seconds[0] < 0.1
    assert sound_sec(done.result.output) == pytest.approx(frames / 25, abs=0.1)


def test_avi_with_b_frames_keeps_every_frame_in_order(tmp_path: Path) -> None:
    made = tmp_path / "made.avi"
    ffmpeg(*TEST_PICTURE, *TEST_SOUND, "-t", 6, "-c:v", "mpeg4", "-bf", 2, "-q:v", 3, "-c:a", "libmp3lame", made)
    for source in (shared_file("media", "found", "h264b.avi"), made):
        done = crop(source, tmp_path / "work", 2.0)
        count, seconds = film_of(done)
        assert count == frames_in(source)
        assert_even(seconds)
        whole = render(source, tmp_path / "whole.mp4", lambda _: (0, 0, 640, 360), crf=0, preset="ultrafast")
        with av.open(str(source)) as container:
            shown = [frame.to_ndarray(format="gray")[::8, ::8].astype(int) for frame in container.decode(video=0)]
        for number, luma in enumerate(luma_of(whole.path)):
            near = range(max(0, number - 3), min(len(shown), number + 4))
            assert number == min(near, key=lambda other: np.abs(luma[::8, ::8] - shown[other]).mean())


@pytest.mark.parametrize("name", ["concat.ts", "concat_mute.ts"])
def test_two_streams_joined_are_one_timeline_with_every_frame(tmp_path: Path, name: str) -> None:
    done = crop(shared_file("media", "found", name), tmp_path, 2.0)
    count, seconds = film_of(done)
    assert count == 300
    assert_even(seconds)
    assert any("clock jumps" in said for said in done.warnings)
    if name == "concat.ts":
        assert sound_sec(done.result.output) == pytest.approx(12, abs=0.15)


@pytest.mark.parametrize("offset_sec", [0, 7200], ids=["back to its start", "two hours ahead"])
def test_flash_and_beep_stay_together_over_a_jump_of_the_clock(tmp_path: Path, offset_sec: int) -> None:
    first, second = flashes(tmp_path / "first.ts", 6), tmp_path / "second.ts"
    ffmpeg("-i", first, "-c", "copy", "-output_ts_offset", offset_sec, second)
    done = crop(joined(tmp_path / "both.ts", first, second), tmp_path / "work")
    count, seconds = film_of(done)
    assert (count, done.chunks) == (300, 1)
    assert_even(seconds)
    assert_flash_and_beep_together(done.result.output, count=12)
    assert any("clock jumps" in said for said in done.warnings)


def test_a_first_picture_before_the_containers_start_is_not_hidden() -> None:
    source = shared_file("media", "found", "audiochange.ts")
    with source.open("rb") as file, open_container(file) as container:
        start_sec = Fraction(container.start_time or 0, av.time_base)
        assert start_sec > 0
        earlier = start_sec - Fraction(1, 25)
        assert origin_sec(container, earlier) == earlier
        assert origin_sec(container, start_sec + 1) == start_sec


# Sound


def test_sound_that_changes_its_rate_goes_on_in_its_first_format(tmp_path: Path) -> None:
    done = crop(shared_file("media", "found", "audiochange.ts"), tmp_path)
    assert film_of(done)[0] == 300
    assert sound_sec(done.result.output) == pytest.approx(12, abs=0.1)


def test_sound_that_changes_from_stereo_to_mono_goes_on_and_in_sync(tmp_path: Path) -> None:
    mono = flashes(tmp_path / "mono.ts", 5)
    stereo, later = tmp_path / "stereo.ts", tmp_path / "later.ts"
    ffmpeg("-i", mono, "-c:v", "copy", "-c:a", "aac", "-ac", 2, stereo)
    ffmpeg("-i", mono, "-c", "copy", "-output_ts_offset", 5, later)
    done = crop(joined(tmp_path / "both.ts", stereo, later), tmp_path / "work")
    assert film_of(done)[0] == 250
    assert sound_sec(done.result.output) == pytest.approx(10, abs=0.15)
    assert_flash_and_beep_together(done.result.output, count=10)


def test_a_sound_track_that_nobody_decodes_is_left_out_in_words(tmp_path: Path) -> None:
    done = crop(shared_file("media", "found", "iphone_apac.mov"), tmp_path)
    assert film_of(done)[0] == 200
    assert sound_sec(done.result.output) == pytest.approx(8, abs=0.1)
    assert any("Sound tracks left out" in said for said in done.warnings)


# Pictures


@pytest.mark.parametrize("mirrored", [(), ("-display_hflip",), ("-display_vflip",)], ids=["", "hflip", "vflip"])
@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_mirrored_and_turned_films_look_as_players_show_them(
    tmp_path: Path, turned: int, mirrored: tuple[str, ...]
) -> None:
    plain, source, shown = tmp_path / "plain.mp4", tmp_path / "source.mp4", tmp_path / "shown.png"
    # Noise of blocks: no symmetry at all, and coarse enough for chroma and small pictures.
    ffmpeg("-f", "lavfi", "-i", "mandelbrot=s=320x200:r=5:start_x=-0.7:start_y=0.3", "-t", 1, *H264, "-crf", 10, plain)
    ffmpeg("-display_rotation", turned, *mirrored, "-i", plain, "-c", "copy", source)
    ffmpeg("-i", source, "-frames:v", 1, shown)
    with av.open(str(shown)) as container:
        wanted = next(container.decode(video=0)).to_ndarray(format="bgr24").astype(float)
    facts = probe(source)
    assert (facts.height, facts.width) == wanted.shape[:2]
    film = render(source, tmp_path / "film.mp4", lambda _: (0, 0, facts.width, facts.height), crf=10)
    with av.open(str(film.path)) as container:
        found = next(container.decode(video=0)).to_ndarray(format="bgr24").astype(float)
    detected = crop(source, tmp_path / "work").seen[0].astype(float)
    for picture in (found, detected):
        assert np.abs(picture - wanted).mean() < 6


@pytest.mark.parametrize("name", ["alpha.webm", "alpha.mov"])
def test_what_is_transparent_is_black(tmp_path: Path, name: str) -> None:
    codec = {"alpha.webm": ("libvpx-vp9", "yuva420p"), "alpha.mov": ("prores_ks", "yuva444p10le")}[name]
    half = "lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='if(lt(X,W/2),pow(2,{bits})-1,0)'"
    alpha = f"format={codec[1]},geq=" + half.format(bits=10 if "10" in codec[1] else 8)
    source = tmp_path / name
    ffmpeg(*TEST_PICTURE, "-t", 1, "-vf", alpha, "-c:v", codec[0], "-pix_fmt", codec[1], source)
    film = render(source, tmp_path / "film.mp4", lambda _: (0, 0, 640, 360), crf=4)
    luma = luma_of(film.path)[3]
    assert luma[20:-20, 20:300].std() > 20
    assert luma[:, 340:].max() <= 24
    seen = crop(source, tmp_path / "work").seen[0]
    assert seen[:, 340:].max() <= 16


def test_nobody_is_stretched_when_the_picture_changes_its_shape(tmp_path: Path) -> None:
    wide, tall = tmp_path / "wide.ts", tmp_path / "tall.ts"
    white = ("-f", "lavfi", "-i")
    ffmpeg(*white, "color=white:r=25:s=640x360", "-t", 2, *H264, wide)
    ffmpeg(*white, "color=white:r=25:s=360x640", "-t", 2, *H264, "-output_ts_offset", 2, tall)
    source = joined(tmp_path / "both.ts", wide, tall)
    film = render(source, tmp_path / "film.mp4", lambda _: (0, 0, 640, 360), crf=4)
    pictures = luma_of(film.path)
    assert len(pictures) == frames_in(source)
    assert pictures[10].min() > 200
    columns = pictures[-10].mean(axis=0) > 100  # 360 x 640 is shown 202 wide where the picture is 360 high
    assert columns.sum() == pytest.approx(202, abs=4)
    assert columns[300:340].all()


def test_pixels_that_change_their_shape_stretch_nobody(tmp_path: Path) -> None:
    white = ("-f", "lavfi", "-i", "color=white:r=25:s=640x480")
    square, wide = tmp_path / "square.ts", tmp_path / "wide.ts"
    ffmpeg(*white, "-t", 2, "-vf", "setsar=1", *H264, square)
    ffmpeg(*white, "-t", 2, "-vf", "setsar=4/3", *H264, "-output_ts_offset", 2, wide)
    source = joined(tmp_path / "both.ts", square, wide)
    film = render(source, tmp_path / "film.mp4", lambda _: (0, 0, 640, 480), crf=4)
    pictures = luma_of(film.path)
    assert pictures[10].min() > 200
    rows = pictures[-5].mean(axis=1) > 100  # 16:9 inside 4:3
    assert rows.sum() == pytest.approx(360, abs=4)


def test_a_stream_that_grows_is_as_large_as_it_becomes(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate(("320x180", "640x360", "1280x720", "640x360")):
        part = tmp_path / f"{size}-{number}.ts"
        picture = ("-f", "lavfi", "-i", f"testsrc2=r=25:s={size}")
        ffmpeg(*picture, "-t", 2, *H264, "-output_ts_offset", 2 * number, part)
        parts.append(part)
    facts = probe(joined(tmp_path / "grows.ts", *parts))
    assert (facts.width, facts.height) == (1280, 720)

"""A piece of sound has the very samples of its source, from the first to the last that were asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray

from tests.integration.kinds.shop import Shop
from tests.integration.whole_films import ffmpeg

RATE = 44_100
# A tone that rises, so that no piece of it is like another one.
RISING = ("-f", "lavfi", "-i", "aevalsrc=0.5*sin(2*PI*(200+40*t)*t)|0.4*sin(2*PI*(330+25*t)*t):s=44100:d=6")
PICTURE = ("-f", "lavfi", "-i", "testsrc2=r=25:s=64x48:d=6")


def pcm(path: Path) -> NDArray[np.int16]:
    """(samples, channels) as another program decodes them."""
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "s16le", "-c:a", "pcm_s16le", "-"]
    heard = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
    return np.frombuffer(heard, np.int16).reshape(-1, 2)


def sound(folder: Path, name: str, *codec: str) -> Path:
    path = folder / name
    ffmpeg(*RISING, *codec, path)
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("tone.wav", ["-c:a", "pcm_s16le"]),
        ("deep.wav", ["-c:a", "pcm_s24le"]),
        ("tone.flac", ["-c:a", "flac"]),
        ("tone.mp3", ["-c:a", "libmp3lame"]),
        ("tone.m4a", ["-c:a", "aac"]),
        ("tone.mkv", ["-c:a", "aac"]),
        ("tone.ts", ["-c:a", "mp2"]),
    ],
)
def test_a_piece_as_wav_holds_the_sources_own_samples(shop: Shop, tmp_path: Path, name: str, codec: list[str]) -> None:
    source = sound(tmp_path, name, *codec)
    job = shop.made("audio_trim", str(source), {"start_sec": 2.1, "duration_sec": 1.337})
    piece = pcm(shop.result(job, tmp_path))
    start, length = round(2.1 * RATE), round(1.337 * RATE)
    assert len(piece) == length
    np.testing.assert_array_equal(piece, pcm(source)[start : start + length])
    assert (job.output_key or "").endswith("_trimmed.wav")
    assert job.warnings == []
    assert job.output_size == (tmp_path / Path(job.output_key or "").name).stat().st_size


@pytest.mark.parametrize("ending", ["flac", "m4a", "mp3", "ogg", "opus"])
def test_the_outputs_name_chooses_container_and_codec(shop: Shop, tmp_path: Path, ending: str) -> None:
    source = sound(tmp_path, "tone.wav")
    asked = {"start_sec": 1.0, "duration_sec": 2.0}
    job = shop.made("audio_trim", str(source), asked, output_name=f"part.{ending}")
    made = shop.result(job, tmp_path)
    assert made.suffix == f".{ending}"
    probed = subprocess.run([get_ffmpeg_exe(), "-i", str(made)], capture_output=True, text=True, check=False).stderr
    codec = {"flac": "flac", "m4a": "aac", "mp3": "mp3", "ogg": "opus", "opus": "opus"}[ending]
    assert f"Audio: {codec}" in probed
    piece, expected = pcm(made).astype(np.float64), pcm(source)[RATE : 3 * RATE].astype(np.float64)
    rate = 48_000 if codec == "opus" else RATE
    assert abs(len(piece) / rate - 2.0) < 0.03  # what players cannot cut off of a lossy file's end
    if ending == "flac":
        np.testing.assert_array_equal(piece, expected)
    if rate == RATE:
        assert np.corrcoef(piece[:RATE, 0], expected[:RATE, 0])[0, 1] > 0.99


def test_the_sound_of_a_video_counts_from_the_films_zero(shop: Shop, tmp_path: Path) -> None:
    """The sound begins half a second late: until then the piece is silent."""
    source = tmp_path / "late.mov"
    ffmpeg(*PICTURE, "-itsoffset", 0.5, *RISING, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "pcm_s16le", source)
    job = shop.made("audio_trim", str(source), {"start_sec": 0.25, "duration_sec": 1.0})
    piece = pcm(shop.result(job, tmp_path))
    quiet = round(0.25 * RATE)
    assert len(piece) == RATE and not piece[:quiet].any()
    np.testing.assert_array_equal(piece[quiet:], pcm(sound(tmp_path, "plain.wav"))[: RATE - quiet])


def test_a_piece_that_the_sound_does_not_fill_is_shorter_and_says_so(shop: Shop, tmp_path: Path) -> None:
    source = sound(tmp_path, "tone.wav")
    job = shop.made("audio_trim", str(source), {"start_sec": 5.5, "duration_sec": 10})
    np.testing.assert_array_equal(pcm(shop.result(job, tmp_path)), pcm(source)[round(5.5 * RATE) :])
    assert job.warnings == ["The sound ends after 6.000 s: the piece is 0.500 s long."]


def test_a_start_behind_the_end_is_refused(shop: Shop, tmp_path: Path) -> None:
    job = shop.made("audio_trim", str(sound(tmp_path, "tone.wav")), {"start_sec": 6.5})
    assert (job.status, job.error_code) == ("failed", "invalid_params")
    assert job.error_message == "start_sec: the sound ends before, after 6.000 s."


@pytest.mark.parametrize("what", ["silent film", "text", "playlist"])
def test_what_has_no_sound_is_refused_by_its_reason(shop: Shop, tmp_path: Path, what: str) -> None:
    path = tmp_path / "given.mp4"
    if what == "silent film":
        ffmpeg(*PICTURE, "-c:v", "libx264", "-preset", "ultrafast", path)
    else:
        path.write_text("#EXTM3U\nfile:///etc/hostname\n" if what == "playlist" else "once upon a time " * 500)
    job = shop.made("audio_trim", str(path), {"duration_sec": 1})
    expected = "no_audio_stream" if what == "silent film" else "not_a_sound"
    assert (job.status, job.error_code) == ("failed", expected)

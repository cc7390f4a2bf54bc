"""A piece of sound has the very samples of its source, from the first to the last that were asked for."""

from __future__ import annotations

import struct
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray

from backend.errors import MediaTooLarge, NoAudioStream
from backend.jobs.resource import job_resources
from backend.media.trim import TrimOrder, trim
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


def trimmed(source: Path, target: Path, start_sec: str, duration_sec: str | None) -> dict[str, Any]:
    """In this process, as the media process does it."""
    exact = [None if each is None else Fraction(each).as_integer_ratio() for each in (start_sec, duration_sec)]
    order = {"start_sec": exact[0], "duration_sec": exact[1], "ending": target.suffix, "output_file": str(target)}
    with source.open("rb") as file:
        return trim(file, TrimOrder.model_validate(order), lambda seconds: None)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("deep.wav", ["-c:a", "pcm_s24le"]),
        ("tone.flac", ["-c:a", "flac"]),
        ("tone.mp3", ["-c:a", "libmp3lame"]),
        ("tone.m4a", ["-c:a", "aac"]),
        ("lossless.m4a", ["-c:a", "alac"]),
        ("tone.mkv", ["-c:a", "aac"]),
        ("tone.ogg", ["-c:a", "flac"]),
        ("tone.ts", ["-c:a", "mp2"]),
    ],
)
@pytest.mark.parametrize(("start_sec", "duration_sec"), [("0", "1"), ("2.1", "1.337"), ("4.00001", None)])
def test_a_piece_as_wav_holds_the_sources_own_samples(
    tmp_path: Path, name: str, codec: list[str], start_sec: str, duration_sec: str | None
) -> None:
    source = sound(tmp_path, name, *codec)
    counts = trimmed(source, tmp_path / "part.wav", start_sec, duration_sec)
    whole, start = pcm(source), round(Fraction(start_sec) * RATE)
    stop = len(whole) if duration_sec is None else start + round(Fraction(duration_sec) * RATE)
    piece = pcm(tmp_path / "part.wav")
    assert len(piece) == stop - start == counts["samples"]
    np.testing.assert_array_equal(piece, whole[start:stop])


def test_a_job_makes_a_piece_exact_to_the_sample(shop: Shop, tmp_path: Path) -> None:
    source = sound(tmp_path, "tone.wav")
    job = shop.made("audio_trim", str(source), {"start_sec": 2.1, "duration_sec": 1.337})
    start, length = round(2.1 * RATE), round(1.337 * RATE)
    piece = pcm(shop.result(job, tmp_path))
    np.testing.assert_array_equal(piece, pcm(source)[start : start + length])
    assert (job.output_key or "").endswith("_trimmed.wav")
    assert job.warnings == []
    assert job.output_size == (tmp_path / Path(job.output_key or "").name).stat().st_size
    (resource,) = job_resources(shop.service.database, [job])
    assert resource["video"] is None
    assert resource["sound"] == {"duration_seconds": 6.0, "sample_rate": RATE, "channels": 2, "codec": "pcm_s16le"}


def test_the_name_of_the_output_chooses_its_container(shop: Shop, tmp_path: Path) -> None:
    job = shop.made("audio_trim", str(sound(tmp_path, "tone.wav")), {"duration_sec": 1}, output_name="part.FLAC")
    made = shop.result(job, tmp_path)
    assert made.suffix == ".flac" and made.read_bytes()[:4] == b"fLaC"


@pytest.mark.parametrize(
    ("ending", "codec"), [("flac", "flac"), ("m4a", "aac"), ("mp3", "mp3"), ("ogg", "opus"), ("opus", "opus")]
)
def test_each_ending_has_its_codec_and_the_right_sound(tmp_path: Path, ending: str, codec: str) -> None:
    source, made = sound(tmp_path, "tone.wav"), tmp_path / f"part.{ending}"
    trimmed(source, made, "1", "2")
    probed = subprocess.run([get_ffmpeg_exe(), "-i", str(made)], capture_output=True, text=True, check=False).stderr
    assert f"Audio: {codec}" in probed
    command = ["-ar", str(RATE), "-f", "s16le", "-"]
    heard = subprocess.run([get_ffmpeg_exe(), "-v", "error", "-i", made, *command], capture_output=True, check=True)
    piece = np.frombuffer(heard.stdout, np.int16).reshape(-1, 2).astype(np.float64)
    expected = pcm(source)[RATE : 3 * RATE].astype(np.float64)
    assert abs(len(piece) / RATE - 2.0) < 0.03  # what players cannot cut off of a lossy file's end
    if ending == "flac":
        np.testing.assert_array_equal(piece, expected)
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
    expected = {"silent film": "no_audio_stream", "text": "not_a_sound", "playlist": "unsupported_container"}
    assert (job.status, job.error_code) == ("failed", expected[what])


def apart(path: Path, gap_sec: int) -> Path:
    """A tenth of a second of loud sound, a gap, and as much again."""
    with av.open(str(path), "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        assert isinstance(stream, AudioStream)
        for start_sec in (0, gap_sec):
            frame = AudioFrame.from_ndarray(np.full((1, 9600), 9000, np.int16), format="s16", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, start_sec * 48_000, Fraction(1, 48_000)
            output.mux(stream.encode(frame))
    return path


def test_two_packets_far_apart_do_not_fill_the_disk(tmp_path: Path) -> None:
    """A file of 40 KB whose clock says that eleven days lie between them: 190 GB of silence."""
    hostile, target = apart(tmp_path / "apart.mkv", 1_000_000), tmp_path / "all.wav"
    with pytest.raises(MediaTooLarge, match="silence"):
        trimmed(hostile, target, "0", None)
    assert target.stat().st_size < 2**20
    # A piece of the gap, and a gap that a recorder leaves, are there.
    assert trimmed(hostile, target, "0", "2")["samples"] == len(pcm(target)) == 96_000
    trimmed(apart(tmp_path / "pause.mkv", 3), target, "0", None)
    assert np.flatnonzero(np.abs(pcm(target)[:, 0]) < 100).size == round(2.9 * 48_000)


@pytest.mark.parametrize("rate", [1, 2**31 - 1])
def test_a_rate_that_no_recorder_has_is_no_sound(tmp_path: Path, rate: int) -> None:
    """4 KB at one sample a second were over an hour of sound for an encoder, a megabyte was days."""
    source = tmp_path / "slow.wav"
    head = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate, 1, 8)
    source.write_bytes(b"RIFF" + struct.pack("<I", 4036) + b"WAVEfmt " + head + b"data" + struct.pack("<I", 4000))
    with source.open("ab") as file:
        file.write(bytes(4000))
    with pytest.raises(NoAudioStream):
        trimmed(source, tmp_path / "out.mp3", "0", None)
    assert not (tmp_path / "out.mp3").exists()

"""The sound of a stretch of a film, as the media process writes it for whoever listens for speech."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.errors import NoAudioStream
from backend.media.sandbox import MediaProcess
from tests.integration.rendering import LIMITS, FileReader

RATE_HZ, SOURCE_HZ = 16_000, 48_000
SECONDS = 10
BEEP_SEC = (3.0, 7.0)  # where beeps of a tenth of a second begin


@pytest.fixture(params=["mkv", "mp4", "ts"])
def film(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return made(tmp_path / f"film.{request.param}", late_sec=1.0)


def made(path: Path, late_sec: float | None) -> Path:
    """Grey pictures with beeps in stereo from `late_sec` on; None: no sound."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = output.add_stream("aac", rate=SOURCE_HZ, layout="stereo") if late_sec is not None else None
        for number in range(25 * SECONDS):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(video.encode(frame))
        if audio is not None and late_sec is not None:
            sound = beeps()[round(late_sec * SOURCE_HZ) :]
            for start in range(0, len(sound), 1024):
                part = np.repeat(sound[start : start + 1024], 2)[None]
                block = av.AudioFrame.from_ndarray(part, format="s16", layout="stereo")
                block.sample_rate, block.time_base = SOURCE_HZ, Fraction(1, SOURCE_HZ)
                block.pts = round(late_sec * SOURCE_HZ) + start
                output.mux(audio.encode(block))
            output.mux(audio.encode(None))
        output.mux(video.encode(None))
    return path


def beeps() -> NDArray[np.int16]:
    sound = np.zeros(SECONDS * SOURCE_HZ, np.int16)
    for at in BEEP_SEC:
        start, length = round(at * SOURCE_HZ), SOURCE_HZ // 10
        sound[start : start + length] = 20_000 * np.sin(np.arange(length) * 2 * np.pi * 1000 / SOURCE_HZ)
    return sound


def first_picture_sec(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(next(container.decode(video=0)).time or 0.0)


def heard(path: Path, folder: Path, start_sec: float, stop_sec: float | None, **more: Any) -> NDArray[np.int16]:
    target = folder / "voice.pcm"
    order = {"start_sec": start_sec, "stop_sec": stop_sec, "longest_sec": 3600.0, "rate_hz": RATE_HZ} | more
    order["output_file"] = str(target)
    with MediaProcess("voice", order, FileReader(path), LIMITS, folder=folder) as process:
        for _ in process.messages():
            pass
        count = process.result["samples"]
    samples = np.fromfile(target, "<i2")
    assert len(samples) == count
    return samples


def beginnings_sec(samples: NDArray[np.int16]) -> list[float]:
    loud = np.abs(samples.astype(np.int64)) > 3000
    at = np.flatnonzero(loud)
    return [float(each) / RATE_HZ for each in at[np.flatnonzero(np.diff(at, prepend=-RATE_HZ) > RATE_HZ // 2)]]


@pytest.mark.parametrize("start_sec", [0.0, 2.0, -1.0])
def test_what_is_heard_lies_where_its_pictures_are(film: Path, tmp_path: Path, start_sec: float) -> None:
    zero_sec = first_picture_sec(film)
    samples = heard(film, tmp_path, zero_sec + start_sec, None)
    assert beginnings_sec(samples) == pytest.approx([at - start_sec for at in BEEP_SEC], abs=0.01)


def test_a_stretch_ends_where_it_is_to_end(film: Path, tmp_path: Path) -> None:
    zero_sec = first_picture_sec(film)
    samples = heard(film, tmp_path, zero_sec + 6.0, zero_sec + 8.0)
    assert len(samples) == pytest.approx(2 * RATE_HZ, abs=RATE_HZ // 10)
    assert beginnings_sec(samples) == pytest.approx([1.0], abs=0.01)


def test_no_more_is_written_than_was_asked_for(film: Path, tmp_path: Path) -> None:
    assert len(heard(film, tmp_path, -1e6, None, longest_sec=2.0)) == 2 * RATE_HZ


def test_a_film_without_sound_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoAudioStream):
        heard(made(tmp_path / "silent.mp4", None), tmp_path, 0.0, None)

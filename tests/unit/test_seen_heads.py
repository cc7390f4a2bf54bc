"""Heads as landmarks show them: where they are, how large, and how they come into tracks, sightings and the path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest

from backend.kinds import with_poses
from backend.kinds.context import Earlier
from backend.kinds.crop_params import CropParams
from backend.kinds.framing import framed
from backend.kinds.stitched import Stitched
from backend.vision.artifacts import ChunkArtifact, DetectionRecord, SourceId, TrackRecord, sha256_hex, to_json_bytes
from backend.vision.heads import head_boxes
from backend.vision.pose.artifacts import PoseArtifact, TrackLandmarks, to_bytes
from backend.vision.pose.heads import heads_seen, with_heads
from backend.vision.pose.skeleton import LANDMARKS, NUMBER
from backend.vision.sightings import Sightings
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline

SIZE, TIME_BASE = (1000, 800), Fraction(1, 25)
FRAMES = np.arange(100)
BOX = np.array([400.0, 100.0, 600.0, 700.0])


def landmarks(face: tuple[float, float] | None, wide: float = 60.0, profile: bool = False) -> np.ndarray:
    """(17, 3): a face with its eyes at that place and ears `wide` apart, above shoulders; nothing else is seen."""
    found = np.zeros((len(LANDMARKS), 3))
    if face is None:
        return found
    x, y = face
    places = {"nose": (0.0, 0.2), "left_eye": (0.2, 0.0), "right_eye": (-0.2, 0.0)}
    places |= {"left_ear": (0.5, 0.05)} | ({} if profile else {"right_ear": (-0.5, 0.05)})
    for name, (right, down) in places.items():
        found[NUMBER[name]] = x + right * wide, y + down * wide, 0.9
    return found


def posed(rows: list[np.ndarray], pts: np.ndarray, box: np.ndarray = BOX, start: int = 0) -> PoseArtifact:
    boxes = [box.tolist()] * len(pts)
    chunk = ChunkArtifact(
        job_id="job",
        detector={},
        chunk_index=0,
        source=SourceId(etag="e", size=1),
        params_sha256="0" * 64,
        time_base=[1, 25],
        start_pts=start,
        end_pts=start + 100,
        frame_size=list(SIZE),
        frame_pts=FRAMES.tolist(),
        sampled_pts=pts.tolist(),
        detections=[DetectionRecord(pts=int(each), boxes=[box.tolist()], confidence=[0.9]) for each in pts],
        tracks=[TrackRecord(id=1, pts=pts.tolist(), boxes=boxes, confidence=[0.9] * len(pts))],
    )
    return PoseArtifact(chunk=chunk, landmarks=[TrackLandmarks(id=1, rows=[row.reshape(-1).tolist() for row in rows])])


def track(track_id: int = 1, box: np.ndarray = BOX) -> Track:
    pts = FRAMES[::4]
    return Track(track_id, pts, np.tile(box, (len(pts), 1)), np.full(len(pts), 0.9))


def test_a_head_is_around_eyes_and_ears_as_wide_as_they_tell() -> None:
    [frontal, profile, away] = heads_seen(
        np.stack([landmarks((500.0, 300.0)), landmarks((500.0, 300.0), profile=True), landmarks(None)])
    )
    assert (frontal[0] + frontal[2]) / 2 == pytest.approx(500) and frontal[2] - frontal[0] == pytest.approx(72)
    assert (frontal[1] + frontal[3]) / 2 == pytest.approx(301.5, abs=1) and frontal[3] - frontal[1] == pytest.approx(96)
    assert 40 < profile[2] - profile[0] < 75 and profile[0] < 500 < profile[2]
    assert np.isnan(away).all()


def test_one_landmark_of_a_face_is_no_head() -> None:
    only = landmarks((500.0, 300.0))
    only[[NUMBER[name] for name in LANDMARKS if name != "nose"], 2] = 0.1
    assert np.isnan(heads_seen(only[None])).all()


def test_tracks_get_the_heads_of_whoever_is_at_the_same_place_at_the_same_time() -> None:
    pts = FRAMES[::4]
    beside = posed([landmarks((450.0, 400.0))] * len(pts), pts, BOX + np.array([3.0, -2.0, 4.0, 5.0]))
    here, elsewhere = with_heads([track(1), track(2, BOX + 350.0)], [beside])
    assert here.heads is not None and np.isfinite(here.heads).all() and elsewhere.heads is None
    assert (here.heads[:, 0] + here.heads[:, 2]).tolist() == pytest.approx([900.0] * len(pts))
    assert here.between(3, 7).heads is not None and len(here.between(3, 7).heads) == 4
    assert with_heads([here], []) == [here]


def test_between_samples_a_head_moves_with_its_box_and_where_none_is_seen_it_is_where_it_should_be() -> None:
    pts = FRAMES[::4]
    rows = [landmarks((450.0, 400.0)) if index < 10 else landmarks(None) for index in range(len(pts))]
    [seen] = with_heads([track()], [posed(rows, pts)])
    moving = replace(seen, boxes=seen.boxes + np.outer(pts, [1.0, 0.0, 1.0, 0.0]), heads=_moved(seen.heads, pts))
    [sighting] = Sightings([moving], Timeline(FRAMES, TIME_BASE, SIZE)).on(FRAMES, FRAMES / 25)
    middle = (sighting.heads[:, 0] + sighting.heads[:, 2]) / 2
    assert middle[:36] == pytest.approx(450.0 + FRAMES[:36])
    np.testing.assert_allclose(sighting.heads[40:], head_boxes(sighting.boxes[40:], SIZE))
    np.testing.assert_array_equal(sighting.heads_on(np.array([5, 50])), sighting.heads[[5, 50]])


def _moved(heads: np.ndarray | None, pts: np.ndarray) -> np.ndarray:
    assert heads is not None
    return heads + np.outer(pts, [1.0, 0.0, 1.0, 0.0])


def test_the_picture_is_composed_around_the_head_that_is_seen() -> None:
    """Somebody who sits bent down to one side: the window is lower than for one who stands."""
    pts = FRAMES[::4]
    low = np.array([400.0, 250.0, 520.0, 450.0])
    [bent] = with_heads([track(box=low)], [posed([landmarks((450.0, 430.0), 40.0)] * len(pts), pts, low)])
    tops = []
    for person in (track(box=low), bent):
        found = Stitched(Timeline(FRAMES, TIME_BASE, SIZE), [person], [(0, len(FRAMES))])
        framing = framed(found, CropParams(aspect="1:1", min_crop_ratio=0.6))
        assert framing.certificate(0.85)["heads_held_pct"] == 100
        tops.append(framing.path.y[0])
    assert tops[1] > tops[0] + 20


def test_of_who_is_wider_than_the_window_the_side_with_the_head_is_shown() -> None:
    pts, wide = FRAMES[::4], np.array([150.0, 100.0, 850.0, 800.0])
    framings = []
    for face in ((720.0, 200.0), (500.0, 200.0)):
        [person] = with_heads([track(box=wide)], [posed([landmarks(face, 80.0)] * len(pts), pts, wide)])
        found = Stitched(Timeline(FRAMES, TIME_BASE, SIZE), [person], [(0, len(FRAMES))])
        framings.append(framed(found, CropParams(aspect="9:16")))
    aside, middle = framings
    assert aside.path.width[0] == 450 and aside.certificate(0.85)["heads_held_pct"] == 100
    assert aside.certificate(0.85)["held_part_pct"] == 100
    guessed = framed(
        Stitched(Timeline(FRAMES, TIME_BASE, SIZE), [track(box=wide)], [(0, 100)]), CropParams(aspect="9:16")
    )
    assert middle.path.x[0] == pytest.approx(guessed.path.x[0], abs=1) and aside.path.x[0] > middle.path.x[0] + 40


class _Chunks:
    """Earlier chunks that hold people and poses."""

    plan: Mapping[str, Any] = {}

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    def artifacts(self) -> Iterator[tuple[bytes, str]]:
        return ((data, sha256_hex(data)) for data in self._chunks)


def test_the_step_that_is_given_people_can_ask_for_the_poses_beside_them() -> None:
    pts = FRAMES[::4]
    poses = posed([landmarks((500.0, 300.0))] * len(pts), pts)
    both = json.dumps({"schema": with_poses.SCHEMA}).encode()[:-1]
    both += b',"people":' + to_json_bytes(poses.chunk) + b',"poses":' + to_bytes(poses) + b"}"
    earlier = cast("Earlier", _Chunks(both, both))
    assert [found.landmarks for found in with_poses.poses_beside(with_poses.people_of(earlier))] == [
        poses.landmarks
    ] * 2
    assert list(with_poses.poses_beside(earlier)) == []  # chunks of people alone

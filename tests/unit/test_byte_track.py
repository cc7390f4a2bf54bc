"""Who is who from frame to frame: people keep their numbers, doubtful sightings carry them on but start nobody."""

from __future__ import annotations

import numpy as np
import pytest

from backend.vision.byte_track import ByteTrack, Rules
from backend.vision.detector import Detections
from backend.vision.tracker import Tracker

SURE, DOUBTFUL, NOISE = 0.8, 0.2, 0.05
CONF, SAMPLE_FPS = 0.25, 10.0
Sighting = tuple[float, float]  # left side in px, confidence


def box_at(left: float) -> list[float]:
    return [left, 100, left + 60, 280]


def tracked(frames: list[list[Sighting]]) -> dict[int, dict[int, float]]:
    """By track: frame number to the left side of its box. Frames count from 0."""
    tracker = Tracker(conf=CONF, sample_fps=SAMPLE_FPS)
    for number, seen in enumerate(frames):
        boxes = np.array([box_at(left) for left, _ in seen]).reshape(-1, 4)
        tracker.update(number, Detections(boxes, np.array([confidence for _, confidence in seen])))
    return {track_id: dict(zip(pts, boxes[:, 0].tolist(), strict=True)) for track_id, pts, boxes, _ in tracker.tracks()}


def walk(left: float, px_a_frame: float, frames: int, confidence: float = SURE) -> list[list[Sighting]]:
    return [[(left + px_a_frame * number, confidence)] for number in range(frames)]


def test_two_who_walk_past_each_other_keep_their_numbers() -> None:
    right, left = walk(0, 12, 60), walk(720, -12, 60)
    tracks = tracked([[*one, *other] for one, other in zip(right, left, strict=True)])
    assert len(tracks) == 2
    assert all(len(set(np.sign(np.diff(list(track.values()))))) == 1 for track in tracks.values())


def test_a_doubtful_sighting_carries_somebody_on() -> None:
    frames = walk(100, 5, 12)
    for number in range(4, 9):
        frames[number] = [(frames[number][0][0], DOUBTFUL)]
    assert [sorted(track) for track in tracked(frames).values()] == [list(range(12))]


def test_doubtful_sightings_alone_are_nobody() -> None:
    assert tracked(walk(100, 5, 12, DOUBTFUL)) == {}


def test_noise_carries_nobody_on() -> None:
    assert sorted(tracked(walk(100, 0, 3) + walk(100, 0, 3, NOISE))[1]) == [0, 1, 2]


@pytest.mark.parametrize(("hidden", "people"), [(4, 1), (5, 2)])
def test_somebody_hidden_for_half_a_second_is_another(hidden: int, people: int) -> None:
    away: list[list[Sighting]] = [[] for _ in range(hidden)]
    assert len(tracked(walk(100, 0, 5) + away + walk(100, 0, 5))) == people


def test_what_is_seen_once_is_nobody() -> None:
    """But for the first frame, where nobody can have been seen before."""
    once: list[list[Sighting]] = [[(400, SURE)]]
    empty: list[list[Sighting]] = [[]]
    assert tracked(empty * 3 + once + empty * 3) == {}
    assert tracked(once + empty * 3) == {1: {0: 400}}


def test_boxes_without_an_extent_are_nobody() -> None:
    tracker = Tracker(conf=CONF, sample_fps=SAMPLE_FPS)
    flat = Detections(np.array([[10.0, 10, 10, 200], [300, 80, 360, 80]]), np.array([SURE, SURE]))
    for number in range(4):
        tracker.update(number, flat)
    assert tracker.tracks() == []


def test_a_track_holds_the_detections_themselves() -> None:
    """Not the filter's estimate, which lags behind whoever starts to run."""
    lefts = [100.0, 101, 103, 109, 121, 140, 166]
    assert tracked([[(left, SURE)] for left in lefts]) == {1: dict(enumerate(lefts))}


def ids_over_a_jump(shift_px: float, told_px: float) -> list[list[int]]:
    """Two people stand still for ten frames; then all of the picture is shifted, and the tracker told by how much."""
    standing = np.array([[100.0, 100, 140, 220], [300.0, 90, 345, 230]])
    tracker = ByteTrack(Rules(strong=0.25, weak=0.1, match_cost=0.8, patience=5))
    told = []
    for frame in range(14):
        boxes = standing + (frame >= 10) * np.array([shift_px, 0, shift_px, 0])
        moved = (1 + 0j, complex(told_px, 0)) if frame == 10 else (1 + 0j, 0j)
        told.append([seen.track_id for seen in tracker.update(boxes, np.full(2, 0.9), moved)])
    return told


def test_a_pan_that_it_is_told_of_changes_nobody() -> None:
    assert ids_over_a_jump(60.0, 60.0) == [[1, 2]] * 14
    assert ids_over_a_jump(60.0, 0.0)[-1] != [1, 2]


def test_a_pan_that_people_do_not_show_is_not_believed() -> None:
    assert ids_over_a_jump(0.0, 60.0) == [[1, 2]] * 14

"""The summary of each object: an object that goes by known numbers has those numbers in it."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from backend.vision.object_summary import Zone, objects_json
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline

# 4 s of 25 frames a second that begin at PTS 1000.
TIMELINE = Timeline(1000 + 40 * np.arange(100), Fraction(1, 1000), (400, 200))
LEFT = Zone("left", np.array([[0.0, 0], [100, 0], [100, 200], [0, 200]]))


def walk(speeds_px_per_sec: list[float], class_name: str = "person") -> Track:
    """Sampled ten times a second, a stretch of a second at each speed, on a straight way from x = 0."""
    x = np.concatenate([[0.0], np.cumsum(np.repeat(speeds_px_per_sec, 10) / 10)])
    pts = 1000 + 100 * np.arange(len(x))
    boxes = np.column_stack([x - 10, np.full(len(x), 100.0), x + 10, np.full(len(x), 160.0)])
    return Track(7, pts, boxes, np.full(len(x), 0.8), class_name)


def summary(track: Track, *zones: Zone) -> dict[str, Any]:
    [found] = json.loads(objects_json([track], TIMELINE, zones))["objects"]
    return dict(found)


def test_times_lengths_and_speeds_are_those_of_the_way() -> None:
    found = summary(walk([50, 100, 20], "car"))
    assert (found["id"], found["class"], found["samples"]) == (7, "car", 31)
    assert (found["first_seen"], found["last_seen"]) == ({"sec": 0.0, "pts": 1000}, {"sec": 3.0, "pts": 4000})
    assert (found["path_px"], found["path_widths"]) == (170.0, 0.425)
    assert found["mean_speed_px_per_sec"] == pytest.approx(170 / 3, abs=0.01)
    assert (found["top_speed_px_per_sec"], found["top_speed_widths_per_sec"]) == (100.0, 0.25)


def test_a_detector_s_tremble_is_no_speed() -> None:
    """Two pixels to and fro are 40 px/s between two samples."""
    still = walk([0, 0])
    aside = np.array([[2.0 * (n % 2), 0, 2.0 * (n % 2), 0] for n in range(21)])
    shaken = Track(1, still.pts, still.boxes + aside, still.confidence)
    assert summary(shaken)["top_speed_px_per_sec"] < 5


def test_dwell_is_counted_by_frames_on_the_clock() -> None:
    """At 50 px/s the feet leave a zone of 100 px after 2 s: frames at 0, 40 … 1960 ms, and at 2000 ms on its edge."""
    assert summary(walk([50, 50, 50]), LEFT)["dwell_sec"] == {"left": 2.0}


def test_dwell_holds_where_the_frames_are_uneven() -> None:
    """Two seconds of the pictures are shown for 40 ms each, then one stands still for a second."""
    pts = np.concatenate([1000 + 40 * np.arange(26), [3000, 3040]])
    timeline = Timeline(pts, Fraction(1, 1000), (400, 200))
    still = Track(1, np.array([1000, 3000]), np.array([[40.0, 50, 60, 90]] * 2), np.ones(2))
    [found] = json.loads(objects_json([still], timeline, [LEFT]))["objects"]
    assert found["dwell_sec"] == {"left": 2.04}


def test_a_zone_may_have_any_shape() -> None:
    """An L, and a star that crosses itself: its middle is inside twice, so outside."""
    shape = Zone("L", np.array([[0.0, 0], [30, 0], [30, 20], [10, 20], [10, 40], [0, 40]]))
    points = np.array([[5.0, 30], [20, 10], [20, 30], [-1, 5], [31, 5]])
    assert shape.holds(points).tolist() == [True, True, False, False, False]
    angles = np.pi / 2 + np.arange(5) * 4 * np.pi / 5
    star = Zone("star", 100 * np.column_stack([np.cos(angles), np.sin(angles)]))
    assert star.holds(np.array([[0.0, 0], [0, 80], [90, -60]])).tolist() == [False, True, False]


def test_somebody_seen_once_has_no_speed() -> None:
    once = summary(Track(1, np.array([1400]), np.array([[0.0, 0, 10, 10]]), np.array([0.5])), LEFT)
    assert (once["path_px"], once["mean_speed_px_per_sec"], once["top_speed_px_per_sec"]) == (0.0, 0.0, 0.0)
    assert once["dwell_sec"] == {"left": 0.04}

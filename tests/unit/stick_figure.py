"""A stick figure: posed by its joint angles, drawn, and its landmarks measured in the drawn picture."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.vision.pose.person import Person
from backend.vision.pose.skeleton import BONES, LANDMARKS, NUMBER

SIZE = (640, 640)
_HIPS = np.array([320.0, 330.0])
_UPPER_ARM, _FOREARM, _THIGH, _SHANK = 75.0, 70.0, 105.0, 100.0


def posed(angles: Mapping[str, float] | None = None, at: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
    """Landmarks (17, 2): somebody upright who has these joint angles in degrees, by their names in skeleton.ANGLES."""
    given = {"trunk_lean": 0.0, **dict.fromkeys(("left_shoulder", "right_shoulder"), 20.0)} | dict(angles or {})
    lean = np.radians(given["trunk_lean"])
    trunk = np.array([np.sin(lean), -np.cos(lean)])
    across = np.array([np.cos(lean), np.sin(lean)])
    places = {name: np.zeros(2) for name in LANDMARKS}
    shoulders = _HIPS + 140.0 * trunk
    for side, sign in (("left", 1), ("right", -1)):
        shoulder, hip = shoulders + 45.0 * sign * across, _HIPS + 28.0 * sign * across
        places[f"{side}_shoulder"], places[f"{side}_hip"] = shoulder, hip
        elbow = shoulder + _UPPER_ARM * _turned(hip - shoulder, -sign * given[f"{side}_shoulder"])
        places[f"{side}_elbow"] = elbow
        places[f"{side}_wrist"] = elbow + _FOREARM * _turned(shoulder - elbow, sign * given.get(f"{side}_elbow", 170.0))
        knee = hip + _THIGH * _turned(shoulder - hip, sign * given.get(f"{side}_hip", 175.0))
        places[f"{side}_knee"] = knee
        places[f"{side}_ankle"] = knee + _SHANK * _turned(hip - knee, -sign * given.get(f"{side}_knee", 175.0))
        places[f"{side}_ear"] = shoulders + 55.0 * trunk + 14.0 * sign * across
        places[f"{side}_eye"] = shoulders + 60.0 * trunk + 7.0 * sign * across
    places["nose"] = shoulders + 52.0 * trunk
    return np.array([places[name] for name in LANDMARKS]) + np.array(at)


def drawn(places: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A picture: grey bones, each landmark a disc of a shade of its own."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    corners = [tuple(np.round(place).astype(int).tolist()) for place in places]
    for one, other in BONES:
        cv2.line(picture, corners[one], corners[other], (90, 90, 90), 3)
    for number, corner in enumerate(corners):
        cv2.circle(picture, corner, 3, (255, 0, 10 * number + 10), -1)
    return picture


def measured(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Landmarks (17, 3) in the picture: the middle of each disc; visibility 0 where another one covers it."""
    found = np.zeros((len(LANDMARKS), 3))
    for number in range(len(LANDMARKS)):
        rows, columns = np.nonzero((picture[..., 0] == 255) & (picture[..., 2] == 10 * number + 10))
        if len(rows) > 10:
            found[number] = columns.mean(), rows.mean(), 1.0
    return found


def person(poses: NDArray[np.float64], times_sec: NDArray[np.float64], visibility: float = 0.9) -> Person:
    """Somebody with landmarks (n, 17, 2), or (n, 17, 3) with visibility, at those times, on a clock of milliseconds."""
    if poses.shape[2] == 2:
        poses = np.concatenate([poses, np.full((*poses.shape[:2], 1), visibility)], axis=2)
    boxes = np.concatenate([poses[..., :2].min(axis=1) - 10, poses[..., :2].max(axis=1) + 10], axis=1)
    pts = np.round(times_sec * 1000).astype(np.int64)
    return Person(1, pts, times_sec, boxes, np.full(len(pts), 0.9), poses)


def hide(landmarks: NDArray[np.float64], name: str) -> None:
    landmarks[..., NUMBER[name], 2] = 0.1


def _turned(direction: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Of length one."""
    turn = np.radians(degrees)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.array([[cos, -sin], [sin, cos]]) @ direction / np.hypot(*direction)

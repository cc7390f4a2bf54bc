"""Heads as landmarks show them, for each sample of a track."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.vision.heads import HEAD_WIDE
from backend.vision.overlap import best_at_same_time
from backend.vision.pose.artifacts import Landmarks, PoseArtifact
from backend.vision.pose.person import MIN_VISIBILITY
from backend.vision.pose.skeleton import NUMBER
from backend.vision.stitch import Track

Floats = NDArray[np.float64]

# How wide a head with its hair is for what lies between its landmarks, looked at on people in the test films; shoulders
# are two heads and more apart.
_WIDE_IN = {
    ("left_ear", "right_ear"): 1.2,
    ("left_eye", "right_eye"): 2.6,
    ("nose", "left_ear"): 1.45,
    ("nose", "right_ear"): 1.45,
}
_WIDE_IN_SHOULDERS, _LEAST_IN_SHOULDERS = 0.42, 0.25
_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
# A person of the one network and of the other are one where their boxes overlap so much.
_SAME_IOU = 0.5


def with_heads(tracks: Sequence[Track], poses: Iterable[PoseArtifact]) -> list[Track]:
    """The tracks with the heads of whoever has landmarks at the same time and place. Linear in the film's length."""
    parts = [_heads_in(artifact) for artifact in poses]
    if not parts:
        return list(tracks)
    pts, boxes, heads = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(pts, kind="stable")
    pts, boxes, heads = pts[order], boxes[order], heads[order]
    found = []
    for track in tracks:
        own = np.full((len(track.pts), 4), np.nan)
        rows, others = best_at_same_time(track.pts, track.boxes, pts, boxes, _SAME_IOU)
        own[rows] = heads[others]
        found.append(replace(track, heads=own if np.isfinite(own).any() else None))
    return found


def _heads_in(artifact: PoseArtifact) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Of everybody of a chunk: the times (n,), boxes (n, 4) and heads (n, 4), NaN where none is seen."""
    pts = [np.array(track.pts, np.int64) for track in artifact.chunk.tracks]
    boxes = [np.array(track.boxes, np.float64).reshape(-1, 4) for track in artifact.chunk.tracks]
    rows = [np.array(each.rows, np.float64).reshape(-1, len(NUMBER), 3) for each in artifact.landmarks]
    if not pts:
        return np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros((0, 4))
    return np.concatenate(pts), np.concatenate(boxes), heads_seen(np.concatenate(rows))


def heads_seen(landmarks: Landmarks) -> Floats:
    """Boxes (n, 4) of heads from the crown to the chin; NaN where less than two landmarks of the face are seen, or
    nothing tells how large it is."""
    seen = np.where(landmarks[..., 2:] >= MIN_VISIBILITY, landmarks[..., :2], np.nan)

    def apart(one: str, other: str) -> Floats:
        return np.asarray(np.hypot(*(seen[:, NUMBER[one]] - seen[:, NUMBER[other]]).T))

    face = seen[:, [NUMBER[name] for name in _FACE]]
    in_face = np.fmax.reduce([ratio * apart(*pair) for pair, ratio in _WIDE_IN.items()])
    shoulders = apart("left_shoulder", "right_shoulder")
    # Of who looks away the face tells too little; in profile the shoulders do, which are behind one another.
    by_face = np.fmax(in_face, _LEAST_IN_SHOULDERS * shoulders)
    width = np.where(np.isfinite(in_face), by_face, _WIDE_IN_SHOULDERS * shoulders)
    known = (np.isfinite(face[..., 0]).sum(axis=1) >= 2) & (width > 0)
    # Eyes and ears are halfway between crown and chin.
    low, high = np.fmin.reduce(face[:, :, 0], axis=1), np.fmax.reduce(face[:, :, 0], axis=1)
    level = face[:, 1:]
    there = np.isfinite(level[..., 1])
    y = np.where(there, level[..., 1], 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    y = np.where(there.any(axis=1), y, face[:, 0, 1])
    x, height = (low + high) / 2, width / HEAD_WIDE
    found = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    found[~known] = np.nan
    return found

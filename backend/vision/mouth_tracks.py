"""Whose mouth is whose: the motion that the chunks recorded of each person detected, for each track."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.vision.artifacts import ChunkArtifact
from backend.vision.overlap import best_at_same_time
from backend.vision.speaker_signals import Mouth
from backend.vision.speech_record import MOTION_UNITS, NO_FACE
from backend.vision.stitch import Track

# A track's box, smoothed, and the detection that it was.
_SAME_IOU = 0.5


def mouths_of(tracks: Sequence[Track], artifacts: Sequence[ChunkArtifact]) -> list[Mouth]:
    """The mouths that are seen at all. Linear in the length of the film."""
    pts, boxes, motion = _detected(artifacts)
    found = []
    for track in tracks:
        own = _of_track(track, pts, boxes, motion)
        if np.isfinite(own).any():
            found.append(Mouth(track.id, track.pts, own))
    return found


def _detected(
    artifacts: Sequence[ChunkArtifact],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Rows of everybody detected whose mouth was looked at, by time: `pts`, boxes (n, 4), motion in face widths, NaN
    without a face."""
    pts: list[int] = []
    boxes: list[list[float]] = []
    motion: list[int] = []
    for artifact in artifacts:
        looked = {mouth.pts: mouth.motion for mouth in artifact.mouths or [] if mouth.pts < artifact.end_pts}
        for seen in artifact.detections:
            if seen.pts in looked:
                pts += [seen.pts] * len(seen.boxes)
                boxes += seen.boxes
                motion += looked[seen.pts]
    value = np.array(motion, np.float64)
    value[value == NO_FACE] = np.nan
    return np.array(pts, np.int64), np.array(boxes, np.float64).reshape(-1, 4), value / MOTION_UNITS


def _of_track(
    track: Track, pts: NDArray[np.int64], boxes: NDArray[np.float64], motion: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of the detection at the same time that overlaps most with the track's box; NaN where none does."""
    rows, others = best_at_same_time(track.pts, track.boxes, pts, boxes, _SAME_IOU)
    found = np.full(len(track.pts), np.nan)
    found[rows] = motion[others]
    return found

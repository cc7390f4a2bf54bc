"""Follows people, and things, from one sampled frame to the next, and collects their tracks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.vision.byte_track import ByteTrack, Rules
from backend.vision.classes import PEOPLE
from backend.vision.detector import Detections
from backend.vision.ground import STILL, Move

# ByteTrack carries on a track with detections too weak to start one.
WEAK_CONFIDENCE = 0.1
# Longer gaps are link.py's, which sees both sides of them. What a tracker finds again later by overlap alone is often
# another; and one that forgets within two chunks' overlap ends it in the same state, warm or cold.
LOST_SECONDS = 0.3
MATCH_COST = 0.8
# Goes into the hash of what a chunk's artifact was made with: an artifact of other settings is not adopted.
TRACKER = {
    "type": "bytetrack",
    "by": "framefleet",
    "weak": WEAK_CONFIDENCE,
    "lost_sec": LOST_SECONDS,
    "match_cost": MATCH_COST,
    "camera": True,
}


class Tracker:
    """Feed it the detections of each sampled frame in order, empty ones too; take the tracks at the end. Each class is
    followed for itself: a person who gets into a car does not become one."""

    def __init__(self, *, conf: float, sample_fps: float, width_px: int = 1, classes: Sequence[str] = PEOPLE) -> None:
        """`width_px`: of the pictures that boxes lie in; without the camera's moves it does not matter."""
        rules = Rules(
            strong=conf,
            weak=min(WEAK_CONFIDENCE, conf),
            match_cost=MATCH_COST,
            # Two frames on top, as in Ultralytics' tracker, with which LOST_SECONDS was chosen.
            patience=max(1, round(LOST_SECONDS * sample_fps)) + 2,
        )
        self._classes = classes
        self._width_px = width_px
        self._of_class = [ByteTrack(rules) for _ in classes]
        self._tracks: dict[int, list[tuple[int, NDArray[np.float64], float]]] = {}

    def update(self, pts: int, detections: Detections, move: Move = STILL) -> None:
        """`move`: of the camera, since the frame before."""
        moved = 1 + move[0] + 1j * move[1], (move[2] + 1j * move[3]) * self._width_px
        for place, byte_track in enumerate(self._of_class):
            rows = detections.rows_of(place)
            for seen in byte_track.update(detections.boxes[rows], detections.confidence[rows], moved):
                # The detection itself, not the filter's estimate: the estimate lags behind whoever starts to run.
                row = rows[seen.detection]
                box, confidence = detections.boxes[row], detections.confidence[row]
                track_id = (seen.track_id - 1) * len(self._of_class) + place + 1
                self._tracks.setdefault(track_id, []).append((pts, box, float(confidence)))

    def class_of(self, track_id: int) -> str:
        return self._classes[(track_id - 1) % len(self._classes)]

    def tracks(self) -> list[tuple[int, list[int], NDArray[np.float64], NDArray[np.float64]]]:
        """(id, pts, boxes (n, 4), confidence (n,)) of each track, by id; ids count from 1."""
        return [
            (
                track_id,
                [pts for pts, _, _ in samples],
                np.array([box for _, box, _ in samples]),
                np.array([confidence for _, _, confidence in samples]),
            )
            for track_id, samples in sorted(self._tracks.items())
        ]

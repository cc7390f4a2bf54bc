"""Follows people from one sampled frame to the next with ByteTrack (Zhang et al., ECCV 2022; Ultralytics' version)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from backend.vision.detector import Detections

# ByteTrack carries on a track with detections too weak to start one.
WEAK_CONFIDENCE = 0.1
# Longer gaps are link.py's, which sees both sides of them. What a tracker finds again later by overlap alone is often
# another; and one that forgets within two chunks' overlap ends it in the same state, warm or cold.
LOST_SECONDS = 0.3
MATCH_COST = 0.8
# Goes into the hash of what a chunk's artifact was made with: an artifact of other settings is not adopted.
TRACKER = {"type": "bytetrack", "weak": WEAK_CONFIDENCE, "lost_sec": LOST_SECONDS, "match_cost": MATCH_COST}


class DetectionRows:
    """Detections in the shape that BYTETracker reads."""

    def __init__(self, boxes: NDArray[np.float64], confidence: NDArray[np.float64]) -> None:
        self.xyxy = boxes
        self.conf = confidence
        self.cls = np.zeros(len(confidence))

    @property
    def xywh(self) -> NDArray[np.float64]:
        centre, size = (self.xyxy[:, :2] + self.xyxy[:, 2:]) / 2, self.xyxy[:, 2:] - self.xyxy[:, :2]
        return np.hstack([centre, size])

    def __getitem__(self, selected: NDArray[np.bool_]) -> DetectionRows:
        return DetectionRows(self.xyxy[selected], self.conf[selected])

    def __len__(self) -> int:
        return len(self.conf)


class Tracker:
    """Feed it the detections of each sampled frame in order, empty ones too; take the tracks at the end."""

    def __init__(self, *, conf: float, sample_fps: float) -> None:
        from ultralytics.trackers.byte_tracker import BYTETracker

        self._byte_track = BYTETracker(  # type: ignore[no-untyped-call]
            SimpleNamespace(
                track_high_thresh=conf,
                track_low_thresh=min(WEAK_CONFIDENCE, conf),
                new_track_thresh=conf,
                track_buffer=max(1, round(LOST_SECONDS * sample_fps)),
                match_thresh=MATCH_COST,
                fuse_score=True,
            )
        )
        self._tracks: dict[int, list[tuple[int, NDArray[np.float64], float]]] = {}

    def update(self, pts: int, detections: Detections) -> None:
        rows = self._byte_track.update(DetectionRows(detections.boxes, detections.confidence))
        for row in rows:
            # The detection itself, not the filter's estimate: the estimate lags behind whoever starts to run.
            box = detections.boxes[int(row[7])]
            self._tracks.setdefault(int(row[4]), []).append((pts, box, float(row[5])))

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

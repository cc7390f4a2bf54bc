"""What the finished picture shows: people named over the whole video, the subject chosen, one camera path solved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.kinds.crop_params import CropParams
from backend.vision import track_files
from backend.vision.artifacts import ChunkArtifact
from backend.vision.camera_path import CameraPath, solve_path, to_json
from backend.vision.certificate import certificate
from backend.vision.holding import counted
from backend.vision.link import link
from backend.vision.smooth import smoothed
from backend.vision.stitch import Track, stitch
from backend.vision.subject import Subject, choose_subject
from backend.vision.timeline import Timeline
from backend.vision.window import room_of


@dataclass(frozen=True, eq=False)
class Framing:
    """The frames of the whole video; who is in it, whom the window follows, where the window is."""

    timeline: Timeline
    tracks: list[Track]
    subject: Subject
    path: CameraPath

    def certificate(self, smooth_alpha: float) -> dict[str, Any]:
        """Of the path, and how many frames pass from one person to another or leave out somebody who was asked for."""
        subject, times_sec = self.subject, self.timeline.times_sec
        return certificate(self.path, subject.boxes, self.timeline, smooth_alpha, subject.somebody) | {
            "subject_track_ids": subject.track_ids,
            "passing_frames": int(subject.passing.sum()),
            "passing": counted(subject.passing, times_sec),
            "left_out": counted(subject.left_out, times_sec),
        }

    def files(self, proof: dict[str, Any]) -> dict[str, bytes]:
        """The tracks in three formats and camera_path.json with its certificate `proof`, by name."""
        return {
            "tracks.json": track_files.tracks_json(self.tracks, self.timeline),
            "tracks.parquet": track_files.tracks_parquet(self.tracks, self.timeline),
            "tracks.mot.txt": track_files.tracks_mot(self.tracks, self.timeline),
            "camera_path.json": to_json(self.path, proof, self.timeline, self.subject.boxes),
        }


def solve_framing(
    artifacts: Sequence[ChunkArtifact], time_base: Fraction, frame_size: tuple[int, int], params: CropParams
) -> Framing:
    """Raises ArtifactCorrupt, InvalidParams (an unknown track or shot, a keyframe that cannot be met), PathUnsolved."""
    frame_pts = np.concatenate([np.array(artifact.frame_pts, np.int64) for artifact in artifacts])
    timeline = Timeline(frame_pts, time_base, frame_size)
    cuts_pts = _cuts_pts(artifacts)
    shots = _shots(cuts_pts, frame_pts)
    linked = link(stitch(artifacts), timeline, conf=params.conf, cuts_pts=cuts_pts)
    tracks = smoothed(linked, timeline)
    room = room_of(params.spec(), frame_size)
    subject = choose_subject(tracks, timeline, params.subject, shots, params.shots, room)
    path = solve_path(
        subject.boxes,
        timeline,
        params.spec(),
        params.smoothing,
        params.smooth_alpha,
        shots=shots,
        keyframes=params.pins(),
    )
    return Framing(timeline, tracks, subject, path)


def _cuts_pts(artifacts: Sequence[ChunkArtifact]) -> list[int]:
    """First frames of the shots after the first. A cut near a seam is seen by both of its workers."""
    return sorted({pts for artifact in artifacts for pts in artifact.cuts_pts})


def _shots(cuts_pts: Sequence[int], frame_pts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Frame ranges [start, stop) between hard cuts."""
    edges = [0, *np.searchsorted(frame_pts, np.array(cuts_pts, np.int64)).tolist(), len(frame_pts)]
    return [(start, stop) for start, stop in pairwise(edges) if stop > start]

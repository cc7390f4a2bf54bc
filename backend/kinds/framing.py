"""What the finished picture shows: people named over the whole video, the subject chosen, one camera path solved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from backend.kinds.crop_params import CropParams
from backend.kinds.speaking import followed
from backend.kinds.stitched import Stitched, stitched
from backend.vision import track_files
from backend.vision.artifacts import ChunkArtifact
from backend.vision.camera_path import CameraPath, solve_path, to_json
from backend.vision.certificate import certificate
from backend.vision.holding import counted
from backend.vision.path_memory import PathMemory
from backend.vision.speaker import Spoken
from backend.vision.stitch import Track
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
    spoken: Spoken | None = None  # where whoever speaks is followed

    def certificate(self, smooth_alpha: float) -> dict[str, Any]:
        """Of the path, and how many frames pass from one person to another or leave out somebody who was asked for."""
        subject, times_sec = self.subject, self.timeline.times_sec
        found = certificate(self.path, subject.boxes, self.timeline, smooth_alpha, subject.somebody, subject.people)
        return found | {
            "subject_track_ids": subject.track_ids,
            "passing_frames": int(subject.passing.sum()),
            "passing": counted(subject.passing, times_sec),
            "left_out": counted(subject.left_out, times_sec),
            **({"speaker": self.spoken.figures(self.timeline.frame_pts)} if self.spoken else {}),
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
    return framed(stitched(artifacts, time_base, frame_size, params.conf), params)


def framed(found: Stitched, params: CropParams) -> Framing:
    """As `solve_framing`, of what is stitched already."""
    return on_subject(found, params, subject_of(found, params))


def subject_of(found: Stitched, params: CropParams) -> Subject:
    """Raises InvalidParams (an unknown track or shot)."""
    room = room_of(params.spec(), found.timeline.frame_size)
    whom = followed(found, params)
    return choose_subject(found.tracks, found.timeline, whom.mode, whom.shots, whom.shot_modes, room)


def on_subject(
    found: Stitched, params: CropParams, subject: Subject, memory: PathMemory | None = None, *, near: bool = False
) -> Framing:
    """Whom the window follows is chosen. `memory`, `near`: as in `solve_path`. Raises InvalidParams (a keyframe that
    cannot be met), PathUnsolved."""
    path = solve_path(
        subject.boxes,
        found.timeline,
        params.spec(),
        params.smoothing,
        params.smooth_alpha,
        shots=followed(found, params).shots,
        keyframes=params.pins(),
        memory=memory,
        near=near,
        bodies=subject.bodies,
    )
    return Framing(found.timeline, found.tracks, subject, path, found.spoken if params.with_speech else None)

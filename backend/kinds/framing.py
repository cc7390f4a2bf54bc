"""What the finished picture shows: people named over the whole video, the subject chosen, one camera path solved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from backend.kinds.crop_params import CropParams
from backend.kinds.panels import panels_hold, with_panels
from backend.kinds.speaking import followed
from backend.kinds.stitched import Stitched, stitched
from backend.vision import track_files
from backend.vision.artifacts import ChunkArtifact
from backend.vision.camera_path import CameraPath, solve_path
from backend.vision.certificate import certificate
from backend.vision.holding import counted
from backend.vision.layouts import Laid, laid_out, rooms_of
from backend.vision.path_file import to_json
from backend.vision.path_memory import PathMemory
from backend.vision.pose.artifacts import PoseArtifact
from backend.vision.speaker import Spoken
from backend.vision.stitch import Track
from backend.vision.subject import Subject, choose_subject
from backend.vision.timeline import Timeline
from backend.vision.window import Floats, Shot, keeps_shape, output_of, room_of


@dataclass(frozen=True, eq=False)
class Chosen:
    """Whom the window follows, the film's shots as the camera sees them, and how each stretch of the film is laid out;
    none where the fill leaves no choice."""

    subject: Subject
    shots: Sequence[Shot]
    parts: Sequence[Laid] = ()


@dataclass(frozen=True, eq=False)
class Framing:
    """The frames of the whole video; who is in it, whom the window follows, where the window is."""

    timeline: Timeline
    tracks: list[Track]
    subject: Subject
    path: CameraPath
    parts: Sequence[Laid] = ()
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
            "layouts": self._layouts(times_sec),
            **({"speaker": self.spoken.figures(self.timeline.frame_pts)} if self.spoken else {}),
        }

    def _layouts(self, times_sec: Floats) -> dict[str, Any]:
        """How long each layout is shown, how often it changes within a shot, and in which share of the split frames
        every panel holds its people."""
        names = np.repeat([part.layout for part in self.parts], [part.stop - part.start for part in self.parts])
        if not len(names):
            return {}
        changes = sum(one.shot == other.shot for one, other in pairwise(self.parts))
        shown = {name: counted(np.asarray(names == name), times_sec) for name in ("crop", "split", "bars")}
        held = [panels_hold(self.path, part) for part in self.parts if part.layout == "split"]
        every = np.concatenate(held) if held else np.zeros(0)
        return shown | {
            "changes_within_shots": changes,
            "panels_held_pct": round(100.0 * float(every.mean()), 4) if len(every) else None,
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
    artifacts: Sequence[ChunkArtifact],
    time_base: Fraction,
    frame_size: tuple[int, int],
    params: CropParams,
    poses: Iterable[PoseArtifact] = (),
) -> Framing:
    """`poses`: as for `stitched`. Raises ArtifactCorrupt, InvalidParams (an unknown track or shot, a keyframe that
    cannot be met), PathUnsolved."""
    return framed(stitched(artifacts, time_base, frame_size, params.conf, poses), params)


def framed(found: Stitched, params: CropParams) -> Framing:
    """As `solve_framing`, of what is stitched already."""
    return on_subject(found, params, subject_of(found, params))


def subject_of(found: Stitched, params: CropParams) -> Chosen:
    """Raises InvalidParams (an unknown track or shot)."""
    spec, timeline = params.spec(), found.timeline
    room, whom = room_of(spec, timeline.frame_size), followed(found, params)
    if params.fill not in ("auto", "split"):
        subject = choose_subject(found.tracks, timeline, whom.mode, whom.shots, whom.shot_modes, room)
        return Chosen(subject, whom.shots)
    rooms = rooms_of(room, output_of(spec, timeline.frame_size), timeline.frame_size, bars=params.fill == "auto")
    pinned = [int(np.abs(timeline.times_sec - pin.time_sec).argmin()) for pin in params.pins()]
    parts = laid_out(found.tracks, timeline, whom.shots, whom.mode, whom.shot_modes, rooms, pinned)
    # Each part is a shot of its own, with the subject of the one that it is a part of.
    modes = {number: whom.shot_modes.get(part.shot, whom.mode) for number, part in enumerate(parts)}
    cuts, bars = [(part.start, part.stop) for part in parts], [part.layout == "bars" for part in parts]
    subject = choose_subject(found.tracks, timeline, params.subject, cuts, modes, room, bars)
    ids = set(subject.track_ids)
    for part in parts:
        if part.layout == "split":
            here = slice(part.start, part.stop)
            subject.boxes[here] = part.panel_boxes[0]
            subject.passing[here] = subject.left_out[here] = False
            ids.update(part.track_ids)
    return Chosen(replace(subject, track_ids=sorted(ids)), whom.shots, parts)


def on_subject(
    found: Stitched, params: CropParams, chosen: Chosen, memory: PathMemory | None = None, *, near: bool = False
) -> Framing:
    """Whom the window follows is chosen. `memory`, `near`: as in `solve_path`. Raises InvalidParams (a keyframe that
    cannot be met), PathUnsolved."""
    subject, parts = chosen.subject, chosen.parts
    boxes, bodies = subject.boxes.copy(), subject.bodies
    for part in parts:
        if part.layout == "split":  # each panel has a path of its own
            boxes[part.start : part.stop] = np.nan
    if bodies is not None:
        bodies = replace(bodies, cores=np.where(np.isfinite(boxes), bodies.cores, np.nan))
    path = solve_path(
        boxes,
        found.timeline,
        params.spec(),
        params.smoothing,
        params.smooth_alpha,
        shots=[(part.start, part.stop) for part in parts] if parts else chosen.shots,
        keyframes=params.pins(),
        memory=memory,
        near=near,
        bars=[part.layout == "bars" for part in parts] if parts else None,
        bodies=bodies,
        bars_for_calm=params.fill == "auto",
    )
    if parts:
        parts = [_as_shown(part, path) for part in parts]
        path = replace(path, shots=tuple(chosen.shots), layout_parts=path.shots)
        path = with_panels(path, found.timeline, params, parts, memory, near=near)
    return Framing(found.timeline, found.tracks, subject, path, parts, found.spoken if params.with_speech else None)


def _as_shown(part: Laid, path: CameraPath) -> Laid:
    """One window whose shot came out wider or higher than its shape is between bars."""
    is_barred = part.layout == "crop" and not keeps_shape(path.sizes[part.start], path.output_size)
    return replace(part, layout="bars") if is_barred else part

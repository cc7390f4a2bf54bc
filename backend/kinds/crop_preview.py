"""The camera path of kind `crop`, before it is rendered."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Any, TypeVar

import numpy as np

from backend.kinds import accounts, with_poses
from backend.kinds.context import Earlier
from backend.kinds.crop_params import CropParams
from backend.kinds.framing import Chosen, on_subject, subject_of
from backend.kinds.path_preview import Gathered, PathPreview, SolvedPath
from backend.kinds.stitched import Stitched, artifacts_in, stitched
from backend.media.facts import VideoFacts
from backend.settings import Settings
from backend.vision.camera_path import CameraPath
from backend.vision.holding_words import shortfalls
from backend.vision.path_file import panel_rows
from backend.vision.path_memory import PathMemory

# Whoever edits goes to and fro between few of them: a subject or a path is remembered for each.
REMEMBERED = 4
# Windows that differ by less are the same to whoever looks.
SAME_PX = 0.05
Remembered = TypeVar("Remembered", bound="Chosen | CameraPath")


class Edited:
    """A film's people, and what was worked out of them for the parameters asked about last."""

    def __init__(self, found: Stitched) -> None:
        self.found = found
        self.memory = PathMemory()
        self._lock = threading.Lock()
        self._chosen: OrderedDict[str, Chosen] = OrderedDict()
        self._paths: OrderedDict[str, CameraPath] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        frames = len(self.found.timeline)
        with self._lock:
            people = sum(chosen.subject.people.size_bytes for chosen in self._chosen.values())
        return self.found.size_bytes + self.memory.size_bytes + 112 * frames * REMEMBERED + people

    def chosen(self, params: CropParams) -> Chosen:
        """Raises InvalidParams."""
        key = _written(params, exclude={"keyframes", "smoothing", "smooth_alpha", "zoom"})
        if params.fill in ("auto", "split"):  # a shot with a keyframe is one window
            key += json.dumps(sorted(pin.time_sec for pin in params.pins()))
        known = self._known(self._chosen, key)
        return known or self._kept(self._chosen, key, subject_of(self.found, params))

    def last_path(self, params: CropParams) -> CameraPath | None:
        """Solved whole, with keyframes that may have been other ones."""
        return self._known(self._paths, _written(params, exclude={"keyframes"}))

    def keep_path(self, params: CropParams, path: CameraPath) -> None:
        self._kept(self._paths, _written(params, exclude={"keyframes"}), path)

    def _known(self, of: OrderedDict[str, Remembered], key: str) -> Remembered | None:
        with self._lock:
            if key in of:
                of.move_to_end(key)
            return of.get(key)

    def _kept(self, of: OrderedDict[str, Remembered], key: str, value: Remembered) -> Remembered:
        with self._lock:
            of[key] = value
            of.move_to_end(key)
            while len(of) > REMEMBERED:
                of.popitem(last=False)
        return value


class CropPreview(PathPreview[CropParams]):
    def gather(self, earlier: Earlier, facts: VideoFacts, params: CropParams, settings: Settings) -> Edited:
        people = with_poses.people_of(earlier) if params.pose else earlier
        artifacts = artifacts_in(people, settings.max_frames)
        size, poses = (facts.width, facts.height), with_poses.poses_beside(people)
        return Edited(stitched(artifacts, facts.time_base_fraction, size, params.conf, poses))

    def solve(
        self, gathered: Gathered, facts: VideoFacts, params: CropParams, around_sec: float | None = None
    ) -> SolvedPath:
        """Raises MediaTruncated, InvalidParams (an unknown track, a keyframe that cannot be met), PathUnsolved."""
        assert isinstance(gathered, Edited)  # as this gathers them
        found = gathered.found
        last = gathered.last_path(params) if around_sec is not None else None
        framing = on_subject(found, params, gathered.chosen(params), gathered.memory, near=last is not None)
        path, proof = framing.path, None
        warnings = accounts.decoded(facts, found.timeline.frame_pts)
        if last is None:
            gathered.keep_path(params, path)
        if around_sec is None:
            proof = framing.certificate(params.smooth_alpha)
            warnings += shortfalls(proof, params.subject, params.fill)
        part = slice(0, len(path.x))
        if around_sec is not None and last is not None:
            part = _changed(path, last, int(np.abs(found.timeline.times_sec - around_sec).argmin()))
        return SolvedPath(
            frames=len(path.x),
            from_frame=part.start,
            x=path.x[part],
            y=path.y[part],
            width=path.width[part],
            height=path.height[part],
            shots=path.shots,
            output_size=path.output_size,
            panels=panel_rows(path, part),
            subject_track_ids=framing.subject.track_ids,
            certificate=proof,
            warnings=warnings,
        )


def _changed(path: CameraPath, last: CameraPath, at: int) -> slice:
    """From the first frame whose window is another one to the last, and frame `at` in any case."""
    sides = [np.abs(getattr(path, name) - getattr(last, name)) for name in ("x", "y", "width", "height")]
    changed = np.maximum.reduce(sides) > SAME_PX
    for panels, others in ((path.panels, last.panels), (last.panels, path.panels)):
        if panels is not None:
            own = np.nan_to_num(panels)
            changed |= (np.abs(own - (0.0 if others is None else np.nan_to_num(others))) > SAME_PX).any(axis=(1, 2))
    other = np.append(np.flatnonzero(changed), at)
    return slice(int(other.min()), int(other.max()) + 1)


def _written(params: CropParams, **which: Any) -> str:
    return params.model_dump_json(**which)

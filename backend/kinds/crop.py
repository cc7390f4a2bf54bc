"""Job kind `crop`: follow the people and cut a smooth, well-framed picture around them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from backend.errors import InvalidParams, MediaTruncated
from backend.kinds import people
from backend.kinds.base import AggregateWork, ChunkWork, Result
from backend.media.sandbox import MediaProcess
from backend.settings import Settings
from backend.vision import track_files
from backend.vision.artifacts import ChunkArtifact
from backend.vision.camera_path import CameraPath, solve_path, to_json
from backend.vision.certificate import certificate
from backend.vision.detector import Detector
from backend.vision.keyframes import Keyframe
from backend.vision.link import link
from backend.vision.stitch import stitch
from backend.vision.subject import choose_subject
from backend.vision.window import CropSpec

ASPECT = re.compile(r"^(\d{1,5}):(\d{1,5})$")
# Fewer frames than this share of what the container promises: the file was cut off.
WHOLE_SHARE = 0.9
FALLBACK_FPS = (25, 1)
RENDER_THREADS = 2
# Stitching and solving take seconds where rendering takes minutes.
ANALYSIS_SHARE = 0.05


SubjectMode = Annotated[str, Field(pattern=r"^(all|main|track:[0-9]{1,9}(,track:[0-9]{1,9}){0,49})$")]
MAX_SHOTS = 1_000_000
MAX_KEYFRAMES = 10_000


class KeyframeParams(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    time_sec: float = Field(ge=0, description="from the first frame")
    x: float = Field(ge=0, le=100_000)
    y: float = Field(ge=0, le=100_000)
    width: float | None = Field(None, gt=0, le=100_000, description="of the window, throughout the shot")


class CropParams(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    aspect: str = Field("source", description="`source`, or width:height as in 9:16, 1:1, 4:5")
    subject: SubjectMode = Field("main", description="`main`, `all`, `track:<id>` or several: `track:1,track:4`")
    shots: dict[Annotated[int, Field(ge=0, le=MAX_SHOTS)], SubjectMode] = Field(
        default_factory=dict, description="another subject for single shots, by their index from 0"
    )
    keyframes: Annotated[list[KeyframeParams], Field(max_length=MAX_KEYFRAMES)] = Field(
        default_factory=list, description="where the window's centre must be at given times, in source pixels"
    )
    padding_ratio: float = Field(0.12, ge=0, le=5, description="room around the subject, as a share of its box")
    min_crop_ratio: float = Field(0.35, gt=0, le=1, description="the smallest window, as a share of the largest")
    keep_aspect: bool = Field(True, description="false: with aspect=source, the window takes the subject's own shape")
    max_upscale: float = Field(2.0, ge=1, le=8, description="how much the window may be enlarged")
    output_width: Annotated[int, Field(ge=16, le=8192, strict=True)] | None = None
    output_height: Annotated[int, Field(ge=16, le=8192, strict=True)] | None = None
    fill: Literal["crop"] = "crop"
    smoothing: Literal["optimal", "ema"] = "optimal"
    smooth_alpha: float = Field(0.85, ge=0, lt=1)
    draw_timestamp: bool = False
    sample_fps: float = Field(10.0, gt=0, le=240, description="frames a second on which people are detected")
    conf: float = Field(0.25, gt=0, lt=1, description="confidence from which a detection starts a track")
    iou: float = Field(0.5, gt=0, lt=1)
    crf: float = Field(20, ge=0, le=51)
    hdr: Literal["sdr", "keep"] = Field("sdr", description="`keep`: 10-bit and HDR sources stay so, as HEVC")
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = "veryfast"

    @field_validator("aspect")
    @classmethod
    def _known_aspect(cls, aspect: str) -> str:
        if aspect == "source":
            return aspect
        sides = ASPECT.match(aspect)
        if not sides or not (int(sides[1]) and int(sides[2])):
            raise ValueError("must be 'source' or width:height, as in 9:16")
        return aspect

    def pins(self) -> list[Keyframe]:
        return [Keyframe(**keyframe.model_dump()) for keyframe in self.keyframes]

    def spec(self) -> CropSpec:
        """Raises InvalidParams for sizes that contradict one another."""
        return CropSpec(
            aspect=None if self.aspect == "source" else Fraction(*map(int, self.aspect.split(":"))),
            padding_ratio=self.padding_ratio,
            min_crop_ratio=self.min_crop_ratio,
            keep_aspect=self.keep_aspect,
            max_upscale=self.max_upscale,
            output_size=(self.output_width, self.output_height),
        )


class Crop:
    name = "crop"
    suffix = "_cropped"

    def parse_params(self, params: Mapping[str, Any]) -> CropParams:
        try:
            parsed = CropParams.model_validate(dict(params))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or "params"
            raise InvalidParams(f"{name:.60}: {first['msg']}") from error
        parsed.spec()
        return parsed

    def chunk_identity(self, params: BaseModel, detector: Detector, settings: Settings) -> str:
        return people.chunk_identity(cast(CropParams, params), detector, settings)

    def analyse_chunk(self, work: ChunkWork) -> ChunkArtifact:
        return people.analyse_chunk(work, cast(CropParams, work.params))

    def aggregate(self, work: AggregateWork) -> Result:
        """Raises MediaTruncated, ArtifactCorrupt, InvalidParams (an unknown track), FrameMismatch, EncodeFailed."""
        params = cast(CropParams, work.params)
        began = time.monotonic()
        frame_pts = np.concatenate([np.array(a.frame_pts, np.int64) for a in work.artifacts])
        warnings = _shortfall(work, len(frame_pts))
        time_base, size = work.facts.time_base_fraction, (work.facts.width, work.facts.height)
        cuts_pts = _cuts_pts(work.artifacts)
        shots = _shots(cuts_pts, frame_pts)
        tracks = link(stitch(work.artifacts), frame_pts, time_base, size, conf=params.conf, cuts_pts=cuts_pts)
        subject = choose_subject(tracks, frame_pts, size, time_base, params.subject, shots, params.shots)
        if not subject.track_ids:
            warnings.append("Nobody was found in the video: the window stands still in the middle.")
        path = solve_path(
            subject.boxes,
            frame_pts,
            time_base,
            size,
            params.spec(),
            params.smoothing,
            params.smooth_alpha,
            shots=shots,
            keyframes=params.pins(),
        )
        proof = certificate(path, subject.boxes, frame_pts, time_base, size, params.smooth_alpha)
        proof["subject_track_ids"] = subject.track_ids
        proof["passing_frames"] = int(subject.passing.sum())
        files = {
            "tracks.json": track_files.tracks_json(tracks, frame_pts, size, time_base),
            "tracks.parquet": track_files.tracks_parquet(tracks, frame_pts),
            "tracks.mot.txt": track_files.tracks_mot(tracks, frame_pts),
            "camera_path.json": to_json(path, proof, frame_pts, time_base, size, subject.boxes),
        }
        work.report(ANALYSIS_SHARE)
        solved = time.monotonic()
        warnings += _render(work, params, frame_pts, path)
        seconds = {"stitch_and_path": solved - began, "render": time.monotonic() - solved}
        return Result(work.folder / "output.mp4", files, warnings, seconds)


def _cuts_pts(artifacts: Sequence[ChunkArtifact]) -> list[int]:
    """First frames of the shots after the first. A cut near a seam is seen by both of its workers."""
    return sorted({pts for artifact in artifacts for pts in artifact.cuts_pts})


def _shots(cuts_pts: Sequence[int], frame_pts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Frame ranges [start, stop) between hard cuts."""
    edges = [0, *np.searchsorted(frame_pts, np.array(cuts_pts, np.int64)).tolist(), len(frame_pts)]
    return [(start, stop) for start, stop in pairwise(edges) if stop > start]


def _shortfall(work: AggregateWork, frames: int) -> list[str]:
    """A warning when a few promised frames are missing. Raises MediaTruncated when many are."""
    promised = work.facts.promised_frames
    if promised is None or frames >= promised - 1:
        return []
    if frames < WHOLE_SHARE * promised:
        raise MediaTruncated(f"The file is damaged or cut off: it promises {promised} frames and holds {frames}.")
    return [f"The file promises {promised} frames; {frames} could be decoded."]


def _render(work: AggregateWork, params: CropParams, frame_pts: NDArray[np.int64], path: CameraPath) -> list[str]:
    """Writes output.mp4 into the work's folder; returns warnings."""
    path_file = work.folder / "path.npy"
    # float64 holds every PTS below 2^53 exactly; a stream's clock never gets there.
    np.save(path_file, np.column_stack([frame_pts.astype(np.float64), path.x, path.y, path.width, path.height]))
    share = ANALYSIS_SHARE
    with MediaProcess(
        "render",
        _render_order(work, params, path) | {"path_file": str(path_file)},
        work.reader,
        silence_sec=work.settings.sandbox_silence_seconds,
        memory_bytes=work.settings.sandbox_memory_bytes,
        check=lambda: work.report(share),
    ) as process:
        for message in process.messages():
            rendered = min(1.0, int(message["frames"]) / len(frame_pts))
            share = ANALYSIS_SHARE + (1 - ANALYSIS_SHARE) * rendered
            work.report(share)
        result = process.result
    broken = {"video packets": int(result["broken_packets"]), "sound packets": int(result["broken_audio_packets"])}
    return [f"{count} {what} were broken and left out." for what, count in broken.items() if count]


def _render_order(work: AggregateWork, params: CropParams, path: CameraPath) -> dict[str, Any]:
    facts = work.facts
    return {
        "output_file": str(work.folder / "output.mp4"),
        "output_width": path.output_size[0],
        "output_height": path.output_size[1],
        "upright_width": facts.width,
        "upright_height": facts.height,
        "coded_width": facts.coded_width,
        "coded_height": facts.coded_height,
        "rotation": facts.rotation,
        "fps": facts.fps or FALLBACK_FPS,
        "crf": params.crf,
        "preset": params.preset,
        "draw_timestamp": params.draw_timestamp,
        "hdr": params.hdr,
        "max_pixels": work.settings.max_pixels,
        "threads": work.settings.threads or RENDER_THREADS,
    }

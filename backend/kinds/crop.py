"""Job kind `crop`: follow the people and cut a smooth, well-framed picture around them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from pydantic import BaseModel, ValidationError

from backend.errors import InvalidParams
from backend.kinds import accounts, people
from backend.kinds.base import AggregateWork, ChunkWork, Result
from backend.kinds.crop_params import CropParams
from backend.kinds.framing import Framing, solve_framing
from backend.kinds.sheet import Sheet
from backend.media.sandbox import MediaProcess
from backend.settings import Settings
from backend.vision.artifacts import ChunkArtifact
from backend.vision.camera_path import CameraPath
from backend.vision.detector import Detector
from backend.vision.holding_words import shortfalls

FALLBACK_FPS = (25, 1)
RENDER_THREADS = 2
# Stitching and solving take seconds where rendering takes minutes.
ANALYSIS_SHARE = 0.05


class Crop:
    name = "crop"
    suffix = "_cropped"

    def parse_params(self, params: Mapping[str, Any]) -> CropParams:
        try:
            parsed = CropParams.model_validate(dict(params))
        except ValidationError as error:
            raise InvalidParams(_complaint(error)) from error
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
        size = (work.facts.width, work.facts.height)
        framing = solve_framing(work.artifacts, work.facts.time_base_fraction, size, params)
        warnings = accounts.decoded(work.facts, framing.frame_pts)
        proof = framing.certificate(params.smooth_alpha)
        warnings += shortfalls(proof, params.subject, params.fill)
        files = framing.files(proof)
        work.report(ANALYSIS_SHARE)
        solved = time.monotonic()
        with Sheet(framing) as sheet:
            outcome = _render(work, params, framing, sheet)
            files["contact_sheet.png"] = sheet.png(int(outcome["stills"]))
        warnings += accounts.rendered(outcome)
        seconds = {"stitch_and_path": solved - began, "render": time.monotonic() - solved}
        return Result(work.folder / "output.mp4", files, warnings, seconds)


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "params"
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        return f"There is no parameter {name!r:.60}; there are: {', '.join(CropParams.model_fields)}."
    if first["type"] == "string_pattern_mismatch":
        return f"{name:.60}: must be main, all, track:<id>, or several as in track:1,track:4"
    return f"{name:.60}: {first['msg'].removeprefix('Value error, ')}"


def _render(work: AggregateWork, params: CropParams, framing: Framing, sheet: Sheet) -> dict[str, Any]:
    """Writes output.mp4 into the work's folder and takes the sheet's stills; returns what the renderer counted."""
    path_file = work.folder / "path.npy"
    path, frame_pts = framing.path, framing.frame_pts
    origin_pts = int(frame_pts[0])
    ticks = (frame_pts - origin_pts).astype(np.float64)
    np.save(path_file, np.column_stack([ticks, path.x, path.y, path.width, path.height]))
    share = ANALYSIS_SHARE
    with MediaProcess(
        "render",
        _render_order(work, params, path)
        | {"path_file": str(path_file), "origin_pts": origin_pts, "stills": sheet.order},
        work.reader,
        silence_sec=work.settings.sandbox_silence_seconds,
        memory_bytes=work.settings.sandbox_memory_bytes,
        ring=sheet.ring,
        check=lambda: work.report(share),
    ) as process:
        for message in process.messages():
            rendered = min(1.0, int(message["frames"]) / len(frame_pts))
            share = ANALYSIS_SHARE + (1 - ANALYSIS_SHARE) * rendered
            work.report(share)
        return process.result


def _render_order(work: AggregateWork, params: CropParams, path: CameraPath) -> dict[str, Any]:
    facts = work.facts
    return {
        "output_file": str(work.folder / "output.mp4"),
        "output_width": path.output_size[0],
        "output_height": path.output_size[1],
        "upright_width": facts.width,
        "upright_height": facts.height,
        "clock": facts.clock,
        **facts.coded_shape(),
        "fps": facts.fps or FALLBACK_FPS,
        "crf": params.crf,
        "preset": params.preset,
        "draw_timestamp": params.draw_timestamp,
        "hdr": params.hdr,
        "fill": params.fill,
        "max_pixels": work.settings.max_pixels,
        "threads": work.settings.threads or RENDER_THREADS,
    }

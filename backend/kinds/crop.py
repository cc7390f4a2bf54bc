"""Job kind `crop`: follow the people and cut a smooth, well-framed picture around them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from backend.kinds import accounts
from backend.kinds.base import JSON_TYPE, Done, FileType, Kind, Phase, Whole, WholeContext
from backend.kinds.crop_params import CropParams
from backend.kinds.framing import Framing, solve_framing
from backend.kinds.people import DetectPeople
from backend.kinds.sheet import Sheet
from backend.media.sandbox import MediaProcess
from backend.states import Stage
from backend.vision.artifacts import load_artifact
from backend.vision.camera_path import CameraPath
from backend.vision.holding_words import shortfalls

FALLBACK_FPS = (25, 1)
RENDER_THREADS = 2
# Stitching and solving take seconds where rendering takes minutes.
ANALYSIS_SHARE = 0.05


class SolveCrop(Whole[CropParams]):
    weight = 30.0
    stage = Stage.RENDERING
    words = "joining the chunks and rendering"
    patience = 6.0  # joining a long film's tracks is one computation that says nothing until it is done

    def work(self, context: WholeContext[CropParams]) -> Done:
        """Raises MediaTruncated, ArtifactCorrupt, InvalidParams (an unknown track), FrameMismatch, EncodeFailed."""
        params, facts = context.params, context.facts
        artifacts = [load_artifact(data, expected_sha256=sha256) for data, sha256 in context.earlier.artifacts()]
        began = time.monotonic()
        framing = solve_framing(artifacts, facts.time_base_fraction, (facts.width, facts.height), params)
        warnings = accounts.decoded(facts, framing.frame_pts)
        proof = framing.certificate(params.smooth_alpha)
        warnings += shortfalls(proof, params.subject, params.fill)
        files = framing.files(proof)
        context.report(ANALYSIS_SHARE)
        solved = time.monotonic()
        with Sheet(framing) as sheet:
            outcome = _render(context, framing, sheet)
            files["contact_sheet.png"] = sheet.png(int(outcome["stills"]))
        warnings += accounts.rendered(outcome)
        seconds = {"stitch_and_path": solved - began, "render": time.monotonic() - solved}
        return Done(context.folder / "output.mp4", files, warnings, seconds)


def _render(work: WholeContext[CropParams], framing: Framing, sheet: Sheet) -> dict[str, Any]:
    """Writes output.mp4 into the work's folder and takes the sheet's stills; returns what the renderer counted."""
    path_file = work.folder / "path.npy"
    path, frame_pts = framing.path, framing.frame_pts
    origin_pts = int(frame_pts[0])
    ticks = (frame_pts - origin_pts).astype(np.float64)
    np.save(path_file, np.column_stack([ticks, path.x, path.y, path.width, path.height]))
    share = ANALYSIS_SHARE
    with MediaProcess(
        "render",
        _render_order(work, path) | {"path_file": str(path_file), "origin_pts": origin_pts, "stills": sheet.order},
        work.open_reader(),
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


def _render_order(work: WholeContext[CropParams], path: CameraPath) -> dict[str, Any]:
    facts, params = work.facts, work.params
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


CROP = Kind[CropParams](
    name="crop",
    suffix="_cropped",
    params=CropParams,
    phases=(Phase[CropParams]("detect", DetectPeople(), SolveCrop()),),
    files={
        "tracks": FileType("tracks.json", JSON_TYPE, is_fetched=True),
        "tracks.parquet": FileType("tracks.parquet", "application/vnd.apache.parquet"),
        "mot": FileType("tracks.mot.txt", "text/plain", is_fetched=True),
        "camera_path": FileType("camera_path.json", JSON_TYPE, is_fetched=True),
        "contact_sheet": FileType("contact_sheet.png", "image/png"),
    },
)

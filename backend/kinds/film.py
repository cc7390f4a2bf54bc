"""A film cut out of a source, frame by frame: rendered in one go, or in pieces by many workers and then joined."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from backend.errors import PiecesApart
from backend.events import Event, warn
from backend.kinds import accounts
from backend.kinds.base import ChunkContext, Chunks, Done, Onward, Params, Whole, WholeContext
from backend.kinds.sheet import Sheet, SheetPlan
from backend.media.encoder_names import HARDWARE, encoder_for
from backend.media.facts import VideoFacts
from backend.media.pieces import Span, can_fan_out, path_rows, piece_boundaries, spans
from backend.media.sandbox import NO_BYTES, ByteReader, MediaProcess
from backend.media.segments import Segment
from backend.settings import Settings
from backend.states import Stage

FALLBACK_FPS = (25, 1)
RENDER_THREADS = 2
OUTPUT = "output.mp4"
# Every worker gets at least two pieces, so that a slow one is no brake; shorter ones than this, or than half of what is
# rendered in one go, cost more than they bring.
PIECES_A_WORKER = 2
SHORTEST_PIECE_SEC = 20.0
LONGEST_PIECE = 2  # chunks: what a worker that dies takes with it, against two seconds that each piece costs besides

Rows = NDArray[np.float64]
"""(frames, 5): PTS from the first frame's on, x, y, width and height of the window in upright source pixels."""


class FilmPlan(BaseModel):
    """What whoever renders, or joins, has to know. Rows of the path are objects: `path_name` of each span."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: dict[str, Any]  # of backend.media.cropper.CropOrder, but for files
    spans: list[Span]
    sheet: SheetPlan


def path_name(index: int) -> str:
    return f"path_{index:04d}.npy"


def crop_order(facts: VideoFacts, settings: Settings, first_pts: int) -> dict[str, Any]:
    """What every order says of the source. A kind adds the output's size and look."""
    return {
        "upright_width": facts.width,
        "upright_height": facts.height,
        "clock": facts.clock,
        **facts.coded_shape(),
        "fps": facts.fps or FALLBACK_FPS,
        "origin_pts": first_pts,
        "appearance": facts.appearance.model_dump() if facts.appearance else None,
        "max_pixels": settings.max_pixels,
        "threads": settings.threads or RENDER_THREADS,
    }


def render(
    work: WholeContext[Params], plan: FilmPlan, rows: Rows, reader: ByteReader, report: Callable[[float], None]
) -> tuple[Path, bytes, dict[str, Any]]:
    """In one go. The film, its contact sheet, and what the renderer counted.

    Raises FrameMismatch, EncodeFailed, MediaUndecodable, and what `report` raises.
    """
    target, path_file = work.folder / OUTPUT, work.folder / "path.npy"
    np.save(path_file, rows)
    order = plan.order | {"output_file": str(target), "path_file": str(path_file), "stills": plan.sheet.order()}
    with Sheet(plan.sheet) as sheet:
        counts = _run("render", order, reader, work.settings, len(rows), report, sheet)
        return target, sheet.png(int(counts["stills"])), counts


def pieces(
    work: WholeContext[Params],
    plan: FilmPlan,
    rows: Rows,
    frame_pts: NDArray[np.int64],
    shots: Sequence[tuple[int, int]],
    keyframe_pts: Sequence[int],
) -> Onward | None:
    """The film as a phase of its own; None where it is short, or nobody is there to share the work with.
    `keyframe_pts`: some that are known of the source."""
    facts, settings = work.facts, work.settings
    workers = work.fleet()
    long = (facts.duration_seconds or 0.0) >= settings.render_fanout_seconds
    if not (long and workers and can_fan_out(facts)):
        return None
    seconds = float(frame_pts[-1] - frame_pts[0]) * float(facts.time_base_fraction)
    shortest_sec = min(SHORTEST_PIECE_SEC, settings.render_fanout_seconds / 2)
    longest_sec = LONGEST_PIECE * settings.chunk_seconds
    piece_sec = max(shortest_sec, min(longest_sec, seconds / (PIECES_A_WORKER * len(workers))))
    assert facts.appearance is not None  # can_fan_out asks for it
    bounds = piece_boundaries(frame_pts, shots, facts.time_base_fraction, piece_sec, keyframe_pts)
    parts = spans(frame_pts, bounds, interlaced=facts.appearance.interlaced)
    if len(parts) < 2:
        return None
    encoder = encoder_for(facts.appearance, plan.order["hdr"], _shared(workers))
    planned = plan.model_copy(update={"spans": parts, "order": plan.order | {"encoder": encoder}})
    return Onward(
        spans=[_segment(index, span, facts, frame_pts) for index, span in enumerate(parts)],
        plan=planned.model_dump(mode="json"),
        objects={path_name(index): _npy(rows[path_rows(span, frame_pts)]) for index, span in enumerate(parts)},
        needs=encoder if encoder in HARDWARE else None,
    )


class RenderPieces(Chunks[Params]):
    """Any kind whose film is cut out of the source has this step."""

    weight = 26.0
    stage = Stage.RENDERING
    words = "rendering"
    pattern = "pieces/piece_{:04d}.bin"
    content_type = "application/octet-stream"
    is_kept = False

    def work(self, context: ChunkContext[Params]) -> bytes:
        plan = FilmPlan.model_validate(context.earlier.plan)
        span = plan.spans[context.chunk_index]
        path_file, target = context.folder / "path.npy", context.folder / "piece"
        path_file.write_bytes(context.earlier.object(path_name(context.chunk_index)))
        order = plan.order | {
            "path_file": str(path_file),
            "output_file": str(target),
            "span": span.model_dump(),
            "stills": plan.sheet.order(),
        }
        _run("render_piece", order, context.reader, context.settings, span.frames, context.report)
        return target.read_bytes()


class JoinFilm(Whole[Params]):
    weight = 2.0
    stage = Stage.RENDERING
    words = "joining the film"
    patience = 2.0

    def work(self, context: WholeContext[Params]) -> Done:
        """Raises ArtifactCorrupt for pieces that are not what was written."""
        began = time.monotonic()
        plan = FilmPlan.model_validate(context.earlier.plan)
        files = list(context.earlier.files(context.folder))
        target = context.folder / OUTPUT
        order = {
            "pieces": [
                {"file": str(path), "sha256": sha256, "frames": span.frames}
                for (path, sha256), span in zip(files, plan.spans, strict=True)
            ],
            "output_file": str(target),
            "stills": plan.sheet.order(),
        }
        frames = sum(span.frames for span in plan.spans)
        try:
            with Sheet(plan.sheet) as sheet:
                counts = _run("join", order, NO_BYTES, context.settings, frames, context.report, sheet)
                png = sheet.png(int(counts["stills"]))
        except PiecesApart as apart:
            warn(Event.PIECES_APART, job_id=context.job_id, message=apart.message)
            target, png, counts = self._in_one_go(context, plan)
        seconds = {"join": time.monotonic() - began}
        return Done(target, {"contact_sheet.png": png}, accounts.rendered(counts), seconds)

    def _in_one_go(self, context: WholeContext[Params], plan: FilmPlan) -> tuple[Path, bytes, dict[str, Any]]:
        """A film is worth the time that its pieces cost for nothing."""
        parts = []
        for index, span in enumerate(plan.spans):
            part = context.folder / path_name(index)
            part.write_bytes(context.earlier.object(path_name(index)))
            parts.append(np.load(part, allow_pickle=False)[: span.frames])
        rows = np.concatenate(parts)
        return render(context, plan, rows, context.open_reader(), context.report)


def _run(
    operation: str,
    order: Mapping[str, Any],
    reader: ByteReader,
    settings: Settings,
    frames: int,
    report: Callable[[float], None],
    sheet: Sheet | None = None,
) -> dict[str, Any]:
    share = 0.0
    with MediaProcess(
        operation,
        order,
        reader,
        silence_sec=settings.sandbox_silence_seconds,
        memory_bytes=settings.sandbox_memory_bytes,
        ring=sheet.ring if sheet else None,
        check=lambda: report(share),
    ) as process:
        for message in process.messages():
            share = min(1.0, int(message["frames"]) / frames)
            report(share)
        return process.result


def _shared(workers: list[frozenset[str]]) -> frozenset[str]:
    """The hardware encoders that most workers have: the others leave the pieces to them."""
    return frozenset(name for name in HARDWARE if 2 * sum(name in each for each in workers) > len(workers))


def _segment(index: int, span: Span, facts: VideoFacts, frame_pts: NDArray[np.int64]) -> Segment:
    end_pts = span.end_pts if span.end_pts is not None else int(frame_pts[-1]) + 1
    tick_sec = float(facts.time_base_fraction)
    start_sec, end_sec = ((pts - int(frame_pts[0])) * tick_sec for pts in (span.start_pts, end_pts))
    return Segment(index, span.start_pts, end_pts, round(start_sec, 6), round(end_sec, 6))


def _npy(rows: Rows) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, rows)
    return buffer.getvalue()

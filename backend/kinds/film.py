"""A film cut out of a source, frame by frame: rendered in one go, or in pieces by many workers and then joined."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.errors import FrameMismatch, PiecesApart
from backend.events import Event, warn
from backend.kinds import accounts
from backend.kinds.base import Chunks, Done, Onward, Whole
from backend.kinds.context import ChunkContext, WholeContext
from backend.kinds.decoding import on_best_decoder
from backend.kinds.film_plan import Film, FilmPlan, Pts, laid_on, path_bytes, path_name
from backend.kinds.listing import list_frames
from backend.kinds.params import Params
from backend.kinds.sheet import Sheet
from backend.media.encoder_names import HARDWARE, encoder_for
from backend.media.facts import VideoFacts
from backend.media.limits import Limits
from backend.media.pieces import Span, can_fan_out, piece_boundaries, spans
from backend.media.results import check_result, read_result
from backend.media.sandbox import NO_BYTES, ByteReader, MediaProcess
from backend.media.segments import Segment
from backend.settings import Settings
from backend.states import Stage

OUTPUT = "output.mp4"
# Every worker gets at least two pieces, so that a slow one is no brake; shorter ones than this, or than half of what is
# rendered in one go, cost more than they bring.
PIECES_A_WORKER = 2
SHORTEST_PIECE_SEC = 20.0
LONGEST_PIECE = 2  # chunks: what a worker that dies takes with it, against two seconds that each piece costs besides
# In the place of a piece whose frames are not those that the packets promised.
OTHER_FRAMES = b"other frames than the packets promised"


def make(
    work: WholeContext[Params],
    film: Film,
    *,
    done: float,
    files: Mapping[str, bytes | Path] | None = None,
    warnings: Sequence[str] = (),
    seconds: Mapping[str, float] | None = None,
) -> Done | Onward:
    """The film, or the phase that makes it, with what the step has made and said before. `done`: the share of the step
    that this was. Raises FrameMismatch, EncodeFailed, MediaUndecodable, ClaimLost."""

    def report(share: float) -> None:
        work.report(done + (1 - done) * share)

    made = pieces(work, film) or render(work, film, report)
    return replace(
        made,
        files={**(files or {}), **made.files},
        warnings=[*warnings, *made.warnings],
        seconds={**(seconds or {}), **made.seconds},
    )


def render(work: WholeContext[Params], film: Film, report: Callable[[float], None]) -> Done:
    """In one go."""
    began = time.monotonic()
    rows = [None if each is None else each.to_bytes() for each in film.layer_rows()]
    target, files, counts = _rendered(work, film.plan(), path_bytes(film.path), len(film.path), rows, report)
    seconds = {"render": time.monotonic() - began}
    return Done(target, files, accounts.rendered(counts), seconds, encoder=counts["encoder"])


def pieces(work: WholeContext[Params], film: Film) -> Onward | None:
    """The film as a phase of its own; None where it is short, or nobody is there to share the work with."""
    facts, settings = work.facts, work.settings
    workers = work.fleet()
    long = (facts.duration_seconds or 0.0) >= settings.render_fanout_seconds
    if not (long and workers and can_fan_out(facts)):
        return None
    seconds = float(film.frame_pts[-1] - film.frame_pts[0]) * float(facts.time_base_fraction)
    shortest_sec = min(SHORTEST_PIECE_SEC, settings.render_fanout_seconds / 2)
    longest_sec = LONGEST_PIECE * settings.chunk_seconds
    piece_sec = max(shortest_sec, min(longest_sec, seconds / (PIECES_A_WORKER * len(workers))))
    assert facts.appearance is not None  # can_fan_out asks for it
    bounds = piece_boundaries(film.frame_pts, film.shots, facts.time_base_fraction, piece_sec, film.keyframe_pts)
    parts = spans(film.frame_pts, bounds, interlaced=facts.appearance.interlaced)
    if len(parts) < 2:
        return None
    plan = film.plan()
    encoder = encoder_for(facts.appearance, plan.order["hdr"], _shared(workers))
    planned = plan.model_copy(update={"spans": parts, "order": plan.order | {"encoder": encoder}})
    return Onward(
        spans=[_segment(index, span, facts, film.frame_pts) for index, span in enumerate(parts)],
        plan=planned.model_dump(mode="json", exclude_defaults=True),  # workers of an older version read it too
        objects=film.objects(parts),
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
        plan, index = FilmPlan.model_validate(context.earlier.plan), context.chunk_index
        span, target = plan.spans[index], context.folder / "piece"
        path, rows = context.earlier.object(path_name(index)), plan.stored_rows(context.earlier, index)
        order = plan.render_order(context.folder, path, rows, target) | {"span": span.model_dump()}

        def render_piece(in_hardware: bool) -> None:
            ordered = order | {"in_hardware": in_hardware}
            _run("render_piece", ordered, context.reader, context.settings, context.folder, span.frames, context.report)

        try:
            on_best_decoder(context, render_piece)
        except FrameMismatch:
            if not plan.is_guess:
                raise
            return OTHER_FRAMES  # the step that joins decodes, and renders in one go
        return read_result(target)


class JoinFilm(Whole[Params]):
    weight = 2.0
    stage = Stage.RENDERING
    words = "joining the film"
    patience = 2.0

    def work(self, context: WholeContext[Params]) -> Done:
        """Raises ArtifactCorrupt for pieces that are not what was written."""
        began = time.monotonic()
        plan = FilmPlan.model_validate(context.earlier.plan)
        try:
            target, files, counts = self._joined(context, plan)
        except PiecesApart as apart:
            warn(Event.PIECES_APART, job_id=context.job_id, message=apart.message)
            target, files, counts = self._in_one_go(context, plan)
        seconds = {"join": time.monotonic() - began}
        return Done(target, files, accounts.rendered(counts), seconds, encoder=counts["encoder"])

    def _joined(self, context: WholeContext[Params], plan: FilmPlan) -> Made:
        parts = list(context.earlier.files(context.folder))
        if plan.is_guess and any(_is_other_frames(path) for path, _ in parts):
            raise PiecesApart("The source holds other frames than its packets promise.")
        target = context.folder / OUTPUT
        order = {
            "pieces": [
                {"file": str(path), "sha256": sha256, "frames": span.frames}
                for (path, sha256), span in zip(parts, plan.spans, strict=True)
            ],
            "output_file": str(target),
            "stills": plan.sheet.order(),
        }
        frames = sum(span.frames for span in plan.spans)
        with Sheet(plan.sheet) as sheet:
            counts = _run("join", order, NO_BYTES, context.settings, context.folder, frames, context.report, sheet)
            return target, sheet.files(int(counts["stills"])), counts

    def _in_one_go(self, context: WholeContext[Params], plan: FilmPlan) -> Made:
        """A film is worth the time that its pieces cost for nothing."""
        path = plan.whole_path(context.earlier)
        if plan.is_guess:
            listing = list_frames(context, context.report, decode=True)
            plan = plan.model_copy(update={"sheet": plan.sheet.of_frames(listing.frame_pts)})
            path = laid_on(listing.frame_pts, path, plan.order["origin_pts"])
        rows = [None if each is None else each.to_bytes() for each in plan.whole_rows(context.earlier, context.folder)]
        return _rendered(context, plan, path_bytes(path), len(path), rows, context.report)


Made = tuple[Path, dict[str, bytes], dict[str, Any]]
"""The film, small files by name, and what the renderer tells of it."""


def _rendered(
    work: WholeContext[Params],
    plan: FilmPlan,
    path: bytes,
    frames: int,
    rows: Sequence[bytes | None],
    report: Callable[[float], None],
) -> Made:
    target = work.folder / OUTPUT
    order = plan.render_order(work.folder, path, rows, target)
    with Sheet(plan.sheet) as sheet:
        counts = _run("render", order, work.open_reader(), work.settings, work.folder, frames, report, sheet)
        return target, sheet.files(int(counts["stills"])), counts


def _is_other_frames(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(OTHER_FRAMES)) == OTHER_FRAMES


def _run(
    operation: str,
    order: Mapping[str, Any],
    reader: ByteReader,
    settings: Settings,
    folder: Path,
    frames: int,
    report: Callable[[float], None],
    sheet: Sheet | None = None,
) -> dict[str, Any]:
    share = 0.0
    with MediaProcess(
        operation,
        order,
        reader,
        Limits.of(settings),
        folder=folder,
        ring=sheet.ring if sheet else None,
        check=lambda: report(share),
    ) as process:
        for message in process.messages():
            share = min(1.0, int(message["frames"]) / frames)
            report(share)
        result = process.result
    check_result(Path(order["output_file"]))
    return result


def _shared(workers: list[frozenset[str]]) -> frozenset[str]:
    """The hardware encoders that most workers have: the others leave the pieces to them."""
    return frozenset(name for name in HARDWARE if 2 * sum(name in each for each in workers) > len(workers))


def _segment(index: int, span: Span, facts: VideoFacts, frame_pts: Pts) -> Segment:
    end_pts = span.end_pts if span.end_pts is not None else int(frame_pts[-1]) + 1
    tick_sec = float(facts.time_base_fraction)
    start_sec, end_sec = ((pts - int(frame_pts[0])) * tick_sec for pts in (span.start_pts, end_pts))
    return Segment(index, span.start_pts, end_pts, round(start_sec, 6), round(end_sec, 6))

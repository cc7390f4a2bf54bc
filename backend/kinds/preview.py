"""The small films of a job's chunks, joined to one of the whole: there before the job's own film is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backend.errors import (
    ArtifactCorrupt,
    EncodeFailed,
    FramefleetError,
    MediaError,
    ObjectNotFound,
    SandboxCrashed,
    SandboxTimeout,
    StorageError,
)
from backend.events import Event, warn
from backend.kinds.base import FileType
from backend.kinds.context import WholeContext
from backend.kinds.params import Params
from backend.media.facts import PREVIEW_TICKS
from backend.media.limits import Limits
from backend.media.results import check_result
from backend.media.sandbox import NO_BYTES, MediaProcess

PREVIEW = FileType("preview.mp4", "video/mp4")
# Of the previews, not of the job: those of the claim and of the process that drains pass.
FAILURES = (
    MediaError, SandboxCrashed, SandboxTimeout, ArtifactCorrupt, EncodeFailed, ObjectNotFound, StorageError,
)  # fmt: skip


def join_previews(context: WholeContext[Params], frame_pts: Sequence[Sequence[int]]) -> list[str]:
    """Joins and stores them; `frame_pts` are each chunk's frames. Returns what is to be told: a job is done without a
    preview too. Raises what `context.report` raises."""
    if context.keep_preview is None:
        return []
    try:
        film, lacking = _joined(context, frame_pts)
        if film is not None:
            context.keep_preview(film)
    except FAILURES as failure:
        assert isinstance(failure, FramefleetError)
        warn(Event.PREVIEW_LOST, job_id=context.job_id, error_code=failure.code, message=failure.message)
        return ["The preview of the whole could not be made."]
    if lacking:
        warn(Event.PREVIEW_LOST, job_id=context.job_id, chunks=lacking, message="These chunks have none that fits.")
    return []


def _joined(context: WholeContext[Params], frame_pts: Sequence[Sequence[int]]) -> tuple[Path | None, list[int]]:
    """The film, and the chunks that are missing from it; None where no chunk has a preview."""
    first_pts = next((chunk[0] for chunk in frame_pts if chunk), 0)
    tick = context.facts.time_base_fraction * PREVIEW_TICKS
    found = list(zip(context.earlier.previews(context.folder), frame_pts, strict=False))
    parts = {
        number: {"file": str(path), "start_ticks": round((pts[0] - first_pts) * tick)}
        for number, (path, pts) in enumerate(found)
        if path is not None and pts
    }
    if not parts:
        return None, []
    target = context.folder / PREVIEW.name
    with MediaProcess(
        "join_previews",
        {"previews": list(parts.values()), "output_file": str(target)},
        NO_BYTES,
        Limits.of(context.settings),
        folder=context.folder,
        check=lambda: context.report(0.0),
    ) as process:
        for _ in process.messages():
            context.report(0.0)
        told = process.result.get("taken")
        taken = {number for place, number in enumerate(parts) if isinstance(told, list) and place in told}
    for part in parts.values():
        Path(str(part["file"])).unlink()
    there = {number for number, (_, pts) in enumerate(found) if pts}
    return (check_result(target) if taken else None), sorted(there - taken)

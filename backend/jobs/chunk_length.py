"""How long a job's chunks are: CHUNK_SECONDS, or, between bounds, what the fleet gets through in good time."""

from __future__ import annotations

from dataclasses import dataclass

from backend.db.engine import Database
from backend.db.sql import statement
from backend.media.budget import most_chunks
from backend.media.facts import VideoFacts
from backend.media.segments import Segment, divided
from backend.queue.claims import JobClaim
from backend.queue.figures import GPU_WORKER, SILENT_SECONDS
from backend.settings import Settings
from backend.states import DeepMode
from backend.storage.base import ObjectInfo

# Long beside a claim, a start of decoding and an upload; short beside what a dead worker loses and a person waits.
WORK_SEC = 20.0


@dataclass(frozen=True)
class Chunking:
    """The pieces of a video, how long they were meant to be, and why, for the manifest."""

    segments: list[Segment]
    chunk_seconds: float | None  # None: the whole video
    reason: str


UNDIVIDED = Chunking([], None, "its first step takes the whole")


def chunking(
    database: Database, claim: JobClaim, phase: str, info: ObjectInfo, facts: VideoFacts, settings: Settings
) -> Chunking:
    """Raises DatabaseUnavailable."""
    whole, most = (facts.duration_seconds or 0) + 1, most_chunks(facts, info.size_bytes)
    if claim.deep_mode is not DeepMode.GPU:
        return Chunking(divided(facts, whole), None, "deep_mode=cpu works on the video as one chunk")
    if not settings.adapts_chunks:
        return Chunking(
            divided(facts, min(settings.chunk_seconds, whole), most), settings.chunk_seconds, "CHUNK_SECONDS"
        )
    earlier = _earlier(database, claim, phase, info, divided(facts, whole)) if settings.reuse_chunks else []
    if earlier:
        longest = max(piece.end_sec - piece.start_sec for piece in earlier)
        return Chunking(earlier, longest, "cut like an earlier job on this source, whose artifacts can be adopted")
    seconds, reason = _adapted(database, claim, phase, facts, settings)
    return Chunking(divided(facts, min(seconds, whole), most), seconds, reason)


def _earlier(database: Database, claim: JobClaim, phase: str, info: ObjectInfo, whole: list[Segment]) -> list[Segment]:
    where = {"job_id": claim.job_id, "phase": phase, "source_etag": info.etag, "source_size": info.size_bytes}
    with database.transaction() as connection:
        rows = connection.execute(statement("earlier_segments"), where).all()
    pieces = [Segment(row.chunk_index, row.start_pts, row.end_pts, row.start_sec, row.end_sec) for row in rows]
    # Another build may read another length from the same bytes: then the old pieces would not cover the video.
    fits = pieces and (pieces[0].start_pts, pieces[-1].end_pts) == (whole[0].start_pts, whole[-1].end_pts)
    return pieces if fits else []


def _adapted(
    database: Database, claim: JobClaim, phase: str, facts: VideoFacts, settings: Settings
) -> tuple[float, str]:
    what = {
        "kind": claim.kind,
        "phase": phase,
        "deep_mode": claim.deep_mode.value,
        "pixels": facts.width * facts.height,
    }
    with database.transaction() as connection:
        pace = connection.execute(statement("detection_pace"), what).scalar_one()
        alive = connection.execute(statement("workers_by_kind"), {"silent_seconds": SILENT_SECONDS}).tuples().all()
    if pace is None:
        return settings.chunk_seconds, "CHUNK_SECONDS, as nothing was measured yet"
    workers = {str(kind): int(count) for kind, count in alive}.get(GPU_WORKER, 0)
    # A short video is spread over the workers that are there.
    share_sec = (facts.duration_seconds or float("inf")) / max(1, workers)
    seconds = min(float(pace) * WORK_SEC, share_sec)
    low, high = settings.chunk_seconds_bounds
    reason = f"{pace:.1f} s of video per second of work were measured, {workers} workers are there"
    return round(min(max(seconds, low), high), 3), reason

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


@dataclass(frozen=True)
class Cutting:
    """What is cut: the source, for which phase, and how many of its frames a second that looks at, where it samples."""

    phase: str
    info: ObjectInfo
    facts: VideoFacts
    sample_fps: float | None

    def whole(self) -> list[Segment]:
        return divided(self.facts, self._whole_sec)

    def divided(self, chunk_seconds: float) -> list[Segment]:
        most = most_chunks(self.facts, self.info.size_bytes)
        return divided(self.facts, min(chunk_seconds, self._whole_sec), most, self.sample_fps)

    @property
    def _whole_sec(self) -> float:
        return (self.facts.duration_seconds or 0) + 1


UNDIVIDED = Chunking([], None, "its first step takes the whole")


def chunking(database: Database, claim: JobClaim, of: Cutting, settings: Settings) -> Chunking:
    """Raises DatabaseUnavailable."""
    if claim.deep_mode is not DeepMode.GPU:
        return Chunking(of.whole(), None, "deep_mode=cpu works on the video as one chunk")
    if not settings.adapts_chunks:
        return Chunking(of.divided(settings.chunk_seconds), settings.chunk_seconds, "CHUNK_SECONDS")
    earlier = _earlier(database, claim, of) if settings.reuse_chunks else []
    if earlier:
        longest = max(piece.end_sec - piece.start_sec for piece in earlier)
        return Chunking(earlier, longest, "cut like an earlier job on this source, whose artifacts can be adopted")
    seconds, reason = _adapted(database, claim, of, settings)
    return Chunking(of.divided(seconds), seconds, reason)


def _earlier(database: Database, claim: JobClaim, of: Cutting) -> list[Segment]:
    info, whole = of.info, of.whole()
    where = {"job_id": claim.job_id, "phase": of.phase, "source_etag": info.etag, "source_size": info.size_bytes}
    with database.transaction() as connection:
        rows = connection.execute(statement("earlier_segments"), where).all()
    pieces = [Segment(row.chunk_index, row.start_pts, row.end_pts, row.start_sec, row.end_sec) for row in rows]
    # Another build may read another length from the same bytes: then the old pieces would not cover the video.
    fits = pieces and (pieces[0].start_pts, pieces[-1].end_pts) == (whole[0].start_pts, whole[-1].end_pts)
    return pieces if fits else []


def _adapted(database: Database, claim: JobClaim, of: Cutting, settings: Settings) -> tuple[float, str]:
    facts = of.facts
    what = {
        "kind": claim.kind,
        "phase": of.phase,
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

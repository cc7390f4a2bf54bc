"""Jobs as the planner leaves them, workers' acts, and what must hold at every commit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, text

from backend.db.engine import Database
from backend.db.models import Chunk, Job
from backend.errors import FramefleetError, MediaUndecodable, SandboxCrashed, StorageError
from backend.jobs.progress import progress_of
from backend.jobs.resource import job_resources
from backend.jobs.service import JobService
from backend.media.facts import VideoFacts
from backend.queue import lanes
from backend.queue.claims import ChunkClaim, JobClaim
from backend.queue.queue import Queue
from backend.states import DeepMode, JobStatus, Stage

TICKS = 30_000
FACTS = VideoFacts(
    container="mp4",
    codec="h264",
    coded_width=640,
    coded_height=360,
    width=640,
    height=360,
    rotation=0,
    sample_aspect_ratio=(1, 1),
    fps=(25, 1),
    time_base=(1, 1000),
    start_pts=0,
    duration_pts=TICKS,
    duration_seconds=30.0,
    frame_count=750,
    has_audio=False,
    audio_codecs=[],
    keyframe_pts=[],
)
TRY_AGAIN = SandboxCrashed("The media process died.")
STORE_AWAY = StorageError("The store is away.")
BROKEN = MediaUndecodable("Too many broken packets.")

StaleAct = Callable[[Queue, ChunkClaim], object]
STALE_ACTS: dict[str, StaleAct] = {
    "heartbeat": lambda queue, claim: queue.heartbeat_chunk(claim, 0.9),
    "complete": lambda queue, claim: queue.complete_chunk(claim, "stale/key", "0" * 64, {"name": "stale"}),
    "complete and claim": lambda queue, claim: complete_and_claim(queue, claim),
    "fail": lambda queue, claim: queue.fail_chunk(claim, TRY_AGAIN),
    "fail for good": lambda queue, claim: queue.fail_chunk(claim, BROKEN),
    "release": lambda queue, claim: queue.release_chunk(claim),
    "put back": lambda queue, claim: queue.put_back_chunk(claim, STORE_AWAY),
}
STALE_JOB_ACTS: dict[str, Callable[[Queue, JobClaim], object]] = {
    "heartbeat": lambda queue, claim: queue.heartbeat_job(claim, 0.9, Stage.RENDERING),
    "finish": lambda queue, claim: finish(queue, claim),
    "fail": lambda queue, claim: queue.fail_job(claim, TRY_AGAIN),
    "fail for good": lambda queue, claim: queue.fail_job(claim, BROKEN),
    "release": lambda queue, claim: queue.release_job(claim),
    "put back": lambda queue, claim: queue.put_back_job(claim, STORE_AWAY),
}


def planned_job(
    database: Database,
    chunks: int = 2,
    *,
    priority: int = 0,
    deep_mode: DeepMode = DeepMode.GPU,
    tenant: str = "default",
    **chunk: object,
) -> UUID:
    """A job as the planner leaves it."""
    job_id = uuid4()
    lane = {"deep_mode": deep_mode.value, "tenant": tenant}
    with database.session() as session:
        job = Job(
            id=job_id,
            kind="crop",
            stage=Stage.DEEP_QUEUED,
            priority=priority,
            input_uri="file:///film.mp4",
            input_name="film.mp4",
            source_etag="etag",
            source_size=1000,
            probe=FACTS.model_dump(mode="json"),
            total_chunks=chunks,
            **lane,
        )
        session.add(job)
        session.flush()
        connection = session.connection()
        lanes.make_lane(connection, **lane)
        entry = lanes.entry(connection, job_id, priority=priority, **lane)
        rows = [
            {
                "job_id": job_id,
                "chunk_index": index,
                "priority": priority,
                "claim_rank": entry.rank(index),
                "start_pts": index * TICKS,
                "end_pts": (index + 1) * TICKS,
                "start_sec": index * 30.0,
                "end_sec": (index + 1) * 30.0,
                **lane,
                **chunk,
            }
            for index in range(chunks)
        ]
        connection.execute(insert(Chunk), rows)
        lanes.lower_floor(connection, rank=entry.first_rank, **lane)
    return job_id


def aggregating_job(database: Database, queue: Queue) -> UUID:
    job_id = planned_job(database, 1)
    complete(queue, claim_of(queue))
    return job_id


def claim_of(queue: Queue, job_id: UUID | None = None) -> ChunkClaim:
    claim = queue.claim_chunk(DeepMode.GPU, job_id)
    assert claim is not None
    return claim


def job_claim_of(queue: Queue, status: JobStatus = JobStatus.AGGREGATING) -> JobClaim:
    claim = queue.claim_job(status)
    assert claim is not None
    return claim


def complete(queue: Queue, claim: ChunkClaim) -> JobStatus:
    return queue.complete_chunk(claim, f"chunks/{claim.chunk_index}", "a" * 64, {"name": "hog"})


def complete_and_claim(
    queue: Queue, claim: ChunkClaim, job_id: UUID | None = None
) -> tuple[JobStatus, ChunkClaim | None]:
    finished = (claim, f"chunks/{claim.chunk_index}", "a" * 64, {"name": "hog"})
    return queue.complete_and_claim(*finished, deep_mode=DeepMode.GPU, job_id=job_id)


def finish(queue: Queue, claim: JobClaim) -> None:
    queue.finish_job(claim, output_uri="file:///out.mp4", output_key="out.mp4", timings={"render": 1.0}, warnings=[])


def sql(database: Database, query: str, **params: object) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        result = connection.execute(text(query), params)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []


def chunk_row(database: Database, claim: ChunkClaim) -> dict[str, Any]:
    return sql(database, "SELECT * FROM video_analysis_chunks WHERE id = :id", id=claim.chunk_id)[0]


def chunk_rows(database: Database, job_id: UUID) -> list[dict[str, Any]]:
    return sql(database, "SELECT * FROM video_analysis_chunks WHERE job_id = :id ORDER BY chunk_index", id=job_id)


def job_row(database: Database, job_id: UUID) -> dict[str, Any]:
    return sql(database, "SELECT * FROM video_analysis_jobs WHERE id = :id", id=job_id)[0]


def statuses(database: Database, job_id: UUID) -> list[str]:
    return [row["status"] for row in chunk_rows(database, job_id)]


def everything(database: Database) -> list[list[dict[str, Any]]]:
    tables = ("video_analysis_jobs", "video_analysis_chunks")
    return [sql(database, f"SELECT * FROM {table} ORDER BY id") for table in tables]


def expire_chunk(database: Database, claim: ChunkClaim) -> None:
    past = "now() - interval '1 second'"
    sql(database, f"UPDATE video_analysis_chunks SET lease_expires_at = {past} WHERE id = :id", id=claim.chunk_id)


def expire_job(database: Database, job_id: UUID) -> None:
    past = "now() - interval '1 second'"
    sql(database, f"UPDATE video_analysis_jobs SET lease_expires_at = {past} WHERE id = :id", id=job_id)


def pct(database: Database, job_id: UUID) -> int:
    return progress_of(database, [JobService(database).get(job_id)])[0].pct


def together(*acts: Callable[[], Any]) -> list[Any]:
    """Starts all at one moment; returns what each returned, or the typed error that it raised."""
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return act()
        except FramefleetError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def assert_consistent(database: Database, job_id: UUID) -> None:
    """What must hold for a job at every commit."""
    job, chunks = job_row(database, job_id), chunk_rows(database, job_id)
    completed = [chunk for chunk in chunks if chunk["status"] == "completed"]
    shown = job_resources(database, [JobService(database).get(job_id)])[0]
    assert shown["completed_chunks"] == len(completed)
    assert all(chunk["artifact_sha256"] for chunk in completed)
    leased = [chunk["status"] == "processing" for chunk in chunks]
    assert [chunk["lease_expires_at"] is not None for chunk in chunks] == leased
    if job["status"] in ("aggregating", "done"):
        assert job["completed_chunks"] == len(completed) == job["total_chunks"]
    if job["status"] == "processing":
        assert len(completed) < job["total_chunks"]
    if job["status"] in ("done", "failed", "cancelled"):
        assert job["paused_at"] is None
    assert_floor(database)


def assert_floor(database: Database) -> None:
    """No chunk that could be claimed lies below its lane's floor."""
    lost = sql(
        database,
        "SELECT c.id FROM video_analysis_chunks c JOIN queue_lanes l USING (deep_mode, tenant)"
        " WHERE c.status = 'queued' AND NOT c.on_hold AND (l.floor_rank IS NULL OR c.claim_rank < l.floor_rank)",
    )
    assert lost == []

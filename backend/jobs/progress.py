"""Progress, derived from rows. It never falls: chunk and job progress only rise, whoever works on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from backend.db.engine import Database
from backend.db.models import Chunk, Job
from backend.states import FINAL_JOB_STATUSES, ChunkStatus, JobStatus

# How the work of a job divides, as measured on two cores: detection is the bulk of it.
PLANNED_PCT = 2.0
CHUNKS_PCT = 68.0
AGGREGATION_PCT = 30.0
MIN_PCT_FOR_ETA = 5.0


@dataclass(frozen=True)
class Progress:
    pct: int
    eta_seconds: int | None
    failed_chunks: int
    completed_chunks: int


def progress_of(database: Database, jobs: Sequence[Job]) -> list[Progress]:
    """One query for all of them."""
    failed, completed = (
        func.count().filter(Chunk.status == status) for status in (ChunkStatus.FAILED, ChunkStatus.COMPLETED)
    )
    query = (
        select(Chunk.job_id, func.sum(Chunk.progress), failed, completed)
        .where(Chunk.job_id.in_([job.id for job in jobs]))
        .group_by(Chunk.job_id)
    )
    with database.session() as session:
        now = session.execute(select(func.now())).scalar_one()
        sums = {row[0]: (float(row[1]), int(row[2]), int(row[3])) for row in session.execute(query)}
    return [_progress(job, *sums.get(job.id, (0.0, 0, 0)), now) for job in jobs]


def _progress(job: Job, chunk_sum: float, failed_chunks: int, completed_chunks: int, now: datetime) -> Progress:
    if job.status == JobStatus.DONE:
        return Progress(100, 0, failed_chunks, completed_chunks)
    if not job.total_chunks:
        return Progress(0, None, failed_chunks, completed_chunks)
    share = PLANNED_PCT + CHUNKS_PCT * chunk_sum / job.total_chunks + AGGREGATION_PCT * job.progress
    pct = min(99, math.floor(share))
    return Progress(pct, _eta_seconds(job, share, now), failed_chunks, completed_chunks)


def _eta_seconds(job: Job, pct: float, now: datetime) -> int | None:
    if job.started_at is None or pct < MIN_PCT_FOR_ETA or job.status in FINAL_JOB_STATUSES:
        return None
    elapsed_sec = (now - job.started_at).total_seconds()
    return max(1, round(elapsed_sec * (100 - pct) / (pct - PLANNED_PCT)))

"""What one worker does for all, every few seconds: takes back what dead workers held, moves on what they left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from backend.db.engine import PATIENT_SEC, Database
from backend.db.sql import statement
from backend.events import Event, warn
from backend.queue import lanes, probation
from backend.queue.failure import fail_job_of_chunk
from backend.states import JobStatus

# For thousands of lanes the looks of one sweep could take longer than until the first lane is due again.
FLOORS_SEC = 1.0


def rescue_expired(database: Database, backoff: Mapping[str, Any], lease: Mapping[str, Any]) -> int:
    """Expired leases of chunks and jobs, aggregations that nobody started, chunks of jobs that are over, jobs on
    probation, and the lanes' floors. Any number may do it at once. Returns how many claims were taken back.

    Raises DatabaseUnavailable.
    """
    with database.transaction(patience_sec=PATIENT_SEC) as connection:
        connection.execute(statement("cut_chunk_leases"), lease)
        connection.execute(statement("cut_job_leases"), lease)
        chunks = connection.execute(statement("rescue_chunks"), {**backoff, **lease}).all()
        # In the jobs' order, so that two rescuers do not wait for each other.
        for row in sorted(chunks, key=lambda row: str(row.job_id)):
            if row.status == "failed" and row.job_status in (JobStatus.QUEUED, JobStatus.PROCESSING):
                fail_job_of_chunk(connection, row.job_id, row.chunk_index, row.error_code, row.error_message, True)
        jobs = connection.execute(statement("rescue_jobs"), backoff).all()
        lanes.lower_floors(connection, [row for row in chunks if row.status == "queued"])
    with database.transaction(patience_sec=PATIENT_SEC) as connection:
        stranded = connection.execute(statement("advance_finished")).scalars().all()
        connection.execute(statement("stop_stranded_chunks"))
    probation.wake(database)
    until = time.monotonic() + FLOORS_SEC
    while lanes.raise_floor(database) and time.monotonic() < until:
        continue
    for row in chunks:
        _warn_rescued(row, chunk_index=row.chunk_index)
    for row in jobs:
        _warn_rescued(row)
    for job_id in stranded:
        warn(Event.AGGREGATION_RETRIGGERED, job_id=str(job_id))
    return len(chunks) + len(jobs)


def _warn_rescued(row: Any, **ids: object) -> None:
    known = {"attempts": row.attempts, "failures": row.failures, "status": row.status}
    warn(Event.LEASE_RESCUED, job_id=str(row.job_id), **ids, **known)

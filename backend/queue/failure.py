"""A chunk that failed for good takes its job with it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from backend.db.sql import statement
from backend.errors import Unexpected
from backend.events import Event, emit, warn


def fail_job_of_chunk(
    connection: Connection, job_id: UUID, chunk_index: int, code: str, message: str, retryable: bool
) -> None:
    """In the transaction that failed the chunk. A job that is over already stays as it is."""
    # Queued chunks first, then the job's row: the claim locks in that order too, so neither waits for the other.
    connection.execute(
        statement("stop_queued_chunks"),
        {"job_id": job_id, "error_code": "job_failed", "error_message": f"Chunk {chunk_index} failed."},
    )
    failed = connection.execute(
        statement("fail_job"),
        {"job_id": job_id, "error_code": code, "error_message": message, "error_retryable": retryable},
    )
    if failed.rowcount == 1:  # else it was cancelled, or another chunk was first
        emit(Event.JOB_FAILED, job_id=str(job_id), chunk_index=chunk_index, error_code=code)
        tell_why(code, message, job_id=str(job_id))


def tell_why(code: str, message: str, **ids: object) -> None:
    """Of a job that failed for good: whether over its input or over a fault of ours, under the names that a
    predecessor's alarms wait for."""
    is_ours = code == Unexpected.code
    event = Event.JOB_FAILED_UNEXPECTED if is_ours else Event.JOB_FAILED_PROCESSING_ERROR
    warn(event, **ids, error_code=code, message=message)

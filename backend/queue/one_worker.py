"""What an operator asks of one worker: to stop, or to stop and let go of its work at once."""

from __future__ import annotations

from backend.db.engine import Database
from backend.db.sql import statement
from backend.errors import InvalidRequest
from backend.events import Event, emit
from backend.queue import lanes


def drain_worker(database: Database, worker_id: str) -> None:
    """It claims nothing more, finishes what is in hand within DRAIN_SECONDS, and ends; it hears of it within 15 s.

    Raises InvalidRequest when there is no such worker.
    """
    if database.ask("ask_worker_to_stop", worker_id=worker_id) is None:
        raise InvalidRequest(f"There is no worker {worker_id:.200}; `framefleet workers` says who is there.")
    emit(Event.WORKER_ASKED_TO_STOP, by="operator", of=worker_id)


def release_worker(database: Database, worker_id: str) -> int:
    """What it holds goes back to the queue at once, with no failure counted, even where it hangs or is dead; and it is
    asked to stop, or it would claim the next. Returns how many claims went back.

    Raises InvalidRequest when there is no such worker and it holds nothing.
    """
    asked = database.ask("ask_worker_to_stop", worker_id=worker_id) is not None
    of_worker = {"worker_id": worker_id}
    with database.transaction() as connection:
        chunks = connection.execute(statement("release_chunks_of_worker"), of_worker).all()
        jobs = connection.execute(statement("release_jobs_of_worker"), of_worker).all()
        lanes.lower_floors(connection, [row for row in chunks if row.status == "queued"])
    if not (asked or chunks or jobs):
        raise InvalidRequest(f"There is no worker {worker_id:.200}; `framefleet workers` says who is there.")
    for row in chunks:
        ids = {"job_id": str(row.job_id), "chunk_index": row.chunk_index, "attempt": row.attempts}
        emit(Event.CHUNK_RELEASED, **ids, of=worker_id)
    for row in jobs:
        emit(Event.JOB_RELEASED, job_id=str(row.job_id), attempt=row.attempts, of=worker_id)
    return len(chunks) + len(jobs)

"""Chunks that a job left behind when it ended while they were being queued, held or given back."""

from __future__ import annotations

import threading

import pytest

from backend.db.engine import Database
from backend.db.sql import statement
from backend.jobs.service import JobService
from backend.queue.queue import Queue
from backend.states import DeepMode
from tests.integration.queue.helpers import (
    BROKEN,
    assert_consistent,
    claim_of,
    complete,
    job_row,
    planned_job,
    sql,
    statuses,
)


def test_a_job_that_failed_while_it_was_being_paused_runs_whole_when_it_is_retried(
    database: Database, queue: Queue, service: JobService
) -> None:
    """The pause holds its chunks locked; the failure leaves locked chunks alone, and ends the pause."""
    job_id = planned_job(database, 3)
    claim = claim_of(queue)
    with database.transaction() as pausing:
        pausing.execute(statement("hold_chunks"), {"job_id": job_id})
        pausing.execute(statement("pause_job"), {"job_id": job_id})
        failing = threading.Thread(target=queue.fail_chunk, args=(claim, BROKEN))
        failing.start()
        failing.join(0.5)
        assert failing.is_alive()  # it waits for the job's row
    failing.join(60)
    assert job_row(database, job_id)["status"] == "failed"
    service.retry(job_id)
    for _ in range(3):
        complete(queue, claim_of(queue))
    assert statuses(database, job_id) == ["completed"] * 3
    assert_consistent(database, job_id)


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
def test_the_sweep_ends_chunks_that_were_queued_just_after_their_job_was_over(
    database: Database, queue: Queue, ended: str
) -> None:
    job_id, other = planned_job(database, 2), planned_job(database, 1)
    over = "UPDATE video_analysis_jobs SET status = :status, completed_at = now() WHERE id = :id RETURNING id"
    assert sql(database, over, status=ended, id=job_id)
    queue.rescue_expired()
    assert statuses(database, job_id) == ["failed", "failed"]
    assert statuses(database, other) == ["queued"]
    assert claim_of(queue).job_id == other


def test_the_sweep_leaves_a_job_alone_that_is_being_retried(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 1)
    queue.fail_chunk(claim_of(queue), BROKEN)
    with database.transaction() as retrying:
        place = {"first_rank": 0, "stride": 1, "job_id": job_id}
        retrying.execute(statement("requeue_failed_chunks"), place)
        queue.rescue_expired()
        retrying.rollback()
    assert statuses(database, job_id) == ["failed"]
    service.retry(job_id)
    queue.rescue_expired()
    assert statuses(database, job_id) == ["queued"]


def test_a_worker_of_one_job_asks_for_its_chunks_only(database: Database, queue: Queue) -> None:
    own, other = planned_job(database, 1), planned_job(database, 1)
    while claim_of(queue, own).job_id != own:
        continue
    assert queue.has_queued(DeepMode.GPU)
    assert queue.has_queued(DeepMode.GPU, other)
    assert not queue.has_queued(DeepMode.GPU, own)

"""Jobs as leased work: planning and aggregation; and their creation."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from backend.db.engine import Database
from backend.errors import ClaimLost
from backend.jobs.service import JobService, NewJob
from backend.queue.claims import JobClaim
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from tests.integration.queue.helpers import (
    STALE_JOB_ACTS,
    TRY_AGAIN,
    aggregating_job,
    everything,
    expire_job,
    finish,
    job_claim_of,
    job_row,
    planned_job,
    sql,
    together,
)


def test_a_job_is_planned_by_one_worker(database: Database, queue: Queue, other: Queue, service: JobService) -> None:
    job = service.create(NewJob(kind="crop", input_uri="file:///a.mp4", input_name="a.mp4"))
    claims = together(*[lambda q=q: q.claim_job(JobStatus.QUEUED) for q in (queue, other) * 4])
    (won,) = [claim for claim in claims if claim is not None]
    assert (won.job_id, won.attempts, won.status) == (job.id, 1, JobStatus.QUEUED)


def test_a_planned_job_is_not_planned_again(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    assert queue.claim_job(JobStatus.QUEUED) is None


def test_a_job_claim_can_be_limited_to_one_job(database: Database, queue: Queue) -> None:
    aggregating_job(database, queue)
    mine = aggregating_job(database, queue)
    assert queue.claim_job(JobStatus.AGGREGATING, uuid4()) is None
    claim = queue.claim_job(JobStatus.AGGREGATING, mine)
    assert claim is not None and claim.job_id == mine
    assert queue.claim_job(JobStatus.AGGREGATING, mine) is None


def test_a_failed_aggregation_backs_off_and_ends_failed_after_max_attempts(
    database: Database, settings: Settings
) -> None:
    patient = Queue(database, settings.model_copy(update={"retry_base_seconds": 100.0}))
    job_id = aggregating_job(database, patient)
    for attempt in range(1, settings.max_attempts):
        claim = job_claim_of(patient)
        assert claim.attempts == attempt
        assert patient.fail_job(claim, TRY_AGAIN) == JobStatus.AGGREGATING
        assert patient.claim_job(JobStatus.AGGREGATING) is None
        assert job_row(database, job_id)["failures"] == attempt
        sql(database, "UPDATE video_analysis_jobs SET available_at = now()")
    assert patient.fail_job(job_claim_of(patient), TRY_AGAIN) == JobStatus.FAILED
    job = job_row(database, job_id)
    assert (job["status"], job["error_code"], job["error_retryable"]) == ("failed", TRY_AGAIN.code, True)
    assert job["completed_at"] is not None


def test_an_aggregation_whose_worker_died_is_claimed_again_and_fails_in_the_end(
    database: Database, queue: Queue, settings: Settings
) -> None:
    job_id = aggregating_job(database, queue)
    for _ in range(settings.max_attempts):
        job_claim_of(queue)
        assert queue.rescue_expired() == 0
        expire_job(database, job_id)
        assert queue.rescue_expired() == 1
    job = job_row(database, job_id)
    assert (job["status"], job["error_code"], job["attempts"]) == ("failed", "worker_lost", settings.max_attempts)


def test_a_released_aggregation_counts_no_failure(database: Database, queue: Queue, other: Queue) -> None:
    job_id = aggregating_job(database, queue)
    queue.release_job(job_claim_of(queue))
    assert job_row(database, job_id)["failures"] == 0
    finish(other, job_claim_of(other))
    job = job_row(database, job_id)
    assert (job["status"], job["stage"], job["output_uri"]) == ("done", "DONE", "file:///out.mp4")


@pytest.mark.parametrize("act", STALE_JOB_ACTS.values(), ids=STALE_JOB_ACTS)
def test_a_finished_job_is_finished_once(
    database: Database, queue: Queue, act: Callable[[Queue, JobClaim], object]
) -> None:
    aggregating_job(database, queue)
    claim = job_claim_of(queue)
    finish(queue, claim)
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, claim)
    assert everything(database) == before


def test_two_requests_with_one_idempotency_key_make_one_job(database: Database, service: JobService) -> None:
    for number in range(10):
        request = {"kind": "crop", "input_uri": "file:///a.mp4", "input_name": "a.mp4", "idempotency_key": f"k{number}"}
        jobs = together(*[lambda r=request: service.create(NewJob(**r))] * 4)
        assert len({job.id for job in jobs}) == 1, jobs
    assert len(sql(database, "SELECT id FROM video_analysis_jobs")) == 10

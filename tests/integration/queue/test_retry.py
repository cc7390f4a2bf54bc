"""Retry, alone and racing everything else."""

from __future__ import annotations

from backend.db.engine import Database
from backend.errors import ClaimLost, FramefleetError
from backend.jobs.service import JobService
from backend.queue.queue import Queue
from backend.states import DeepMode, JobStatus
from tests.integration.queue.helpers import (
    BROKEN,
    aggregating_job,
    assert_consistent,
    chunk_rows,
    claim_of,
    complete,
    expire_chunk,
    finish,
    job_claim_of,
    job_row,
    planned_job,
    statuses,
    together,
)


def test_retry_puts_back_only_failed_chunks_and_keeps_attempts(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 3)
    complete(queue, claim_of(queue))
    queue.fail_chunk(claim_of(queue), BROKEN)
    done, failed, _ = chunk_rows(database, job_id)
    service.retry(job_id)
    rows = chunk_rows(database, job_id)
    assert rows[0] == done
    assert [row["status"] for row in rows] == ["completed", "queued", "queued"]
    assert (rows[1]["attempts"], rows[1]["failures"], rows[1]["error_code"]) == (failed["attempts"], 0, None)
    job = job_row(database, job_id)
    assert (job["status"], job["stage"], job["error_code"]) == ("queued", "DEEP_QUEUED", None)
    assert (job["completed_chunks"], job["completed_at"]) == (1, None)
    assert complete(queue, claim_of(queue)) == JobStatus.PROCESSING
    assert complete(queue, claim_of(queue)) == JobStatus.AGGREGATING


def test_retry_of_a_failed_aggregation_goes_on_with_the_aggregation(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = aggregating_job(database, queue)
    queue.fail_job(job_claim_of(queue), BROKEN)
    assert job_row(database, job_id)["status"] == "failed"
    service.retry(job_id)
    assert statuses(database, job_id) == ["completed"]
    claim = job_claim_of(queue)
    assert (claim.job_id, claim.attempts) == (job_id, 2)


def test_a_worker_that_died_with_a_job_that_was_retried_since_does_not_strand_the_job(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 2)
    broken, running = claim_of(queue), claim_of(other)
    queue.fail_chunk(broken, BROKEN)
    service.retry(job_id)
    expire_chunk(database, running)
    queue.rescue_expired()
    while (claim := queue.claim_chunk(DeepMode.GPU)) is not None:
        complete(queue, claim)
    assert job_row(database, job_id)["status"] == "aggregating"


def test_retry_racing_rescue_and_claims_never_deadlocks_nor_strands_the_job(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    for _ in range(15):
        job_id = planned_job(database, 4)
        broken, dead = claim_of(queue, job_id), claim_of(other, job_id)
        queue.fail_chunk(broken, BROKEN)
        expire_chunk(database, dead)
        results = together(
            lambda j=job_id: service.retry(j),
            other.rescue_expired,
            lambda j=job_id: queue.claim_chunk(DeepMode.GPU, j),
            lambda j=job_id: other.claim_chunk(DeepMode.GPU, j),
        )
        assert not [result for result in results if isinstance(result, FramefleetError)]
        for claim in results[2:]:
            if claim is not None:
                complete(queue, claim)
        queue.rescue_expired()
        while (claim := queue.claim_chunk(DeepMode.GPU, job_id)) is not None:
            complete(queue, claim)
        assert job_row(database, job_id)["status"] == "aggregating"
        finish(queue, job_claim_of(queue))


def test_two_retries_at_once_count_once(database: Database, queue: Queue, service: JobService) -> None:
    job_id = planned_job(database, 1)
    queue.fail_chunk(claim_of(queue), BROKEN)
    results = together(*[lambda: service.retry(job_id)] * 4)
    assert sorted(getattr(result, "code", "moved") for result in results) == ["invalid_state"] * 3 + ["moved"]


def test_retry_racing_a_completion_neither_loses_it_nor_strands_the_job(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    for _ in range(15):
        job_id = planned_job(database, 3)
        broken, running = claim_of(queue, job_id), claim_of(other, job_id)
        failed, completed = together(lambda c=broken: queue.fail_chunk(c, BROKEN), lambda c=running: complete(other, c))
        assert failed is None
        _, late = together(lambda j=job_id: service.retry(j), lambda c=running: complete(other, c))
        # Once completed it stays so; a completion that came too late for its job is dropped, and its chunk done again.
        assert isinstance(late, ClaimLost)
        assert statuses(database, job_id)[1] == ("queued" if isinstance(completed, ClaimLost) else "completed")
        while (claim := queue.claim_chunk(DeepMode.GPU, job_id)) is not None:
            complete(queue, claim)
        assert_consistent(database, job_id)
        assert job_row(database, job_id)["status"] == "aggregating"
        finish(queue, job_claim_of(queue))

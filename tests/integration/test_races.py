"""Two sessions at one moment, in pairs that tests/integration/queue leaves out: whoever is first, one of them wins."""

from __future__ import annotations

import pytest

from backend.db.engine import Database
from backend.errors import ClaimLost
from backend.jobs.service import JobService
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from tests.integration.queue.helpers import (
    BROKEN,
    TRY_AGAIN,
    aggregating_job,
    assert_consistent,
    chunk_row,
    claim_of,
    complete,
    expire_chunk,
    expire_job,
    finish,
    job_claim_of,
    job_row,
    planned_job,
    statuses,
    together,
)

ROUNDS = 15


@pytest.fixture
def queue(database: Database, settings: Settings) -> Queue:
    return Queue(database, settings.model_copy(update={"worker_id": "first"}))


@pytest.fixture
def other(database: Database, settings: Settings) -> Queue:
    return Queue(database, settings.model_copy(update={"worker_id": "second"}))


def test_retry_and_a_late_completion_at_once_lose_no_chunk(database: Database, queue: Queue, other: Queue) -> None:
    service = JobService(database)
    for _ in range(ROUNDS):
        job_id = planned_job(database, 2)
        broken, late = claim_of(queue, job_id), claim_of(other, job_id)
        queue.fail_chunk(broken, BROKEN)
        completed, retried = together(lambda c=late: complete(other, c), lambda j=job_id: service.retry(j))
        assert isinstance(completed, ClaimLost)  # its job had failed before
        assert retried.status in (JobStatus.QUEUED, JobStatus.PROCESSING)
        assert statuses(database, job_id) == ["queued", "queued"]
        assert [complete(queue, claim_of(queue, job_id)) for _ in range(2)][-1] == JobStatus.AGGREGATING
        assert_consistent(database, job_id)


def test_a_failing_chunk_and_a_completing_one_at_once_leave_a_job_that_retry_brings_to_its_end(
    database: Database, queue: Queue, other: Queue
) -> None:
    service = JobService(database)
    for _ in range(ROUNDS):
        job_id = planned_job(database, 2)
        broken, sound = claim_of(queue, job_id), claim_of(other, job_id)
        together(lambda c=broken: queue.fail_chunk(c, BROKEN), lambda c=sound: complete(other, c))
        assert job_row(database, job_id)["status"] == "failed"
        assert chunk_row(database, broken)["status"] == "failed"
        service.retry(job_id)
        while (claim := queue.claim_chunk(DeepMode.GPU, job_id)) is not None:
            complete(queue, claim)
        assert job_row(database, job_id)["status"] == "aggregating"
        assert_consistent(database, job_id)


def test_a_heartbeat_and_the_rescue_at_once_agree_on_who_holds_the_chunk(
    database: Database, queue: Queue, other: Queue
) -> None:
    for _ in range(ROUNDS):
        job_id = planned_job(database, 1)
        claim = claim_of(queue, job_id)
        expire_chunk(database, claim)
        beat, rescued = together(lambda c=claim: queue.heartbeat_chunk(c, 0.5), other.rescue_expired)
        lost = isinstance(beat, ClaimLost)
        assert rescued == int(lost)
        row = chunk_row(database, claim)
        assert (row["status"], row["failures"]) == (("queued", 1) if lost else ("processing", 0))
        assert_consistent(database, job_id)
        JobService(database).cancel(job_id)


def test_a_failure_and_the_rescue_at_once_count_once(database: Database, queue: Queue, other: Queue) -> None:
    for _ in range(ROUNDS):
        job_id = planned_job(database, 1)
        claim = claim_of(queue, job_id)
        expire_chunk(database, claim)
        failed, rescued = together(lambda c=claim: queue.fail_chunk(c, TRY_AGAIN), other.rescue_expired)
        assert rescued == int(isinstance(failed, ClaimLost))
        row = chunk_row(database, claim)
        assert (row["status"], row["failures"], row["attempts"]) == ("queued", 1, 1)
        JobService(database).cancel(job_id)


def test_an_aggregation_finished_and_rescued_at_once_has_one_outcome(
    database: Database, queue: Queue, other: Queue
) -> None:
    for _ in range(ROUNDS):
        job_id = aggregating_job(database, queue)
        claim = job_claim_of(queue)
        expire_job(database, job_id)
        finished, rescued = together(lambda c=claim: finish(queue, c), other.rescue_expired)
        lost = isinstance(finished, ClaimLost)
        assert rescued == int(lost)
        row = job_row(database, job_id)
        assert (row["status"], row["failures"]) == (("aggregating", 1) if lost else ("done", 0))
        if lost:
            finish(other, job_claim_of(other))


def test_a_job_paused_while_its_film_is_made_ends_without_a_pause(database: Database, queue: Queue) -> None:
    job_id = aggregating_job(database, queue)
    claim = job_claim_of(queue)
    JobService(database).pause(job_id)
    finish(queue, claim)
    assert_consistent(database, job_id)

"""Pause and resume: of a job, of the fleet."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backend.db.engine import Database
from backend.errors import InvalidState
from backend.jobs.resource import job_resources
from backend.jobs.service import JobService, NewJob
from backend.queue.claims import ChunkClaim
from backend.queue.fleet import fleet_state, pause_fleet, resume_fleet
from backend.queue.queue import Queue
from backend.states import DeepMode, JobStatus
from tests.integration.queue.helpers import (
    BROKEN,
    TRY_AGAIN,
    aggregating_job,
    assert_consistent,
    claim_of,
    complete,
    expire_chunk,
    finish,
    job_claim_of,
    job_row,
    planned_job,
    sql,
    statuses,
    together,
)


def test_a_paused_job_is_not_claimed_and_goes_on_where_it_was(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id, other = planned_job(database, 3), planned_job(database, 1)
    running = claim_of(queue, job_id)
    service.pause(job_id)
    assert job_resources(database, [service.get(job_id)])[0]["paused"] is True
    assert claim_of(queue).job_id == other
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert not queue.has_queued(DeepMode.GPU)
    queue.heartbeat_chunk(running, 0.5)
    complete(queue, running)
    service.resume(job_id)
    assert job_resources(database, [service.get(job_id)])[0]["paused"] is False
    assert_consistent(database, job_id)
    assert [complete(queue, claim_of(queue)) for _ in range(2)] == [JobStatus.PROCESSING, JobStatus.AGGREGATING]


PUT_BACK: dict[str, Callable[[Database, Queue, ChunkClaim], object]] = {
    "fail": lambda database, queue, claim: queue.fail_chunk(claim, TRY_AGAIN),
    "release": lambda database, queue, claim: queue.release_chunk(claim),
    "rescue": lambda database, queue, claim: (expire_chunk(database, claim), queue.rescue_expired()),
}


@pytest.mark.parametrize("put_back", PUT_BACK.values(), ids=PUT_BACK)
def test_a_chunk_that_goes_back_to_a_paused_job_waits_for_its_resume(
    database: Database, queue: Queue, service: JobService, put_back: Callable[[Database, Queue, ChunkClaim], object]
) -> None:
    job_id = planned_job(database, 2)
    claim = claim_of(queue)
    service.pause(job_id)
    put_back(database, queue, claim)
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert not queue.has_queued(DeepMode.GPU)
    service.resume(job_id)
    assert {claim_of(queue).chunk_index for _ in range(2)} == {0, 1}


def test_a_chunk_that_went_back_to_a_paused_job_does_not_let_its_tenant_go_first(
    database: Database, queue: Queue, service: JobService
) -> None:
    paused = planned_job(database, 1, tenant="a", priority=1)
    claim = claim_of(queue)
    planned_job(database, 3, tenant="a")
    theirs = planned_job(database, 3, tenant="b")
    service.pause(paused)
    queue.release_chunk(claim)
    assert {claim_of(queue).job_id == theirs for _ in range(2)} == {True, False}
    service.resume(paused)
    assert claim_of(queue).job_id == paused


def test_planning_and_aggregation_of_a_paused_job_wait(database: Database, queue: Queue, service: JobService) -> None:
    unplanned = service.create(NewJob(kind="crop", input_uri="file:///a.mp4", input_name="a.mp4")).id
    finished = aggregating_job(database, queue)
    for job_id, status in ((unplanned, JobStatus.QUEUED), (finished, JobStatus.AGGREGATING)):
        service.pause(job_id)
        assert queue.claim_job(status) is None
        service.resume(job_id)
        assert job_claim_of(queue, status).job_id == job_id


def test_the_last_chunk_of_a_paused_job_hands_it_on_and_it_waits_there(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 1)
    claim = claim_of(queue)
    service.pause(job_id)
    assert complete(queue, claim) == JobStatus.AGGREGATING
    assert queue.claim_job(JobStatus.AGGREGATING) is None
    service.resume(job_id)
    finish(queue, job_claim_of(queue))


def test_a_paused_job_can_be_cancelled(database: Database, queue: Queue, service: JobService) -> None:
    job_id = planned_job(database, 2)
    service.pause(job_id)
    service.cancel(job_id)
    assert statuses(database, job_id) == ["failed", "failed"]
    assert_consistent(database, job_id)
    for act in (service.pause, service.resume):
        with pytest.raises(InvalidState):
            act(job_id)
    assert queue.claim_chunk(DeepMode.GPU) is None


def test_a_job_that_failed_while_it_was_paused_runs_when_it_is_retried(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 3)
    claim = claim_of(queue)
    service.pause(job_id)
    queue.fail_chunk(claim, BROKEN)
    assert_consistent(database, job_id)
    service.retry(job_id)
    for _ in range(3):
        complete(queue, claim_of(queue))
    assert job_row(database, job_id)["status"] == "aggregating"


def test_pausing_and_resuming_twice_change_nothing(database: Database, queue: Queue, service: JobService) -> None:
    job_id = planned_job(database, 2)
    service.pause(job_id)
    since = job_row(database, job_id)["paused_at"]
    service.pause(job_id)
    assert job_row(database, job_id)["paused_at"] == since
    service.resume(job_id)
    service.resume(job_id)
    assert claim_of(queue).job_id == job_id


def test_pause_and_resume_racing_claims_and_releases_strand_no_chunk(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    for _ in range(12):
        job_id = planned_job(database, 4)
        held = claim_of(queue, job_id)
        results = together(
            lambda j=job_id: service.pause(j),
            lambda j=job_id: service.resume(j),
            lambda c=held: queue.release_chunk(c),
            lambda j=job_id: other.claim_chunk(DeepMode.GPU, j),
        )
        assert not [result for result in results if isinstance(result, Exception)], results
        if isinstance(results[3], ChunkClaim):
            other.release_chunk(results[3])
        paused = job_row(database, job_id)["paused_at"] is not None
        assert (queue.claim_chunk(DeepMode.GPU, job_id) is None) == paused
        service.resume(job_id)
        on_hold = "SELECT count(*) AS n FROM video_analysis_chunks WHERE on_hold AND status = 'queued'"
        assert sql(database, on_hold)[0]["n"] == 0
        service.cancel(job_id)
        assert_consistent(database, job_id)


def test_a_paused_fleet_claims_nothing_and_finishes_what_it_has(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 2)
    service.create(NewJob(kind="crop", input_uri="file:///a.mp4", input_name="a.mp4"))
    running = claim_of(queue)
    assert pause_fleet(database, "the store is away").paused
    assert (pause_fleet(database).reason, fleet_state(database).paused) == ("the store is away", True)
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert queue.claim_job(JobStatus.QUEUED) is None
    queue.heartbeat_chunk(running, 0.5)
    complete(queue, running)
    state = resume_fleet(database)
    assert (state.paused, state.reason) == (False, None)
    assert complete(queue, claim_of(queue)) == JobStatus.AGGREGATING
    assert job_claim_of(queue, JobStatus.QUEUED).job_id != job_id

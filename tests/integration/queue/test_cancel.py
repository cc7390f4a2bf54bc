"""Cancel, alone and racing everything else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backend.db.engine import Database
from backend.errors import ClaimLost, FramefleetError
from backend.jobs.service import JobService
from backend.queue.claims import ChunkClaim, JobClaim
from backend.queue.queue import Queue
from backend.states import DeepMode, JobStatus
from tests.integration.queue.helpers import (
    BROKEN,
    STALE_ACTS,
    STALE_JOB_ACTS,
    aggregating_job,
    assert_consistent,
    claim_of,
    complete,
    everything,
    job_claim_of,
    job_row,
    planned_job,
    statuses,
    together,
)


def test_cancel_leaves_nothing_to_claim_and_stops_running_work(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 3)
    complete(queue, claim_of(queue))
    running = claim_of(queue)
    service.cancel(job_id)
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert not queue.has_queued(DeepMode.GPU)
    assert statuses(database, job_id) == ["completed", "processing", "failed"]
    before = everything(database)
    for act in ("heartbeat", "complete"):
        with pytest.raises(ClaimLost):
            STALE_ACTS[act](queue, running)
    assert everything(database) == before


@pytest.mark.parametrize("act", STALE_JOB_ACTS.values(), ids=STALE_JOB_ACTS)
def test_cancel_stops_a_running_aggregation(
    database: Database, queue: Queue, service: JobService, act: Callable[[Queue, JobClaim], object]
) -> None:
    job_id = aggregating_job(database, queue)
    claim = job_claim_of(queue)
    service.cancel(job_id)
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, claim)
    assert everything(database) == before
    assert queue.claim_job(JobStatus.AGGREGATING) is None


def test_cancel_racing_the_last_completions_never_deadlocks(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    for _ in range(25):
        job_id = planned_job(database, 3)
        mine, yours = claim_of(queue, job_id), claim_of(other, job_id)
        *completions, cancelled = together(
            lambda c=mine: complete(queue, c), lambda c=yours: complete(other, c), lambda j=job_id: service.cancel(j)
        )
        assert all(isinstance(result, JobStatus | ClaimLost) for result in completions), completions
        assert cancelled.status == JobStatus.CANCELLED
        assert "queued" not in statuses(database, job_id)
        assert_consistent(database, job_id)


def test_claims_racing_cancel_never_deadlock(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    for _ in range(25):
        job_id = planned_job(database, 4)
        *claims, cancelled = together(
            *[lambda q=q, j=job_id: q.claim_chunk(DeepMode.GPU, j) for q in (queue, other, queue)],
            lambda j=job_id: service.cancel(j),
        )
        assert all(claim is None or isinstance(claim, ChunkClaim) for claim in claims), claims
        assert cancelled.status == JobStatus.CANCELLED
        assert job_row(database, job_id)["status"] == "cancelled"
        assert queue.claim_chunk(DeepMode.GPU, job_id) is None
        for claim in claims:
            if claim is not None:
                with pytest.raises(ClaimLost):
                    queue.heartbeat_chunk(claim, 0.1)
        assert statuses(database, job_id).count("processing") == sum(claim is not None for claim in claims)
        assert_consistent(database, job_id)


def test_failures_racing_claims_and_cancel_never_deadlock(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    for _ in range(25):
        job_id = planned_job(database, 5)
        broken, also_broken = claim_of(queue, job_id), claim_of(other, job_id)
        results = together(
            lambda c=broken: queue.fail_chunk(c, BROKEN),
            lambda c=also_broken: other.fail_chunk(c, BROKEN),
            lambda j=job_id: queue.claim_chunk(DeepMode.GPU, j),
            lambda j=job_id: other.claim_chunk(DeepMode.GPU, j),
            lambda j=job_id: service.cancel(j),
        )
        codes = {result.code for result in results if isinstance(result, FramefleetError)}
        assert codes <= {"claim_lost", "invalid_state"}, results
        assert job_row(database, job_id)["status"] in ("failed", "cancelled")
        assert queue.claim_chunk(DeepMode.GPU, job_id) is None
        assert_consistent(database, job_id)

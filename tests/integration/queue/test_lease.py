"""Heartbeats, progress, and what a worker may still do whose lease has run out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from backend.db.engine import Database
from backend.db.sql import statement
from backend.errors import ClaimLost
from backend.jobs.service import JobService
from backend.queue.claims import JobClaim
from backend.queue.queue import Queue
from backend.states import DeepMode, JobStatus, Stage
from tests.integration.queue.helpers import (
    BROKEN,
    STALE_ACTS,
    STALE_JOB_ACTS,
    TRY_AGAIN,
    StaleAct,
    aggregating_job,
    assert_consistent,
    chunk_row,
    claim_of,
    complete,
    everything,
    expire_chunk,
    expire_job,
    finish,
    job_claim_of,
    job_row,
    pct,
    planned_job,
    statuses,
    together,
)


def test_a_heartbeat_extends_the_lease_and_keeps_the_best_progress(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    claim = claim_of(queue)
    expire_chunk(database, claim)
    queue.heartbeat_chunk(claim, 0.6)
    queue.heartbeat_chunk(claim, 0.2)
    assert chunk_row(database, claim)["progress"] == 0.6
    assert queue.rescue_expired() == 0


def test_heartbeats_rewrite_the_row_in_place_and_touch_no_index(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    claim = claim_of(queue)
    params = {"chunk_id": claim.chunk_id, "attempts": 1, "progress": 0.5, "lease_seconds": 60, "last_event": "decoded"}
    with database.transaction() as connection:
        connection.execute(statement("heartbeat_chunk"), params)
        query = "SELECT pg_stat_get_xact_tuples_hot_updated('video_analysis_chunks'::regclass)"
        assert connection.execute(text(query)).scalar_one() == 1


def test_progress_never_falls_over_failure_rescue_and_retry(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 3)
    seen = [pct(database, job_id)]

    def look() -> None:
        seen.append(pct(database, job_id))
        assert_consistent(database, job_id)

    complete(queue, claim_of(queue))
    look()
    claim = claim_of(queue)
    queue.heartbeat_chunk(claim, 0.9)
    look()
    expire_chunk(database, claim)
    queue.rescue_expired()
    look()
    claim = claim_of(queue)
    queue.heartbeat_chunk(claim, 0.1)
    look()
    queue.fail_chunk(claim, BROKEN)
    look()
    service.retry(job_id)
    look()
    while (again := queue.claim_chunk(DeepMode.GPU)) is not None:
        look()
        complete(queue, again)
        look()
    aggregation = job_claim_of(queue)
    queue.heartbeat_job(aggregation, 0.8, Stage.RENDERING)
    look()
    queue.fail_job(aggregation, TRY_AGAIN)
    look()
    aggregation = job_claim_of(queue)
    queue.heartbeat_job(aggregation, 0.0)
    look()
    assert max(seen) < 100
    finish(queue, aggregation)
    look()
    assert seen == sorted(seen)
    assert seen[-1] == 100


@pytest.mark.parametrize("act", STALE_ACTS.values(), ids=STALE_ACTS)
def test_stale_worker_changes_nothing_of_a_rescued_and_reclaimed_chunk(
    database: Database, queue: Queue, other: Queue, act: StaleAct
) -> None:
    planned_job(database, 2)
    stale = claim_of(queue)
    expire_chunk(database, stale)
    assert other.rescue_expired() == 1
    fresh = claim_of(other)
    assert (fresh.chunk_id, fresh.attempts) == (stale.chunk_id, stale.attempts + 1)
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, stale)
    assert everything(database) == before
    assert complete(other, fresh) == JobStatus.PROCESSING


@pytest.mark.fence
@pytest.mark.parametrize("act", STALE_ACTS.values(), ids=STALE_ACTS)
def test_stale_worker_changes_nothing_of_a_rescued_chunk_that_waits(
    database: Database, queue: Queue, act: StaleAct
) -> None:
    planned_job(database, 1)
    stale = claim_of(queue)
    expire_chunk(database, stale)
    queue.rescue_expired()
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, stale)
    assert everything(database) == before


@pytest.mark.fence
@pytest.mark.parametrize("act", STALE_ACTS.values(), ids=STALE_ACTS)
def test_a_finished_chunk_is_finished_once(database: Database, queue: Queue, act: StaleAct) -> None:
    planned_job(database, 2)
    claim = claim_of(queue)
    complete(queue, claim)
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, claim)
    assert everything(database) == before


@pytest.mark.parametrize("act", STALE_JOB_ACTS.values(), ids=STALE_JOB_ACTS)
def test_stale_aggregator_changes_nothing_of_a_reclaimed_job(
    database: Database, queue: Queue, other: Queue, act: Callable[[Queue, JobClaim], object]
) -> None:
    job_id = aggregating_job(database, queue)
    stale = job_claim_of(queue)
    expire_job(database, job_id)
    assert other.rescue_expired() == 1
    fresh = job_claim_of(other)
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, stale)
    assert everything(database) == before
    finish(other, fresh)
    assert job_row(database, job_id)["status"] == "done"


def test_rescue_and_complete_at_once_leave_one_winner(database: Database, queue: Queue, other: Queue) -> None:
    for _ in range(15):
        job_id = planned_job(database, 1)
        claim = claim_of(queue)
        expire_chunk(database, claim)
        completed, rescued = together(lambda c=claim: complete(queue, c), other.rescue_expired)
        lost = isinstance(completed, ClaimLost)
        assert rescued == int(lost)
        assert statuses(database, job_id) == (["queued"] if lost else ["completed"])
        assert_consistent(database, job_id)
        JobService(database).cancel(job_id)

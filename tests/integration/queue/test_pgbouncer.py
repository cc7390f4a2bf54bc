"""Through PgBouncer in transaction mode: each transaction may run on another server connection."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.db.engine import Database
from backend.errors import ClaimLost
from backend.jobs.service import JobService
from backend.queue.fleet import pause_fleet, resume_fleet
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from tests.integration.queue.helpers import (
    BROKEN,
    STALE_ACTS,
    TRY_AGAIN,
    assert_consistent,
    claim_of,
    complete,
    expire_chunk,
    finish,
    job_claim_of,
    job_row,
    planned_job,
    together,
)
from tests.integration.queue.pooler import through_pooler

# Fewer than workers: their transactions take turns on these.
SERVER_CONNECTIONS = 3


@pytest.fixture
def pooled(database_url: str, tmp_path: Path) -> Iterator[Database]:
    with through_pooler(database_url, tmp_path, SERVER_CONNECTIONS) as database:
        yield database


def test_the_whole_life_of_a_job_through_a_pooler(pooled: Database, settings: Settings) -> None:
    queue, service = Queue(pooled, settings), JobService(pooled)
    for _ in range(3):  # often enough that a direct connection would have prepared its statements
        job_id = planned_job(pooled, 4)
        stale = claim_of(queue)
        expire_chunk(pooled, stale)
        assert queue.rescue_expired() == 1
        for act in STALE_ACTS.values():
            with pytest.raises(ClaimLost):
                act(queue, stale)
        queue.fail_chunk(claim_of(queue), TRY_AGAIN)
        queue.release_chunk(claim_of(queue))
        service.pause(job_id)
        pause_fleet(pooled)
        assert queue.claim_chunk(DeepMode.GPU) is None
        resume_fleet(pooled)
        service.resume(job_id)
        queue.fail_chunk(claim_of(queue), BROKEN)
        service.retry(job_id)
        while (claim := queue.claim_chunk(DeepMode.GPU)) is not None:
            queue.heartbeat_chunk(claim, 0.5)
            complete(queue, claim)
        finish(queue, job_claim_of(queue))
        assert_consistent(pooled, job_id)
        service.cancel(planned_job(pooled, 2))


def test_many_workers_share_few_server_connections_and_no_chunk(pooled: Database, settings: Settings) -> None:
    job_id = planned_job(pooled, 60)
    capped = settings.model_copy(update={"tenant_max_chunks_in_work": 5})

    def work(name: str) -> list[tuple[int, JobStatus]]:
        queue = Queue(pooled, capped.model_copy(update={"worker_id": name}))
        done = []
        while queue.has_queued(DeepMode.GPU):
            claim = queue.claim_chunk(DeepMode.GPU)
            if claim is not None:
                done.append((claim.chunk_id, complete(queue, claim)))
        return done

    results = [item for share in together(*(lambda n=n: work(f"w{n}") for n in range(8))) for item in share]
    assert len({chunk for chunk, _ in results}) == len(results) == 60
    assert Counter(status for _, status in results)[JobStatus.AGGREGATING] <= 1
    Queue(pooled, settings).rescue_expired()  # see test_fan_in.py
    assert job_row(pooled, job_id)["status"] == JobStatus.AGGREGATING
    assert_consistent(pooled, job_id)


@pytest.mark.skipif(bool(os.environ.get("QUEUE_THROUGH_PGBOUNCER")), reason="nothing is direct then")
def test_a_pooled_connection_prepares_and_sets_nothing_and_a_direct_one_does(
    pooled: Database, database: Database
) -> None:
    for database_, prepares in ((pooled, False), (database, True)):
        with database_.transaction() as connection:
            driver = connection.connection.driver_connection
            assert (driver is not None and driver.prepare_threshold is not None) == prepares
            bounded = connection.exec_driver_sql("SHOW statement_timeout").scalar_one() != "0"
            assert bounded == prepares
        asker = database_._asker()
        assert (asker.connection.prepare_threshold is not None) == prepares
        asker.connection.close()


def test_a_long_statement_has_its_own_time_through_a_pooler_and_leaves_none_behind(pooled: Database) -> None:
    with pooled.transaction(patience_sec=50) as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "40s"
    for _ in range(SERVER_CONNECTIONS):
        with pooled.transaction() as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "0"

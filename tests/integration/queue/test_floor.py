"""The floor of a lane makes claims fast; it must never lose a chunk, whoever queues one and whatever races it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, text

from backend.db.engine import Database
from backend.db.sql import statement
from backend.jobs.service import JobService
from backend.queue import lanes
from backend.queue.claims import ChunkClaim
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from benchmarks.queue_load import load_finished, load_queued
from tests.integration.queue.helpers import (
    BROKEN,
    TRY_AGAIN,
    assert_floor,
    claim_of,
    complete,
    expire_chunk,
    planned_job,
    sql,
    together,
)

GPU_DEFAULT = {"deep_mode": "gpu", "tenant": "default"}
PUT_BACK: dict[str, Callable[[Database, Queue, ChunkClaim], object]] = {
    "fail": lambda database, queue, claim: queue.fail_chunk(claim, TRY_AGAIN),
    "release": lambda database, queue, claim: queue.release_chunk(claim),
    "rescue": lambda database, queue, claim: (expire_chunk(database, claim), queue.rescue_expired()),
    "retry": lambda database, queue, claim: (
        queue.fail_chunk(claim, BROKEN), JobService(database).retry(claim.job_id)
    ),
}  # fmt: skip


def floor(database: Database) -> int | None:
    query = "SELECT floor_rank FROM queue_lanes WHERE deep_mode = 'gpu' AND tenant = 'default'"
    rank: int | None = sql(database, query)[0]["floor_rank"]
    return rank


def let_time_pass(database: Database, seconds: int = 60) -> None:
    """For floors, which are not looked at again at once."""
    ago = f"now() - interval '{seconds} seconds'"
    sql(database, f"UPDATE queue_lanes SET raised_at = {ago}, checked_at = {ago}")


def raise_now(database: Database) -> None:
    let_time_pass(database)
    while lanes.raise_floor(database):
        continue


@contextmanager
def held_open(database: Database) -> Iterator[Connection]:
    with database.transaction() as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        connection.execute(text("SELECT count(*) FROM video_analysis_chunks"))
        yield connection


def buffers_of_a_claim(database: Database) -> int:
    query = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement("claim_chunk").text
    params = {"deep_mode": "gpu", "job_id": None, "tenant_cap": None, "full": [], "worker_id": "w", "lease_seconds": 60}
    params |= {"kinds": ["crop"], "schema_version": 2, "has": [], "cap_seconds": 300}
    with database.transaction() as connection:
        plan = connection.execute(text(query), params).scalar_one()
        connection.rollback()
    top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def test_the_floor_follows_the_claims_and_an_empty_lane_has_none(database: Database, queue: Queue) -> None:
    planned_job(database, 3)
    assert floor(database) == 0
    for expected in (1, 2, None):
        complete(queue, claim_of(queue))
        raise_now(database)
        assert floor(database) == expected
    planned_job(database, 1)
    claim_of(queue)


@pytest.mark.parametrize("put_back", PUT_BACK.values(), ids=PUT_BACK)
def test_a_chunk_that_goes_back_below_the_floor_is_found_again(
    database: Database, queue: Queue, put_back: Callable[[Database, Queue, ChunkClaim], object]
) -> None:
    planned_job(database, 1)
    claim = claim_of(queue)
    raise_now(database)
    assert floor(database) is None
    put_back(database, queue, claim)
    assert_floor(database)
    assert claim_of(queue).chunk_id == claim.chunk_id


def test_a_plan_that_commits_late_is_found(database: Database, queue: Queue) -> None:
    """Its chunks' ranks were chosen before others were claimed and the floor rose past them."""
    planned_job(database, 20)
    with database.transaction() as late:
        late.execute(
            text("INSERT INTO video_analysis_chunks (job_id, chunk_index, start_sec, end_sec, start_pts, end_pts,"
                 " claim_rank) SELECT job_id, 99, 0, 1, 0, 1, 0 FROM video_analysis_chunks LIMIT 1")
        )  # fmt: skip
        for _ in range(10):
            complete(queue, claim_of(queue))
        raise_now(database)
        assert floor(database) == 10
        lanes.lower_floor(late, rank=0, **GPU_DEFAULT)
    assert claim_of(queue).chunk_index == 99


def test_refreshes_racing_puts_back_and_plans_never_lose_a_chunk(
    database: Database, queue: Queue, other: Queue
) -> None:
    for _ in range(15):
        planned_job(database, 3)
        released, failed = claim_of(queue), claim_of(queue)
        let_time_pass(database)
        results = together(
            lambda: lanes.raise_floor(database),
            lambda c=released: queue.release_chunk(c),
            lambda: lanes.raise_floor(database),
            lambda c=failed: other.fail_chunk(c, TRY_AGAIN),
            lambda: planned_job(database, 1),
        )
        assert not [result for result in results if isinstance(result, Exception)], results
        assert_floor(database)
        for _ in range(4):
            complete(queue, claim_of(queue))
        assert queue.claim_chunk(DeepMode.GPU) is None


def test_a_chunk_that_somebody_queued_by_hand_is_found_within_the_check(database: Database, queue: Queue) -> None:
    planned_job(database, 2)
    claim_of(queue)
    complete(queue, claim_of(queue))
    raise_now(database)
    sql(database, "UPDATE video_analysis_chunks SET status = 'queued', lease_expires_at = NULL WHERE chunk_index = 0")
    assert queue.claim_chunk(DeepMode.GPU) is None
    queue.rescue_expired()
    assert queue.claim_chunk(DeepMode.GPU) is None
    let_time_pass(database, int(lanes.CHECK_EVERY_SEC) + 1)
    queue.rescue_expired()
    assert claim_of(queue).chunk_index == 0


def test_a_claim_does_not_walk_over_the_dead_while_a_transaction_is_held_open(database: Database, queue: Queue) -> None:
    planned_job(database, 3000)
    raise_now(database)
    before = buffers_of_a_claim(database)
    with held_open(database):
        sql(database, "UPDATE video_analysis_chunks SET status = 'completed' WHERE chunk_index < 2900")
        walking = buffers_of_a_claim(database)
        raise_now(database)
        after = buffers_of_a_claim(database)
    assert walking > before * 5
    assert after <= before + 20


def test_who_claims_raises_the_floor_when_it_tends_and_not_in_the_claim(
    database: Database, queue: Queue, other: Queue
) -> None:
    planned_job(database, 5)
    for tending in (queue, other):
        tending.tend()  # no sweep is due from here on
    complete(queue, claim_of(queue))
    let_time_pass(database, 2)
    complete(queue, claim_of(queue))
    other.tend()  # nothing told it
    assert floor(database) == 0
    queue.tend()
    assert floor(database) == 2


def test_every_claim_takes_the_partial_index_among_100_000_chunks(database: Database, queue: Queue) -> None:
    planned_job(database, 10)
    planned_job(database, 1, tenant="other")
    status = "CASE WHEN n % 2 = 0 THEN 'queued' ELSE 'completed' END"
    sql(database, "INSERT INTO video_analysis_chunks (job_id, chunk_index, start_sec, end_sec, start_pts, end_pts,"
                  f" claim_rank, status) SELECT j.id, n, 0, 1, 0, 1, n, {status}"
                  " FROM (SELECT id FROM video_analysis_jobs LIMIT 1) j, generate_series(100, 100100) n")  # fmt: skip
    sql(database, "ANALYZE video_analysis_chunks")
    params = {"deep_mode": "gpu", "job_id": None, "tenant_cap": 5, "full": [], "worker_id": "w", "lease_seconds": 60}
    params |= {"kinds": ["crop"], "schema_version": 2, "has": [], "cap_seconds": 300}
    with database.transaction() as connection:
        plan = connection.execute(text("EXPLAIN " + statement("claim_chunk").text), params).scalars().all()
    chunk_scans = [line for line in plan if " Scan" in line and "video_analysis_chunks" in line]
    assert sum("Index Scan using ix_chunks_claim" in line for line in chunk_scans) == 2, "\n".join(plan)
    assert not [line for line in plan if "Seq Scan on video_analysis_chunks" in line], "\n".join(plan)
    assert complete(queue, claim_of(queue)) == JobStatus.PROCESSING


def test_a_claim_is_planned_once_and_not_each_time(database: Database, database_url: str, settings: Settings) -> None:
    """Planning costs more than the claim; a server keeps a plan only where it looks no worse than a fresh one."""
    planned_job(database, 40)
    planned_job(database, 40, tenant="other")
    own = Database(database_url, pool_size=1)
    queue = Queue(own, settings)
    for _ in range(20):
        complete(queue, claim_of(queue))
    query = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'WITH%candidate%'"
    asker = own._asker()  # only the connection that claimed knows
    plans = asker.execute(query.encode()).fetchone()
    asker.connection.close()
    own.close()
    assert plans is not None and plans[0] >= 10, plans


@pytest.mark.parametrize("name", ["rescue_chunks", "rescue_jobs", "advance_finished", "stop_stranded_chunks"])
def test_a_sweep_does_not_walk_over_the_queue(
    database: Database, database_url: str, queue: Queue, service: JobService, settings: Settings, name: str
) -> None:
    """One worker sweeps every five seconds. The statistics know of no queued chunk: a queue fills quickly."""
    load_finished(database_url, 20_000)  # and a VACUUM (ANALYZE)
    load_queued(database_url, 20_000)
    service.cancel(planned_job(database, 1))
    claim_of(queue)
    backoff = {"max_attempts": 5, "base_seconds": 2, "cap_seconds": 300, "lease_seconds": settings.lease_seconds}
    explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
    with database.transaction() as connection:
        (answer,) = connection.execute(text(explain + statement(name).text), backoff).scalar_one()
        connection.rollback()
    assert answer["Plan"]["Shared Hit Blocks"] + answer["Plan"]["Shared Read Blocks"] < 200, answer

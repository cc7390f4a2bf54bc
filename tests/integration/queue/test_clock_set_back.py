"""The database's clock is set back by an hour, as by a failover: every stored time lies ahead then."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import DateTime

from backend.db.engine import Database
from backend.db.models import Base
from backend.queue import lanes
from backend.queue.figures import list_workers, read_figures
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from backend.workers.vitals import presence
from tests.integration.conftest import wait_until
from tests.integration.queue.helpers import (
    TRY_AGAIN,
    aggregating_job,
    chunk_row,
    claim_of,
    complete,
    finish,
    job_claim_of,
    job_row,
    planned_job,
    sql,
)

LEASE_SEC = 1.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"lease_seconds": LEASE_SEC, "retry_base_seconds": 30.0})


def set_clock_back(database: Database) -> None:
    for table in Base.metadata.sorted_tables:
        times = [column.name for column in table.columns if isinstance(column.type, DateTime)]
        if times:
            shifts = ", ".join(f"{name} = {name} + interval '1 hour'" for name in times)
            sql(database, f"UPDATE {table.name} SET {shifts}")


def test_what_waits_is_claimed_at_once(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    failed = claim_of(queue)
    queue.fail_chunk(failed, TRY_AGAIN)
    job_id = planned_job(database, 1)
    set_clock_back(database)
    assert {claim_of(queue).job_id, claim_of(queue).job_id} == {failed.job_id, job_id}


def test_a_pause_after_a_failure_is_kept_where_the_clock_was_not_touched(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    queue.fail_chunk(claim_of(queue), TRY_AGAIN)
    assert queue.claim_chunk(DeepMode.GPU) is None


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.AGGREGATING])
def test_a_job_is_planned_and_joined_at_once(database: Database, queue: Queue, status: JobStatus) -> None:
    job_id = aggregating_job(database, queue)
    if status is JobStatus.QUEUED:
        sql(database, "UPDATE video_analysis_jobs SET status = 'queued', total_chunks = NULL")
    set_clock_back(database)
    assert database.ask("any_job_waiting", cap_seconds=300, kinds=["crop"], schema_version=1) is not None
    assert job_claim_of(queue, status).job_id == job_id


def test_what_a_dead_worker_held_is_taken_back_after_a_lease_and_a_living_one_keeps_its_own(
    database: Database, queue: Queue, other: Queue
) -> None:
    job_id = planned_job(database, 2)
    dead, living = claim_of(other), claim_of(queue)
    set_clock_back(database)
    queue.tend()
    until = time.monotonic() + 1.5 * LEASE_SEC
    while time.monotonic() < until:
        queue.heartbeat_chunk(living, 0.5)
        time.sleep(LEASE_SEC / 5)
    assert queue.rescue_expired() == 1
    assert chunk_row(database, dead)["status"] == "queued"
    complete(queue, living)
    sql(database, "UPDATE video_analysis_chunks SET available_at = now() WHERE status = 'queued'")
    complete(queue, claim_of(queue))
    assert job_row(database, job_id)["status"] == "aggregating"


def test_a_film_whose_worker_died_is_made_by_another_after_a_lease(
    database: Database, queue: Queue, other: Queue
) -> None:
    job_id = aggregating_job(database, queue)
    job_claim_of(other)
    set_clock_back(database)
    queue.tend()
    time.sleep(1.2 * LEASE_SEC)
    assert queue.rescue_expired() == 1
    sql(database, "UPDATE video_analysis_jobs SET available_at = now()")
    finish(queue, job_claim_of(queue))
    assert job_row(database, job_id)["status"] == "done"


def test_leases_of_a_worker_with_somewhat_longer_ones_are_left_alone(
    database: Database, queue: Queue, settings: Settings
) -> None:
    planned_job(database, 1)
    patient = Queue(database, settings.model_copy(update={"lease_seconds": 240.0}))
    claim = claim_of(patient)
    before = chunk_row(database, claim)["lease_expires_at"]
    assert queue.rescue_expired() == 0
    assert chunk_row(database, claim)["lease_expires_at"] == before


def test_the_floors_of_the_lanes_go_on_rising(database: Database, queue: Queue) -> None:
    planned_job(database, 3)
    claim_of(queue)
    floor = "SELECT floor_rank FROM queue_lanes WHERE deep_mode = 'gpu'"
    (before,) = sql(database, floor)
    set_clock_back(database)
    claim_of(queue)  # finds the floor stale
    queue.tend()
    (after,) = sql(database, floor)
    assert after["floor_rank"] > before["floor_rank"]
    assert not lanes.raise_floor(database), "its time is right again, so it is not due at once"


def test_the_metrics_are_sent_on(database: Database) -> None:
    turn = {"sink": "cloudwatch", "worker_id": "w1", "lock_key": 1, "turn_seconds": 1e9}
    assert database.ask("take_metrics_turn", **turn) is not None
    set_clock_back(database)
    assert database.ask("take_metrics_turn", **turn) is not None
    assert database.ask("take_metrics_turn", **turn) is None


def test_a_worker_that_died_is_not_counted_and_one_that_lives_is(database: Database, settings: Settings) -> None:
    sql(database, "INSERT INTO workers (worker_id, kind) VALUES ('dead', 'gpu_chunk_worker')")
    set_clock_back(database)
    assert read_figures(database).running_workers == 0
    (dead,) = list_workers(database)
    assert dead["state"] == "silent"
    with presence("gpu_chunk_worker", settings, database):
        wait_until(lambda: read_figures(database).running_workers == 1, 60, "the living worker")

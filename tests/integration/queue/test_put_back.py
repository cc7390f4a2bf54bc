"""What a worker puts back because its surroundings failed: nothing counts against the work, and it does not bounce."""

from __future__ import annotations

from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.queue.queue import Queue
from backend.queue.verbs import PUT_BACK
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from tests.integration.queue.helpers import (
    STORE_AWAY,
    aggregating_job,
    assert_consistent,
    chunk_row,
    claim_of,
    complete,
    finish,
    job_claim_of,
    job_row,
    planned_job,
    sql,
)

DUE_CHUNKS = "UPDATE video_analysis_chunks SET available_at = now()"
DUE_JOBS = "UPDATE video_analysis_jobs SET available_at = now()"


def wait_sec(database: Database, table: str) -> float:
    return float(sql(database, f"SELECT extract(epoch FROM available_at - now()) AS sec FROM {table}")[0]["sec"])


def test_a_chunk_outlives_far_more_tries_than_it_may_fail(
    database: Database, queue: Queue, other: Queue, settings: Settings
) -> None:
    job_id = planned_job(database, 1)
    for _ in range(4 * settings.max_attempts):
        claim = claim_of(queue)
        assert queue.put_back_chunk(claim, STORE_AWAY) == "queued"
        sql(database, DUE_CHUNKS)
    row = chunk_row(database, claim)
    assert (row["failures"], row["put_backs"], row["claimed_by"]) == (0, 4 * settings.max_attempts, None)
    assert (row["error_code"], row["error_message"]) == ("storage_error", STORE_AWAY.message)
    assert complete(other, claim_of(other)) == JobStatus.AGGREGATING
    assert chunk_row(database, claim)["error_code"] is None
    assert_consistent(database, job_id)


def test_what_is_put_back_waits_longer_each_time_up_to_half_a_minute(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    for longest_sec in (1, 2, 4, 8, 16, 30, 30):
        queue.put_back_chunk(claim_of(queue), STORE_AWAY)
        assert queue.claim_chunk(DeepMode.GPU) is None
        assert longest_sec / 2 - 0.5 <= wait_sec(database, "video_analysis_chunks") <= longest_sec
        sql(database, DUE_CHUNKS)


def test_trouble_that_no_outage_explains_is_the_chunks_own(database: Database, queue: Queue) -> None:
    job_id = planned_job(database, 2)
    sql(database, f"UPDATE video_analysis_chunks SET put_backs = {PUT_BACK['max_put_backs'] - 1}")
    assert queue.put_back_chunk(claim_of(queue), STORE_AWAY) == "failed"
    job = job_row(database, job_id)
    assert (job["status"], job["error_code"], job["error_retryable"]) == ("failed", "storage_error", True)
    JobService(database).retry(job_id)
    assert [row["put_backs"] for row in sql(database, "SELECT put_backs FROM video_analysis_chunks")] == [0, 0]


def test_a_chunk_of_a_job_that_is_over_is_not_put_back_into_the_queue(database: Database, queue: Queue) -> None:
    job_id = planned_job(database, 1)
    claim = claim_of(queue)
    JobService(database).cancel(job_id)
    assert queue.put_back_chunk(claim, STORE_AWAY) == "failed"
    assert job_row(database, job_id)["status"] == "cancelled"


def test_an_aggregation_outlives_far_more_tries_than_it_may_fail(
    database: Database, queue: Queue, other: Queue, settings: Settings
) -> None:
    job_id = aggregating_job(database, queue)
    for _ in range(4 * settings.max_attempts):
        assert queue.put_back_job(job_claim_of(queue), STORE_AWAY) == JobStatus.AGGREGATING
        assert queue.claim_job(JobStatus.AGGREGATING) is None
        sql(database, DUE_JOBS)
    assert job_row(database, job_id)["failures"] == 0
    finish(other, job_claim_of(other))
    job = job_row(database, job_id)
    assert (job["status"], job["error_code"]) == ("done", None)


def test_an_aggregation_fails_when_no_outage_explains_its_trouble(database: Database, queue: Queue) -> None:
    job_id = aggregating_job(database, queue)
    sql(database, f"UPDATE video_analysis_jobs SET put_backs = {PUT_BACK['max_put_backs'] - 1}")
    assert queue.put_back_job(job_claim_of(queue), STORE_AWAY) == JobStatus.FAILED
    assert job_row(database, job_id)["error_code"] == "storage_error"

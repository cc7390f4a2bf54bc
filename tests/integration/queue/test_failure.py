"""Rescue, failure, release."""

from __future__ import annotations

import contextlib

import pytest

from backend.db.engine import Database
from backend.errors import ClaimLost, MediaUndecodable, SandboxCrashed
from backend.events import Event
from backend.jobs.service import JobService
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from tests.integration.queue.helpers import (
    BROKEN,
    STALE_ACTS,
    TRY_AGAIN,
    assert_consistent,
    chunk_row,
    claim_of,
    complete,
    expire_chunk,
    job_row,
    planned_job,
    sql,
    statuses,
    together,
)


def test_a_dead_workers_chunk_does_not_stay_processing_for_ever(database: Database, queue: Queue) -> None:
    job_id = planned_job(database, 2)
    claim, living = claim_of(queue), claim_of(queue)
    expire_chunk(database, claim)
    before = chunk_row(database, living)
    assert queue.rescue_expired() == 1
    row = chunk_row(database, claim)
    assert (row["status"], row["failures"], row["claimed_by"]) == ("queued", 1, None)
    assert (row["error_code"], "first" in row["error_message"]) == ("worker_lost", True)
    assert chunk_row(database, living) == before
    assert job_row(database, job_id)["status"] == "processing"
    assert queue.rescue_expired() == 0


def test_rescue_fails_chunk_and_job_after_the_last_attempt(
    database: Database, queue: Queue, settings: Settings
) -> None:
    job_id = planned_job(database, 2)
    for attempt in range(1, settings.max_attempts + 1):
        claim = claim_of(queue)
        assert (claim.chunk_index, claim.attempts) == (0, attempt)
        expire_chunk(database, claim)
        assert queue.rescue_expired() == 1
    assert chunk_row(database, claim)["failures"] == settings.max_attempts
    assert statuses(database, job_id) == ["failed", "failed"]
    job = job_row(database, job_id)
    assert (job["status"], job["error_code"], job["error_retryable"]) == ("failed", "worker_lost", True)
    assert "first" in job["error_message"] and job["completed_at"] is not None
    assert queue.claim_chunk(DeepMode.GPU) is None


def test_two_rescuers_count_one_failure(database: Database, queue: Queue, other: Queue) -> None:
    planned_job(database, 20)
    claims = [claim_of(queue) for _ in range(20)]
    sql(database, "UPDATE video_analysis_chunks SET lease_expires_at = now() - interval '1 second'")
    assert sum(together(*[queue.rescue_expired, other.rescue_expired] * 3)) == 20
    assert {chunk_row(database, claim)["failures"] for claim in claims} == {1}


def test_a_failed_chunk_is_retried_by_itself_after_pauses_that_double(database: Database, settings: Settings) -> None:
    patient = Queue(database, settings.model_copy(update={"retry_base_seconds": 10.0, "retry_cap_seconds": 35.0}))
    planned_job(database, 1)
    for failures, longest_sec in enumerate((10, 20, 35, 35), start=1):
        claim = claim_of(patient)
        patient.fail_chunk(claim, TRY_AGAIN)
        assert patient.claim_chunk(DeepMode.GPU) is None
        (wait,) = sql(database, "SELECT extract(epoch FROM available_at - now()) AS sec FROM video_analysis_chunks")
        assert longest_sec / 2 - 2 <= wait["sec"] <= longest_sec
        row = chunk_row(database, claim)
        assert (row["status"], row["failures"], row["error_code"]) == ("queued", failures, TRY_AGAIN.code)
        sql(database, "UPDATE video_analysis_chunks SET available_at = now()")


def test_a_retryable_failure_ends_the_job_after_max_attempts(
    database: Database, queue: Queue, settings: Settings
) -> None:
    job_id = planned_job(database, 1)
    for _ in range(settings.max_attempts - 1):
        queue.fail_chunk(claim_of(queue), TRY_AGAIN)
        assert job_row(database, job_id)["status"] == "processing"
    queue.fail_chunk(claim_of(queue), TRY_AGAIN)
    job = job_row(database, job_id)
    assert (job["status"], job["error_code"], job["error_retryable"]) == ("failed", TRY_AGAIN.code, True)
    assert job["error_message"] == TRY_AGAIN.message


def test_a_permanent_error_fails_chunk_and_job_at_once(database: Database, queue: Queue, other: Queue) -> None:
    job_id, untouched = planned_job(database, 4), planned_job(database, 1)
    complete(queue, claim_of(queue, job_id))
    broken, running = claim_of(queue, job_id), claim_of(other, job_id)
    queue.fail_chunk(broken, BROKEN)
    assert statuses(database, job_id) == ["completed", "failed", "processing", "failed"]
    job = job_row(database, job_id)
    assert (job["status"], job["error_code"], job["error_retryable"]) == ("failed", "media_undecodable", False)
    assert job["error_message"] == BROKEN.message
    assert queue.claim_chunk(DeepMode.GPU, job_id) is None
    for act in (STALE_ACTS["heartbeat"], STALE_ACTS["complete"]):
        with pytest.raises(ClaimLost):
            act(other, running)
    assert claim_of(queue).job_id == untouched
    assert_consistent(database, job_id)


def test_the_job_keeps_the_first_error(database: Database, queue: Queue, other: Queue) -> None:
    job_id = planned_job(database, 2)
    first, second = claim_of(queue), claim_of(other)
    queue.fail_chunk(first, BROKEN)
    other.fail_chunk(second, MediaUndecodable("Later."))
    assert job_row(database, job_id)["error_message"] == BROKEN.message


def test_a_released_chunk_is_claimable_at_once_and_counts_no_failure(
    database: Database, queue: Queue, other: Queue, settings: Settings
) -> None:
    planned_job(database, 1)
    for _ in range(settings.max_attempts + 3):
        claim = claim_of(queue)
        queue.release_chunk(claim)
    row = chunk_row(database, claim)
    assert (row["status"], row["failures"], row["attempts"]) == ("queued", 0, settings.max_attempts + 3)
    assert complete(other, claim_of(other)) == JobStatus.AGGREGATING


def test_a_chunk_of_a_job_that_is_over_is_not_rescued_into_the_queue(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 1)
    claim = claim_of(queue)
    service.cancel(job_id)
    expire_chunk(database, claim)
    assert queue.rescue_expired() == 1
    assert statuses(database, job_id) == ["failed"]
    assert job_row(database, job_id)["status"] == "cancelled"


@pytest.mark.parametrize("act", ["fail", "release"])
def test_a_chunk_of_a_cancelled_job_does_not_go_back_to_the_queue(
    database: Database, queue: Queue, service: JobService, act: str
) -> None:
    job_id = planned_job(database, 1)
    claim = claim_of(queue)
    service.cancel(job_id)
    with contextlib.suppress(ClaimLost):
        STALE_ACTS[act](queue, claim)
    assert "queued" not in statuses(database, job_id)


def test_a_chunk_that_kills_its_workers_is_failed_for_good_with_what_is_known(
    database: Database, queue: Queue, settings: Settings
) -> None:
    job_id = planned_job(database, 1)
    for _ in range(settings.max_attempts):
        claim = claim_of(queue)
        queue.heartbeat_chunk(claim, 0.4, Event.LOADING_MODEL)
        expire_chunk(database, claim)
        queue.rescue_expired()
    row, job = chunk_row(database, claim), job_row(database, job_id)
    assert (row["status"], row["failures"], row["last_event"]) == ("failed", settings.max_attempts, "loading_model")
    for known in (
        "first",
        "attempt 5",
        "failure 5",
        f"{settings.lease_seconds + 1:.0f} s ago",
        "40 %",
        "loading_model",
    ):
        assert known in job["error_message"]
    assert job["error_message"] == row["error_message"]
    service = JobService(database)
    service.retry(job_id)
    again = claim_of(queue)
    assert chunk_row(database, again)["last_event"] == "chunk_claimed"


def test_what_a_media_process_said_of_its_end_is_kept(database: Database, queue: Queue, settings: Settings) -> None:
    job_id = planned_job(database, 1)
    for _ in range(settings.max_attempts):
        queue.fail_chunk(claim_of(queue), SandboxCrashed("The media process died of signal 11."))
    assert "signal 11" in job_row(database, job_id)["error_message"]


def test_the_bytes_that_a_chunk_took_are_kept(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    claim = claim_of(queue)
    queue.complete_chunk(claim, "key", "0" * 64, {"name": "hog"}, bytes_read=12345)
    assert chunk_row(database, claim)["bytes_read"] == 12345

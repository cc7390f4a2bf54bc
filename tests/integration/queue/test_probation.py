"""A job whose source fails holds one worker at a time; other jobs go on, and so does it when the source is back."""

from __future__ import annotations

from uuid import UUID

from backend.db.engine import Database
from backend.errors import SourceUnreachable
from backend.jobs.service import JobService
from backend.queue.claims import ChunkClaim
from backend.queue.queue import Queue
from backend.states import DeepMode, JobStatus
from tests.integration.queue.helpers import (
    assert_consistent,
    claim_of,
    complete,
    complete_and_claim,
    job_row,
    planned_job,
    sql,
    together,
)

GONE = SourceUnreachable("Its server does not answer.")
ROUNDS = 15


def claimable(queue: Queue) -> list[ChunkClaim]:
    """Claims all there is."""
    claims = []
    while (claim := queue.claim_chunk(DeepMode.GPU)) is not None:
        claims.append(claim)
    return claims


def in_work(database: Database, job_id: UUID) -> int:
    query = "SELECT count(*) AS n FROM video_analysis_chunks WHERE job_id = :id AND status = 'processing'"
    return int(sql(database, query, id=job_id)[0]["n"])


def test_two_workers_do_a_good_job_while_a_dead_source_holds_one_of_them_at_most(
    database: Database, queue: Queue, other: Queue
) -> None:
    bad, good = planned_job(database, 8), planned_job(database, 6)
    held = [claim_of(queue, bad), claim_of(other, bad)]
    queue.fail_chunk(held[0], GONE)
    workers: list[tuple[Queue, ChunkClaim | None]] = [(queue, None), (other, held[1])]
    most, turns = 0, 0
    while job_row(database, bad)["status"] != "failed" or job_row(database, good)["status"] != "aggregating":
        turns += 1
        assert turns < 100
        for number, (worker, claim) in enumerate(workers):
            if claim is not None and claim.job_id == good:
                complete(worker, claim)
            elif claim is not None:
                worker.fail_chunk(claim, GONE)
            workers[number] = (worker, worker.claim_chunk(DeepMode.GPU))
            most = max(most, in_work(database, bad))
    assert most == 1
    assert job_row(database, bad)["error_code"] == "source_unreachable"


def test_a_chunk_that_is_completed_brings_all_the_others_back(database: Database, queue: Queue, other: Queue) -> None:
    for finish in (complete, complete_and_claim):
        job_id = planned_job(database, 5)
        queue.fail_chunk(claim_of(queue), GONE)
        (trial,) = claimable(queue)
        finish(other, trial)
        claimable(queue)
        assert in_work(database, job_id) == 4
        assert job_row(database, job_id)["source_trouble_at"] is None
        assert_consistent(database, job_id)
        sql(database, "UPDATE video_analysis_jobs SET status = 'cancelled', completed_at = now()")


def test_the_chunk_that_failed_most_often_is_tried_next(database: Database, queue: Queue) -> None:
    planned_job(database, 5)
    queue.fail_chunk(claim_of(queue), GONE)
    first = claim_of(queue)
    queue.fail_chunk(first, GONE)
    again = claim_of(queue)
    assert again.chunk_id == first.chunk_id
    assert queue.claim_chunk(DeepMode.GPU) is None


def test_of_chunks_that_fail_at_once_one_is_let_out(database: Database, queue: Queue, other: Queue) -> None:
    for _ in range(ROUNDS):
        job_id = planned_job(database, 4)
        first, second = claim_of(queue), claim_of(other)
        together(lambda c=first: queue.fail_chunk(c, GONE), lambda c=second: other.fail_chunk(c, GONE))
        assert len(claimable(queue)) == 1
        assert_consistent(database, job_id)
        sql(database, "UPDATE video_analysis_jobs SET status = 'cancelled', completed_at = now()")


def test_a_job_whose_last_chunk_in_work_completes_while_another_fails_goes_on(
    database: Database, queue: Queue, other: Queue
) -> None:
    for _ in range(ROUNDS):
        job_id = planned_job(database, 4)
        failing, completing = claim_of(queue), claim_of(other)
        together(lambda c=failing: queue.fail_chunk(c, GONE), lambda c=completing: complete(other, c))
        queue.rescue_expired()
        trial = claim_of(queue, job_id)
        complete(queue, trial)
        while (claim := queue.claim_chunk(DeepMode.GPU, job_id)) is not None:
            complete(queue, claim)
        assert job_row(database, job_id)["status"] == JobStatus.AGGREGATING
        sql(database, "UPDATE video_analysis_jobs SET status = 'cancelled', completed_at = now()")


def test_a_worker_that_dies_with_the_trial_leaves_it_to_others(database: Database, queue: Queue, other: Queue) -> None:
    planned_job(database, 4)
    queue.fail_chunk(claim_of(queue), GONE)
    claim_of(queue)
    sql(database, "UPDATE video_analysis_chunks SET lease_expires_at = now() - interval '1 second'")
    assert other.rescue_expired() == 1
    assert len(claimable(other)) == 1


def test_pausing_and_resuming_a_job_on_probation_loses_no_chunk(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 4)
    trial = claim_of(queue)
    service.pause(job_id)
    queue.fail_chunk(trial, GONE)
    assert claimable(queue) == []
    service.resume(job_id)
    assert len(claimable(queue)) == 4


def test_a_retry_brings_all_chunks_back(database: Database, queue: Queue, service: JobService) -> None:
    job_id = planned_job(database, 3)
    while job_row(database, job_id)["status"] != "failed":
        queue.fail_chunk(claim_of(queue), GONE)
    service.retry(job_id)
    assert len(claimable(queue)) == 3

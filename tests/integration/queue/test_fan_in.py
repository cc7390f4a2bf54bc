"""The last chunk starts exactly one aggregation."""

from __future__ import annotations

import json
from collections import Counter
from uuid import UUID

import pytest

from backend.db.engine import Database
from backend.db.sql import statement
from backend.queue.claims import ChunkClaim
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from tests.integration.queue.helpers import (
    FACTS,
    assert_consistent,
    claim_of,
    complete,
    finish,
    job_row,
    planned_job,
    sql,
    together,
)


def test_chunks_completing_at_once_are_all_counted_and_start_one_aggregation(
    database: Database, queue: Queue, other: Queue
) -> None:
    for _ in range(30):
        job_id = planned_job(database, 2)
        mine, yours = claim_of(queue), claim_of(other)
        results = together(lambda c=mine: complete(queue, c), lambda c=yours: complete(other, c))
        assert sorted(results) == [JobStatus.AGGREGATING, JobStatus.PROCESSING]
        assert job_row(database, job_id)["completed_chunks"] == 2
        assert_consistent(database, job_id)
        claims = together(*[lambda q=q: q.claim_job(JobStatus.AGGREGATING) for q in (queue, other, queue, other)])
        (won,) = [claim for claim in claims if claim is not None]
        assert won.job_id == job_id
        finish(queue, won)


def test_many_workers_finish_a_job_with_exactly_one_aggregation(database: Database, settings: Settings) -> None:
    job_id = planned_job(database, 60)
    workers = [Queue(database, settings.model_copy(update={"worker_id": f"w{n}"})) for n in range(8)]

    def work(mine: Queue) -> list[JobStatus]:
        seen = []
        while (claim := mine.claim_chunk(DeepMode.GPU)) is not None:
            seen.append(complete(mine, claim))
        return seen

    results = [status for seen in together(*(lambda w=w: work(w) for w in workers)) for status in seen]
    assert Counter(results) in ({JobStatus.PROCESSING: 59, JobStatus.AGGREGATING: 1}, {JobStatus.PROCESSING: 60})
    workers[0].rescue_expired()  # for the second: the next test shows how it comes about
    claims = together(*(lambda w=w: w.claim_job(JobStatus.AGGREGATING) for w in workers))
    assert sum(claim is not None for claim in claims) == 1
    assert_consistent(database, job_id)
    assert json.loads(json.dumps(job_row(database, job_id)["detector"])) == {"name": "hog"}


def test_a_job_whose_last_chunk_was_quicker_than_anothers_commit_is_started_by_the_sweep(
    database: Database, queue: Queue, other: Queue
) -> None:
    job_id = planned_job(database, 2)
    slow = claim_of(queue)
    written = {"artifact_key": "k", "artifact_sha256": "0" * 64, "bytes_read": 0}
    with database.transaction() as connection:
        guard = {"chunk_id": slow.chunk_id, "attempts": slow.attempts}
        row = connection.execute(statement("complete_chunk"), guard | written).mappings().one()
        assert row["more_queued"]
        assert complete(other, claim_of(other)) == JobStatus.PROCESSING
    assert job_row(database, job_id)["status"] == JobStatus.PROCESSING
    queue.rescue_expired()
    assert job_row(database, job_id)["status"] == JobStatus.AGGREGATING
    assert_consistent(database, job_id)


def test_only_who_may_be_the_last_looks_whether_the_job_is_complete(
    database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned_job(database, 3)
    asked: list[str] = []
    ask = Database.ask
    monkeypatch.setattr(Database, "ask", lambda self, name, **params: asked.append(name) or ask(self, name, **params))
    first, second = claim_of(queue), claim_of(queue)
    complete(queue, first)
    assert "advance_job" not in asked
    third = claim_of(queue)
    complete(queue, second)
    assert asked.count("advance_job") == 1
    assert complete(queue, third) == JobStatus.AGGREGATING


def test_a_thousand_chunks_finishing_at_once_start_one_aggregation(database: Database, settings: Settings) -> None:
    job_id = planned_job(database, 1000)
    workers = [Queue(database, settings.model_copy(update={"worker_id": f"w{n}"})) for n in range(16)]
    claims: list[ChunkClaim] = []
    sql(database, "UPDATE video_analysis_chunks SET status = 'processing', attempts = 1, started_at = now(),"
                  " lease_expires_at = now() + interval '1 hour'")  # fmt: skip
    sql(database, "UPDATE video_analysis_jobs SET status = 'processing'")
    for row in sql(database, "SELECT id FROM video_analysis_chunks"):
        claims.append(a_claim(row["id"], job_id))

    def finish_share(number: int) -> list[JobStatus]:
        return [complete(workers[number], claim) for claim in claims[number::16]]

    results = [status for share in together(*(lambda n=n: finish_share(n) for n in range(16))) for status in share]
    assert Counter(results) == {JobStatus.PROCESSING: 999, JobStatus.AGGREGATING: 1}
    assert_consistent(database, job_id)
    assert [w.claim_job(JobStatus.AGGREGATING) is not None for w in workers[:3]] == [True, False, False]


def test_an_aggregation_that_was_lost_is_started_by_the_sweep(database: Database, queue: Queue, other: Queue) -> None:
    """The worker died between its commit and its look at the job."""
    job_id, unfinished = planned_job(database, 2), planned_job(database, 2)
    for _ in range(2):
        claim_of(queue, job_id)
    complete(queue, claim_of(queue, unfinished))
    completed = "status = 'completed', artifact_sha256 = 'a', lease_expires_at = NULL"
    sql(database, f"UPDATE video_analysis_chunks SET {completed} WHERE job_id = :id", id=job_id)
    together(queue.rescue_expired, other.rescue_expired)
    assert_consistent(database, job_id)
    assert job_row(database, job_id)["status"] == "aggregating"
    assert job_row(database, unfinished)["status"] == "processing"
    assert [q.claim_job(JobStatus.AGGREGATING) is not None for q in (queue, other)] == [True, False]


def a_claim(chunk_id: int, job_id: UUID) -> ChunkClaim:
    return ChunkClaim(
        chunk_id=chunk_id, attempts=1, job_id=job_id, phase="detect", chunk_index=0, phase_chunks=1000, start_pts=0,
        end_pts=1, kind="crop", params={}, input_uri="", source_etag="", source_size=0, trace_context=None, plan={},
        probed=FACTS,
    )  # fmt: skip

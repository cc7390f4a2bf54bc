"""The last chunk starts exactly one aggregation."""

from __future__ import annotations

import json

from backend.db.engine import Database
from backend.jobs.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from tests.integration.queue.helpers import (
    assert_consistent,
    claim_of,
    complete,
    finish,
    job_row,
    planned_job,
    together,
)


def test_the_last_two_chunks_completing_at_once_start_one_aggregation(
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
    assert sorted(results) == [JobStatus.AGGREGATING] + [JobStatus.PROCESSING] * 59
    claims = together(*(lambda w=w: w.claim_job(JobStatus.AGGREGATING) for w in workers))
    assert sum(claim is not None for claim in claims) == 1
    assert_consistent(database, job_id)
    assert json.loads(json.dumps(job_row(database, job_id)["detector"])) == {"name": "hog"}

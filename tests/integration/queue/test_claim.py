"""Who gets which chunk, and when."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from backend.db.engine import Database
from backend.errors import DatabaseUnavailable
from backend.queue.claims import ChunkClaim
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode
from tests.integration.queue.helpers import (
    FACTS,
    TICKS,
    TRY_AGAIN,
    chunk_row,
    chunk_rows,
    claim_of,
    expire_chunk,
    job_row,
    planned_job,
    sql,
    together,
)


def test_many_workers_never_claim_the_same_chunk(database: Database, settings: Settings) -> None:
    jobs = [planned_job(database, 50) for _ in range(4)]

    def claim_all(name: str) -> list[int]:
        mine = Queue(database, settings.model_copy(update={"worker_id": name}))
        claims = []
        while (claim := mine.claim_chunk(DeepMode.GPU)) is not None:
            claims.append(claim.chunk_id)
        return claims

    claimed = [n for ids in together(*(lambda k=k: claim_all(f"w{k}") for k in range(8))) for n in ids]
    assert len(claimed) == len(set(claimed)) == 200
    assert all(row["attempts"] == 1 for job_id in jobs for row in chunk_rows(database, job_id))


def test_a_claim_takes_priority_first_and_interleaves_the_jobs_of_a_tenant(database: Database, queue: Queue) -> None:
    older, newer = planned_job(database, 3), planned_job(database, 2)
    urgent = planned_job(database, 2, priority=5)
    claims = [claim_of(queue) for _ in range(7)]
    names = {older: "older", newer: "newer", urgent: "urgent"}
    assert [(names[claim.job_id], claim.chunk_index) for claim in claims] == [
        ("urgent", 0), ("urgent", 1), ("older", 0), ("older", 1), ("newer", 0), ("older", 2), ("newer", 1),
    ]  # fmt: skip
    assert queue.claim_chunk(DeepMode.GPU) is None


def test_a_small_job_never_waits_behind_the_chunks_of_a_big_one(database: Database, queue: Queue) -> None:
    planned_job(database, 100)
    small = planned_job(database, 1)
    assert small in [claim_of(queue).job_id for _ in range(3)]


def test_a_chunk_that_is_not_due_yet_is_not_claimed(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    sql(database, "UPDATE video_analysis_chunks SET available_at = now() + interval '5 minutes'")
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert queue.has_queued(DeepMode.GPU)
    sql(database, "UPDATE video_analysis_chunks SET available_at = now() - interval '1 microsecond'")
    claim_of(queue)


def test_a_claim_names_its_worker_its_lease_and_the_work(database: Database, queue: Queue, settings: Settings) -> None:
    job_id = planned_job(database, 2)
    claim = claim_of(queue)
    row = chunk_row(database, claim)
    assert (claim.job_id, claim.chunk_index, claim.phase_chunks) == (job_id, 0, 2)
    assert (claim.start_pts, claim.end_pts, claim.probed) == (0, TICKS, FACTS)
    assert (claim.is_first, claim.is_last) == (True, False)
    assert (row["status"], row["attempts"]) == ("processing", 1)
    assert row["claimed_by"].rpartition("/")[2] == "first"
    (left,) = sql(database, "SELECT extract(epoch FROM lease_expires_at - now()) AS s FROM video_analysis_chunks "
                            "WHERE lease_expires_at IS NOT NULL")  # fmt: skip
    assert settings.lease_seconds - 5 < left["s"] <= settings.lease_seconds
    job = job_row(database, job_id)
    assert (job["status"], job["stage"]) == ("processing", "PROCESSING")
    assert job["started_at"] is not None


@pytest.mark.direct
def test_what_a_jobs_chunks_share_is_asked_once(
    database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned_job(database, 3)
    planned_job(database, 1, tenant="other")
    asked: list[str] = []
    ask = Database.ask
    monkeypatch.setattr(Database, "ask", lambda self, name, **params: asked.append(name) or ask(self, name, **params))
    claims = [claim_of(queue) for _ in range(4)]
    assert asked.count("job_of_chunks") == len({claim.job_id for claim in claims}) == 2
    assert [claim.probed for claim in claims] == [FACTS] * len(claims)


def test_a_claim_whose_job_cannot_be_asked_for_is_given_back(
    database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = planned_job(database, 1)
    ask = Database.ask

    def no_answer(self: Database, name: str, **params: object) -> object:
        if name == "job_of_chunks":
            raise DatabaseUnavailable("gone")
        return ask(self, name, **params)

    with monkeypatch.context() as patched, pytest.raises(DatabaseUnavailable):
        patched.setattr(Database, "ask", no_answer)
        queue.claim_chunk(DeepMode.GPU)
    (row,) = chunk_rows(database, job_id)
    assert (row["status"], row["failures"], row["attempts"]) == ("queued", 0, 1)
    assert claim_of(queue).probed == FACTS


def test_every_claim_raises_attempts_and_nothing_lowers_them(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    endings: list[Callable[[ChunkClaim], object]] = [
        queue.release_chunk,
        lambda claim: queue.fail_chunk(claim, TRY_AGAIN),
        lambda claim: (expire_chunk(database, claim), queue.rescue_expired()),
    ]
    for expected, end in enumerate(endings, start=1):
        claim = claim_of(queue)
        end(claim)
        assert claim.attempts == chunk_row(database, claim)["attempts"] == expected


def test_the_job_starts_with_its_first_claim_only(database: Database, queue: Queue) -> None:
    job_id = planned_job(database, 2)
    claim_of(queue)
    started_at = job_row(database, job_id)["started_at"]
    claim_of(queue)
    assert job_row(database, job_id)["started_at"] == started_at


def test_a_worker_of_one_job_claims_no_other(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    mine = planned_job(database, 2)
    assert [claim_of(queue, mine).job_id for _ in range(2)] == [mine, mine]
    assert queue.claim_chunk(DeepMode.GPU, mine) is None
    assert queue.claim_chunk(DeepMode.GPU, uuid4()) is None


def test_a_cpu_job_is_not_given_to_gpu_workers(database: Database, queue: Queue) -> None:
    cpu_job = planned_job(database, 1, deep_mode=DeepMode.CPU)
    assert not queue.has_queued(DeepMode.GPU)
    assert queue.has_queued(DeepMode.CPU)
    assert queue.claim_chunk(DeepMode.GPU) is None
    claim = queue.claim_chunk(DeepMode.CPU)
    assert claim is not None and claim.job_id == cpu_job
    assert not queue.has_queued(DeepMode.CPU)

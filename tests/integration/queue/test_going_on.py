"""A worker that goes on completes its chunk and claims the next with one statement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import psycopg._queries
import pytest

from backend.db import sql as statements
from backend.db.engine import Database
from backend.errors import ClaimLost, DatabaseUnavailable
from backend.jobs.service import JobService
from backend.queue.claims import ChunkClaim
from backend.queue.fleet import pause_fleet
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from tests.conftest import Said
from tests.integration.queue.helpers import (
    assert_consistent,
    chunk_row,
    chunk_rows,
    claim_of,
    complete,
    complete_and_claim,
    everything,
    expire_chunk,
    job_row,
    planned_job,
    sql,
    statuses,
    together,
)


@pytest.mark.direct
def test_the_next_chunk_comes_with_the_completion_in_one_round_trip(
    database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, other_job = planned_job(database, 3), planned_job(database, 1, tenant="other")
    complete(queue, claim_of(queue, job_id))  # now the detector and both jobs are known
    complete(queue, claim_of(queue, other_job))
    in_hand = claim_of(queue)
    asked: list[str] = []
    ask = Database.ask
    monkeypatch.setattr(Database, "ask", lambda self, name, **params: asked.append(name) or ask(self, name, **params))
    status, following = complete_and_claim(queue, in_hand)
    assert (status, asked) == (JobStatus.PROCESSING, ["complete_and_claim"])
    assert following is not None
    assert (following.job_id, following.chunk_index, following.attempts) == (job_id, 2, 1)
    assert statuses(database, job_id) == ["completed", "completed", "processing"]
    assert chunk_row(database, in_hand)["artifact_sha256"] == "a" * 64
    assert chunk_row(database, following)["claimed_by"] == "first"
    assert complete_and_claim(queue, following) == (JobStatus.AGGREGATING, None)
    assert_consistent(database, job_id)


def test_the_next_chunk_may_be_the_first_of_another_job(database: Database, queue: Queue) -> None:
    first, second = planned_job(database, 1), planned_job(database, 1)
    status, following = complete_and_claim(queue, claim_of(queue))
    assert status == JobStatus.AGGREGATING
    assert following is not None and following.job_id == second
    assert [job_row(database, job_id)["status"] for job_id in (first, second)] == ["aggregating", "processing"]
    assert job_row(database, second)["started_at"] is not None


def test_a_worker_of_one_job_goes_on_with_that_job_only(database: Database, queue: Queue) -> None:
    mine = planned_job(database, 2)
    planned_job(database, 5, priority=5)
    _, following = complete_and_claim(queue, claim_of(queue, mine), mine)
    assert following is not None and following.job_id == mine
    assert complete_and_claim(queue, following, mine) == (JobStatus.AGGREGATING, None)


def test_who_lost_the_chunk_in_hand_gets_no_other(database: Database, queue: Queue, other: Queue) -> None:
    planned_job(database, 5)
    lost = claim_of(queue)
    expire_chunk(database, lost)
    other.rescue_expired()
    before = everything(database)
    with pytest.raises(ClaimLost):
        complete_and_claim(queue, lost)
    assert everything(database) == before


def test_nothing_is_claimed_of_a_job_or_a_fleet_that_is_paused(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 3)
    in_hand = claim_of(queue)
    service.pause(job_id)
    assert complete_and_claim(queue, in_hand) == (JobStatus.PROCESSING, None)
    service.resume(job_id)
    in_hand = claim_of(queue)
    pause_fleet(database)
    assert complete_and_claim(queue, in_hand) == (JobStatus.PROCESSING, None)


def test_a_next_chunk_whose_job_cannot_be_asked_for_is_given_back_and_the_completion_stays(
    database: Database, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = planned_job(database, 1), planned_job(database, 1)
    in_hand = claim_of(queue)
    ask = Database.ask

    def no_answer(self: Database, name: str, **params: object) -> object:
        if name == "job_of_chunks":
            raise DatabaseUnavailable("gone")
        return ask(self, name, **params)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "ask", no_answer)
        assert complete_and_claim(queue, in_hand) == (JobStatus.AGGREGATING, None)
    assert statuses(database, first) == ["completed"]
    (row,) = chunk_rows(database, second)
    assert (row["status"], row["failures"], row["attempts"]) == ("queued", 0, 1)
    assert claim_of(queue).job_id == second


def test_a_fault_in_what_is_known_of_the_next_job_is_not_the_finished_chunks(
    database: Database, queue: Queue, said: list[Said]
) -> None:
    """As in a rolling deployment whose newer planner writes what this worker does not know."""
    first, second = planned_job(database, 1), planned_job(database, 1)
    sql(database, "UPDATE video_analysis_jobs SET probe = probe || '{\"new\": 1}' WHERE id = :id", id=second)
    assert complete_and_claim(queue, claim_of(queue)) == (JobStatus.AGGREGATING, None)
    assert (statuses(database, first), statuses(database, second)) == (["completed"], ["processing"])
    assert "worker_poll_failed" in [each.event for each in said]


@pytest.fixture
def capped(database: Database, settings: Settings) -> Callable[[str, int], Queue]:
    return lambda name, cap: Queue(
        database, settings.model_copy(update={"worker_id": name, "tenant_max_chunks_in_work": cap})
    )


def test_the_chunk_in_hand_does_not_fill_its_lane_for_the_next(
    database: Database, capped: Callable[[str, int], Queue]
) -> None:
    """Else a worker would pass over an urgent lane that is full only because of what it holds itself."""
    queue = capped("w", 1)
    urgent = planned_job(database, 4, tenant="a", priority=9)
    planned_job(database, 4, tenant="b")
    claim: ChunkClaim | None = claim_of(queue)
    order = []
    while claim is not None:
        order.append(claim.job_id == urgent)
        _, claim = complete_and_claim(queue, claim)
    assert order == [True] * 4 + [False] * 4


def test_a_lane_that_others_fill_is_left_alone(database: Database, capped: Callable[[str, int], Queue]) -> None:
    queue, other = capped("w", 2), capped("x", 2)
    planned_job(database, 9, tenant="a")
    claim_of(other), claim_of(other)
    b = planned_job(database, 1, tenant="b")
    _, following = complete_and_claim(queue, claim_of(queue, b))
    assert following is None


def test_workers_that_go_on_at_once_never_hold_more_than_the_cap(
    database: Database, capped: Callable[[str, int], Queue]
) -> None:
    job_id = planned_job(database, 120, tenant="a")
    queues = [capped(f"w{number}", 3) for number in range(6)]
    in_hand: list[ChunkClaim | None] = [queue.claim_chunk(DeepMode.GPU) for queue in queues]
    query = "SELECT count(*) AS n FROM video_analysis_chunks WHERE status = 'processing'"
    for _ in range(25):
        in_hand = together(
            *(
                lambda q=q, c=c: q.claim_chunk(DeepMode.GPU) if c is None else complete_and_claim(q, c)[1]
                for q, c in zip(queues, in_hand, strict=True)
            )
        )
        assert sql(database, query)[0]["n"] == sum(claim is not None for claim in in_hand) <= 3
    assert {row["failures"] for row in chunk_rows(database, job_id)} == {0}


def test_workers_that_go_on_do_every_chunk_once_and_start_one_aggregation(
    database: Database, settings: Settings
) -> None:
    jobs = [planned_job(database, 30) for _ in range(3)]
    workers = [Queue(database, settings.model_copy(update={"worker_id": f"w{n}"})) for n in range(8)]

    def work(mine: Queue) -> list[tuple[int, JobStatus]]:
        done = []
        claim = mine.claim_chunk(DeepMode.GPU)
        while claim is not None:
            finished = claim
            status, claim = complete_and_claim(mine, finished)
            done.append((finished.chunk_id, status))
        return done

    results = [item for done in together(*(lambda w=w: work(w) for w in workers)) for item in done]
    assert Counter(chunk_id for chunk_id, _ in results).most_common(1)[0][1] == 1
    assert len(results) == 90
    assert Counter(status for _, status in results)[JobStatus.AGGREGATING] <= 3
    workers[0].rescue_expired()  # see test_fan_in.py
    assert len([True for _ in range(5) if workers[0].claim_job(JobStatus.AGGREGATING)]) == 3
    for job_id in jobs:
        assert_consistent(database, job_id)


def test_going_on_racing_cancel_rescue_and_pause_never_deadlocks(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    for _ in range(20):
        jobs = [planned_job(database, 3) for _ in range(3)]
        mine, yours = claim_of(queue, jobs[0]), claim_of(other, jobs[1])
        expire_chunk(database, yours)
        results = together(
            lambda c=mine: complete_and_claim(queue, c),
            lambda c=yours: complete_and_claim(other, c),
            lambda j=jobs[0]: service.cancel(j).status,
            lambda j=jobs[2]: service.pause(j).status,
            queue.rescue_expired,
        )
        assert not [
            result for result in results if isinstance(result, Exception) and not isinstance(result, ClaimLost)
        ], results
        for job_id in jobs:
            assert_consistent(database, job_id)
            service.cancel(job_id)


def test_what_is_asked_often_is_short_enough_for_the_driver_to_remember() -> None:
    """psycopg analyses a longer text anew each time."""
    for name in ("claim_chunk", "complete_and_claim", "complete_and_claim+of_job"):
        length = len(str(statements.statement(name)).replace(":", "%()s"))
        assert length <= psycopg._queries.MAX_CACHED_STATEMENT_LENGTH, name

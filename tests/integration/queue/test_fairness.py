"""Whose chunk is next: tenants, jobs of one tenant, priorities, caps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.queue.claims import ChunkClaim
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode
from tests.integration.queue.helpers import (
    BROKEN,
    assert_floor,
    chunk_rows,
    claim_of,
    complete,
    planned_job,
    sql,
    together,
)

MANY = 10_000


def work(database: Database, tenant: str | None = None) -> int:
    query = "SELECT count(*) AS n FROM video_analysis_chunks WHERE status = 'processing' AND tenant LIKE :tenant"
    return int(sql(database, query, tenant=tenant or "%")[0]["n"])


def next_claims(queue: Queue, count: int) -> list[ChunkClaim]:
    claims = []
    for _ in range(count):
        claims.append(claim_of(queue))
        complete(queue, claims[-1])
    return claims


def test_ten_thousand_chunks_of_one_tenant_do_not_delay_anothers_first_chunk(database: Database, queue: Queue) -> None:
    planned_job(database, MANY, tenant="big")
    in_work = [claim_of(queue) for _ in range(20)]
    small = planned_job(database, 3, tenant="small")
    # The next worker that becomes free takes it: less than one chunk's time.
    complete(queue, in_work[0])
    assert claim_of(queue).job_id == small
    assert Counter(claim.job_id == small for claim in next_claims(queue, 4))[True] == 2


def test_ten_thousand_jobs_of_one_tenant_do_not_delay_anothers_first_chunk(database: Database, queue: Queue) -> None:
    planned_job(database, 1, tenant="busy")
    # As planning would have placed them, job after job.
    copied = "tenant, kind, status, input_uri, source_etag, source_size, probe, total_chunks"
    sql(database, f"INSERT INTO video_analysis_jobs (id, input_name, {copied}) SELECT gen_random_uuid(), 'n' || n,"
                  f" {copied} FROM video_analysis_jobs, generate_series(1, {MANY}) n")  # fmt: skip
    sql(database, "INSERT INTO video_analysis_chunks (job_id, tenant, chunk_index, start_sec, end_sec, start_pts,"
                  " end_pts, claim_rank) SELECT id, tenant, 0, 0, 30, 0, 30000, substr(input_name, 2)::bigint"
                  " FROM video_analysis_jobs WHERE input_name LIKE 'n%'")  # fmt: skip
    for _ in range(5):
        claim_of(queue)
    other = planned_job(database, 1, tenant="other")
    assert other in [claim_of(queue).job_id for _ in range(2)]
    # And a new job of the busy tenant stands behind its own.
    planned_job(database, 1, tenant="busy")
    (last,) = sql(database, "SELECT tenant FROM video_analysis_chunks ORDER BY claim_rank DESC, id DESC LIMIT 1")
    assert last["tenant"] == "busy"


def test_jobs_of_one_tenant_take_turns(database: Database, queue: Queue) -> None:
    first, second, third = (planned_job(database, 30) for _ in range(3))
    claimed = Counter(claim.job_id for claim in next_claims(queue, 30))
    assert claimed[first] >= claimed[second] >= claimed[third] >= 4


def test_priority_goes_before_every_tenants_turn(database: Database, queue: Queue) -> None:
    planned_job(database, 5, tenant="a")
    claim_of(queue)
    urgent = planned_job(database, 3, tenant="b", priority=1)
    patient = planned_job(database, 3, tenant="c", priority=-1)
    claims = [claim_of(queue).job_id for _ in range(10)]
    assert claims[:3] == [urgent] * 3
    assert claims[-3:] == [patient] * 3


def test_work_that_was_put_back_does_not_go_before_everybody_else(
    database: Database, queue: Queue, service: JobService
) -> None:
    behind = planned_job(database, 200, tenant="behind")
    claim_of(queue)
    service.pause(behind)
    planned_job(database, 200, tenant="ahead")
    next_claims(queue, 100)
    running = claim_of(queue)
    service.resume(behind)
    tenants = Counter(claim.job_id == behind for claim in next_claims(queue, 20))
    assert 8 <= tenants[True] <= 12
    complete(queue, running)
    queue.fail_chunk(claim_of(queue, behind), BROKEN)
    next_claims(queue, 30)
    claim_of(queue)
    service.retry(behind)
    tenants = Counter(claim.job_id == behind for claim in next_claims(queue, 20))
    assert 8 <= tenants[True] <= 12


@pytest.fixture
def capped(database: Database, settings: Settings) -> Callable[[str], Queue]:
    return lambda name: Queue(database, settings.model_copy(update={"worker_id": name, "tenant_max_chunks_in_work": 2}))


def test_a_tenant_at_its_cap_leaves_the_workers_to_others(database: Database, capped: Callable[[str], Queue]) -> None:
    queue = capped("w")
    planned_job(database, 10, tenant="a")
    planned_job(database, 1, tenant="b")
    claims = [claim_of(queue) for _ in range(3)]
    assert (work(database, "a"), work(database, "b")) == (2, 1)
    assert queue.claim_chunk(DeepMode.GPU) is None
    complete(queue, next(claim for claim in claims if claim.phase_chunks == 10))
    assert claim_of(queue).phase_chunks == 10
    assert queue.claim_chunk(DeepMode.GPU) is None


def test_a_lane_can_have_a_cap_of_its_own(database: Database, queue: Queue, capped: Callable[[str], Queue]) -> None:
    planned_job(database, 10, tenant="a")
    sql(database, "UPDATE queue_lanes SET max_in_work = 4 WHERE tenant = 'a'")
    assert [queue.claim_chunk(DeepMode.GPU) is not None for _ in range(5)] == [True] * 4 + [False]
    sql(database, "UPDATE queue_lanes SET max_in_work = 6 WHERE tenant = 'a'")
    assert [capped("w").claim_chunk(DeepMode.GPU) is not None for _ in range(3)] == [True, True, False]
    sql(database, "UPDATE queue_lanes SET max_in_work = 0 WHERE tenant = 'a'")
    assert queue.claim_chunk(DeepMode.GPU) is None


def test_claims_at_once_never_hand_out_more_than_the_cap(database: Database, capped: Callable[[str], Queue]) -> None:
    job_id = planned_job(database, 100, tenant="a")
    for _ in range(12):
        queues = [capped(f"w{number}") for number in range(6)]
        claims = [claim for claim in together(*(lambda q=q: q.claim_chunk(DeepMode.GPU) for q in queues)) if claim]
        assert 1 <= len(claims) <= 2
        assert work(database) == len(claims)
        assert_floor(database)
        for claim in claims:
            complete(queues[0], claim)
    # What went back for want of room is nobody's failure.
    assert {row["failures"] for row in chunk_rows(database, job_id)} == {0}

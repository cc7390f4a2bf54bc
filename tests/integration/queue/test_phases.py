"""A job goes from phase to phase: each move is made once, under the claim, and every phase can be killed, retried,
paused and cancelled."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from backend.db.engine import Database
from backend.db.sql import statement
from backend.errors import ClaimLost
from backend.jobs.phases import begin_phase, write_chunks
from backend.jobs.progress import progress_of
from backend.jobs.service import JobService
from backend.kinds.base import Onward
from backend.media.segments import Segment
from backend.queue.claims import JobClaim
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from tests.integration.conftest import wait_until
from tests.integration.queue.helpers import (
    BROKEN,
    TICKS,
    aggregating_job,
    claim_of,
    complete,
    finish,
    job_claim_of,
    job_row,
    planned_job,
    sql,
)

PIECES = [Segment(index, index * TICKS, (index + 1) * TICKS, index * 30.0, (index + 1) * 30.0) for index in range(3)]
WAITING = (
    "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%completed_chunks%'"
)
CLAIMED = """UPDATE video_analysis_jobs
SET status = 'aggregating', attempts = 1, lease_expires_at = now() + interval '1 h'"""
PLAN = {"stage": "RENDERING", "phase": "render", "attempt": 1, "told": {"loud": True}}


def begin(database: Database, claim: JobClaim, *, needs: str | None = None, warnings: Sequence[str] = ()) -> None:
    onward = Onward(PIECES, {}, {}, needs=needs, warnings=warnings)
    begin_phase(database, claim, "render", onward, plan=PLAN, timings={"stitch_and_path": 1.0})


def rendering_job(database: Database, queue: Queue) -> UUID:
    """In its second phase; nothing of that is claimed yet."""
    job_id = aggregating_job(database, queue)
    begin(database, job_claim_of(queue))
    return job_id


def render_rows(database: Database) -> list[dict[str, Any]]:
    return sql(database, "SELECT * FROM video_analysis_chunks WHERE phase = 'render' ORDER BY chunk_index")


def test_a_step_begins_the_next_phase_and_the_last_one_ends_the_job(database: Database, queue: Queue) -> None:
    job_id = aggregating_job(database, queue)
    begin(database, job_claim_of(queue), warnings=["first"])
    job = job_row(database, job_id)
    assert (job["status"], job["stage"], job["phase"], job["total_chunks"]) == ("processing", "RENDERING", "render", 4)
    assert queue.claim_job(JobStatus.AGGREGATING) is None
    claims = [claim_of(queue) for _ in PIECES]
    assert [(claim.phase, claim.chunk_index, claim.plan["told"]) for claim in claims] == [
        ("render", index, {"loud": True}) for index in range(3)
    ]
    assert [(claim.is_first, claim.is_last) for claim in claims] == [(True, False), (False, False), (False, True)]
    assert [complete(queue, claim) for claim in claims] == [JobStatus.PROCESSING] * 2 + [JobStatus.AGGREGATING]
    last = job_claim_of(queue)
    assert last.phase == "render"
    queue.finish_job(
        last, output_uri="file:///out.mp4", output_key="out.mp4", timings={"join": 2.0}, warnings=["second"]
    )
    done = job_row(database, job_id)
    assert (done["status"], done["completed_chunks"]) == ("done", 4)
    assert done["timings"] == {"stitch_and_path": 1.0, "join": 2.0}
    assert done["warnings"] == ["first", "second"]


def test_a_stale_step_begins_no_phase(database: Database, queue: Queue) -> None:
    aggregating_job(database, queue)
    stale = job_claim_of(queue)
    queue.release_job(stale)
    fresh = job_claim_of(queue)
    with pytest.raises(ClaimLost):
        begin(database, stale)
    assert render_rows(database) == []
    begin(database, fresh)
    with pytest.raises(ClaimLost):
        begin(database, fresh)
    assert len(render_rows(database)) == len(PIECES)


def test_a_cancelled_job_begins_no_phase_and_one_that_is_cancelled_in_it_leaves_nothing_to_claim(
    database: Database, queue: Queue, service: JobService
) -> None:
    cancelled = aggregating_job(database, queue)
    claim = job_claim_of(queue)
    service.cancel(cancelled)
    with pytest.raises(ClaimLost):
        begin(database, claim)
    assert render_rows(database) == []
    in_phase = rendering_job(database, queue)
    in_hand = claim_of(queue)
    service.cancel(in_phase)
    assert queue.claim_chunk(DeepMode.GPU) is None
    with pytest.raises(ClaimLost):
        complete(queue, in_hand)


def test_a_job_that_is_paused_meanwhile_waits_in_its_next_phase(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = aggregating_job(database, queue)
    claim = job_claim_of(queue)
    service.pause(job_id)
    begin(database, claim)
    assert queue.claim_chunk(DeepMode.GPU) is None
    service.resume(job_id)
    assert claim_of(queue).phase == "render"


def test_retry_repeats_only_what_failed_in_the_phase_that_failed(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = rendering_job(database, queue)
    complete(queue, claim_of(queue))
    queue.fail_chunk(claim_of(queue), BROKEN)
    assert job_row(database, job_id)["status"] == "failed"
    service.retry(job_id)
    again = [claim_of(queue), claim_of(queue)]
    assert [(claim.phase, claim.chunk_index) for claim in again] == [("render", 1), ("render", 2)]
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert job_row(database, job_id)["stage"] == "RENDERING"
    for claim in again:
        complete(queue, claim)
    assert job_claim_of(queue).phase == "render"


def test_retry_of_a_step_that_failed_repeats_that_step_alone(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = rendering_job(database, queue)
    for _ in PIECES:
        complete(queue, claim_of(queue))
    queue.fail_job(job_claim_of(queue), BROKEN)
    service.retry(job_id)
    assert queue.claim_chunk(DeepMode.GPU) is None
    claim = job_claim_of(queue)
    assert claim.phase == "render"
    finish(queue, claim)


def test_a_dead_workers_chunk_of_a_later_phase_is_rescued(database: Database, queue: Queue) -> None:
    rendering_job(database, queue)
    first = claim_of(queue)
    sql(
        database,
        "UPDATE video_analysis_chunks SET lease_expires_at = now() - interval '1 s' WHERE status = 'processing'",
    )
    assert queue.rescue_expired() == 1
    sql(database, "UPDATE video_analysis_chunks SET available_at = now()")
    claims = [claim_of(queue) for _ in PIECES]
    assert {claim.chunk_index for claim in claims} == {0, 1, 2}
    with pytest.raises(ClaimLost):
        complete(queue, first)


def test_the_bar_never_falls_over_the_phases(database: Database, queue: Queue, service: JobService) -> None:
    job_id = planned_job(database, 2)
    shown: list[int] = []

    def look() -> None:
        shown.append(progress_of(database, [service.get(job_id)])[0].pct)

    for _ in range(2):
        claim = claim_of(queue)
        queue.heartbeat_chunk(claim, 0.5)
        look()
        complete(queue, claim)
        look()
    claim = job_claim_of(queue)
    queue.heartbeat_job(claim, 0.05)
    look()
    begin(database, claim)
    look()
    for _ in PIECES:
        complete(queue, claim_of(queue))
        look()
    last = job_claim_of(queue)
    queue.heartbeat_job(last, 0.5)
    look()
    finish(queue, last)
    look()
    assert shown == sorted(shown)
    assert len(set(shown)) > 7
    assert shown[-2] < shown[-1] == 100


def test_who_lacks_the_encoder_claims_nothing_that_needs_it(
    database: Database, queue: Queue, settings: Settings
) -> None:
    aggregating_job(database, queue)
    begin(database, job_claim_of(queue), needs="h264_nvenc")
    assert not queue.has_queued(DeepMode.GPU)
    assert queue.claim_chunk(DeepMode.GPU) is None
    able = Queue(database, settings, ["h264_nvenc"])
    assert able.has_queued(DeepMode.GPU)
    assert [claim_of(able).chunk_index for _ in PIECES] == [0, 1, 2]


def test_an_older_workers_look_at_the_chunks_does_not_skip_a_phase(database: Database, queue: Queue) -> None:
    """It looked before the job went on, and was held up until the next phase had begun: it sees the new row of the job
    and the old ones of the chunks."""
    job_id = planned_job(database, 1)
    claim = claim_of(queue)
    sql(
        database,
        "UPDATE video_analysis_chunks SET status = 'completed', progress = 1, completed_at = now() WHERE id = :id",
        id=claim.chunk_id,
    )
    answers: list[object] = []
    with database.transaction() as connection:
        connection.execute(text("SELECT FROM video_analysis_jobs WHERE id = :id FOR UPDATE"), {"id": job_id})
        late = threading.Thread(target=lambda: answers.append(database.ask("advance_job", job_id=job_id)))
        late.start()
        wait_until(lambda: sql(database, WAITING)[0]["n"], 60, "the late look")
        connection.execute(text(CLAIMED))
        begun = {"job_id": job_id, "attempts": 1, "phase": "render", "plan": json.dumps(PLAN), "chunks": len(PIECES)}
        connection.execute(statement("begin_phase"), begun | {"timings": "{}", "warnings": "[]"})
        write_chunks(connection, a_claim(job_id), "render", PIECES, on_hold=False)
    late.join()
    assert answers == [None]
    assert job_row(database, job_id)["status"] == "processing"
    assert queue.claim_chunk(DeepMode.GPU, job_id) is not None


def a_claim(job_id: UUID) -> JobClaim:
    return JobClaim(
        job_id=job_id, attempts=1, status=JobStatus.AGGREGATING, kind="crop", params={}, input_uri="", input_name="",
        deep_mode=DeepMode.GPU, tenant="default", priority=0, source_etag="", source_size=0, probe=None,
        output_uri=None, total_chunks=1, trace_context=None, phase="detect", phase_plan={},
    )  # fmt: skip

"""Any order of claims, heartbeats, finishes, failures, rescues, cancels and retries, with stale claims used in between.

Hypothesis chooses the order; after every step the database must be what the model in queue_model.py says.
`CHAOS_EXAMPLES` asks for more orders, and for new ones every time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import booleans, floats, integers, sampled_from
from sqlalchemy import text

from backend.db.engine import Database
from backend.errors import ClaimLost, InvalidState
from backend.jobs.queue import ChunkClaim, JobClaim, Queue
from backend.jobs.service import JobService, NewJob
from backend.settings import Settings
from backend.states import ChunkStatus, DeepMode, JobStatus
from tests.integration.queue.helpers import (
    BROKEN,
    TRY_AGAIN,
    assert_floor,
    complete,
    expire_chunk,
    expire_job,
    finish,
    planned_job,
)
from tests.integration.queue_model import OPEN, WORKABLE, ChunkModel, JobModel

MAX_ATTEMPTS = 3
MAX_JOBS = 3
STEPS = 40
QUICK_EXAMPLES = 15
WORKERS = integers(0, 2)
JOBS = integers(0, MAX_JOBS - 1)


class QueueMachine(RuleBasedStateMachine):
    chunk_claims = Bundle("chunk_claims")  # never emptied: what is stale is used too
    job_claims = Bundle("job_claims")

    def __init__(self, database: Database, settings: Settings) -> None:
        super().__init__()
        self.database = database
        settings = settings.model_copy(update={"max_attempts": MAX_ATTEMPTS})
        self.queues = [Queue(database, settings.model_copy(update={"worker_id": f"w{n}"})) for n in range(3)]
        self.service = JobService(database)
        self.jobs: list[JobModel] = []
        self.chunks: dict[int, ChunkModel] = {}
        self.handed_out: set[tuple[Any, int]] = set()
        self.attempts_seen: dict[Any, int] = {}
        self._sql("TRUNCATE video_analysis_jobs, video_analysis_chunks, queue_lanes")

    # What clients do

    @precondition(lambda self: len(self.jobs) < MAX_JOBS)
    @rule(chunks=integers(0, 3), tenant=sampled_from(["one", "two"]))
    def create(self, chunks: int, tenant: str) -> None:
        """Without chunks: a job that waits for its planning."""
        if chunks == 0:
            job = self.service.create(NewJob("crop", "file:///film.mp4", "film.mp4", tenant=tenant))
            self.jobs.append(JobModel(job.id, is_planned=False))
            return
        model = JobModel(planned_job(self.database, chunks, tenant=tenant), is_planned=True)
        model.chunks = [ChunkModel(chunk.id, model) for chunk in self.service.chunks(model.id)]
        self.chunks |= {chunk.id: chunk for chunk in model.chunks}
        self.jobs.append(model)

    @precondition(lambda self: self.jobs)
    @rule(number=JOBS)
    def cancel(self, number: int) -> None:
        job = self.jobs[number % len(self.jobs)]
        if job.status in OPEN:
            self.service.cancel(job.id)
            job.cancelled()
        elif job.status is not JobStatus.CANCELLED:
            self._refused(InvalidState, lambda: self.service.cancel(job.id))

    @precondition(lambda self: self.jobs)
    @rule(number=JOBS)
    def retry(self, number: int) -> None:
        job = self.jobs[number % len(self.jobs)]
        if job.status is JobStatus.FAILED:
            self.service.retry(job.id)
            job.retried()
        else:
            self._refused(InvalidState, lambda: self.service.retry(job.id))

    @precondition(lambda self: self.jobs)
    @rule(number=JOBS, paused=booleans())
    def pause_or_resume(self, number: int, paused: bool) -> None:
        job = self.jobs[number % len(self.jobs)]
        act = self.service.pause if paused else self.service.resume
        if job.status in OPEN:
            act(job.id)
            job.paused = paused
        else:
            self._refused(InvalidState, lambda: act(job.id))

    # What chunk workers do

    @rule(target=chunk_claims, worker=WORKERS)
    def claim_chunk(self, worker: int) -> Any:
        claim = self.queues[worker].claim_chunk(DeepMode.GPU)
        waiting = [chunk for chunk in self.chunks.values() if chunk.is_claimable]
        if claim is None:
            assert not waiting
            return multiple()
        chunk = self.chunks[claim.chunk_id]
        assert chunk in waiting
        chunk.claimed()
        self._hand_out(claim.chunk_id, claim.attempts)
        return claim

    @rule(worker=WORKERS, claim=chunk_claims, progress=floats(0, 1))
    def heartbeat_chunk(self, worker: int, claim: ChunkClaim, progress: float) -> None:
        chunk = self.chunks[claim.chunk_id]
        holds = chunk.holds(claim.attempts) and chunk.job.status in WORKABLE
        if self._guarded(holds, lambda: self.queues[worker].heartbeat_chunk(claim, progress)):
            chunk.expired = False

    @rule(worker=WORKERS, claim=chunk_claims)
    def complete_chunk(self, worker: int, claim: ChunkClaim) -> None:
        chunk = self.chunks[claim.chunk_id]
        holds = chunk.holds(claim.attempts) and chunk.job.status is JobStatus.PROCESSING
        if self._guarded(holds, lambda: complete(self.queues[worker], claim)):
            chunk.completed()

    @rule(worker=WORKERS, claim=chunk_claims, permanent=booleans())
    def fail_chunk(self, worker: int, claim: ChunkClaim, permanent: bool) -> None:
        chunk = self.chunks[claim.chunk_id]
        error = BROKEN if permanent else TRY_AGAIN
        if self._guarded(chunk.holds(claim.attempts), lambda: self.queues[worker].fail_chunk(claim, error)):
            chunk.failed(MAX_ATTEMPTS, permanent=permanent)
            if chunk.status is ChunkStatus.FAILED:
                chunk.job.ended_by_chunk()

    @rule(worker=WORKERS, claim=chunk_claims)
    def release_chunk(self, worker: int, claim: ChunkClaim) -> None:
        chunk = self.chunks[claim.chunk_id]
        if self._guarded(chunk.holds(claim.attempts), lambda: self.queues[worker].release_chunk(claim)):
            chunk.released()

    # What analysis workers do

    @rule(target=job_claims, worker=WORKERS, status=sampled_from([JobStatus.QUEUED, JobStatus.AGGREGATING]))
    def claim_job(self, worker: int, status: JobStatus) -> Any:
        claim = self.queues[worker].claim_job(status)
        waiting = [job for job in self.jobs if job.is_claimable(status)]
        if claim is None:
            assert not waiting
            return multiple()
        job = self._job(claim)
        assert job in waiting
        job.claimed()
        self._hand_out(claim.job_id, claim.attempts)
        return claim

    @rule(worker=WORKERS, claim=job_claims, progress=floats(0, 1))
    def heartbeat_job(self, worker: int, claim: JobClaim, progress: float) -> None:
        job = self._job(claim)
        holds = job.holds(claim.status, claim.attempts)
        if self._guarded(holds, lambda: self.queues[worker].heartbeat_job(claim, progress)):
            job.expired = False

    @rule(worker=WORKERS, claim=job_claims)
    def finish_job(self, worker: int, claim: JobClaim) -> None:
        job = self._job(claim)
        holds = job.holds(JobStatus.AGGREGATING, claim.attempts)
        if self._guarded(holds, lambda: finish(self.queues[worker], claim)):
            job.finished()

    @rule(worker=WORKERS, claim=job_claims, permanent=booleans())
    def fail_job(self, worker: int, claim: JobClaim, permanent: bool) -> None:
        job = self._job(claim)
        error = BROKEN if permanent else TRY_AGAIN
        holds = job.holds(claim.status, claim.attempts)
        if self._guarded(holds, lambda: self.queues[worker].fail_job(claim, error)):
            job.failed(MAX_ATTEMPTS, permanent=permanent)

    @rule(worker=WORKERS, claim=job_claims)
    def release_job(self, worker: int, claim: JobClaim) -> None:
        job = self._job(claim)
        holds = job.holds(claim.status, claim.attempts)
        if self._guarded(holds, lambda: self.queues[worker].release_job(claim)):
            job.leased = False

    # What time and the sweep do

    @rule(claim=chunk_claims)
    def let_chunk_lease_expire(self, claim: ChunkClaim) -> None:
        chunk = self.chunks[claim.chunk_id]
        if chunk.status is ChunkStatus.PROCESSING:
            expire_chunk(self.database, claim)
            chunk.expired = True

    @rule(claim=job_claims)
    def let_job_lease_expire(self, claim: JobClaim) -> None:
        job = self._job(claim)
        if job.leased:
            expire_job(self.database, job.id)
            job.expired = True

    @rule(worker=WORKERS)
    def rescue(self, worker: int) -> None:
        chunks = [c for c in self.chunks.values() if c.status is ChunkStatus.PROCESSING and c.expired]
        jobs = [job for job in self.jobs if job.leased and job.expired]
        assert self.queues[worker].rescue_expired() == len(chunks) + len(jobs)
        for chunk in chunks:
            chunk.failed(MAX_ATTEMPTS)
        for chunk in chunks:
            if chunk.status is ChunkStatus.FAILED:
                chunk.job.ended_by_chunk()
        for job in jobs:
            job.failed(MAX_ATTEMPTS)

    # What must hold after every step

    @invariant()
    def the_database_is_what_the_model_says(self) -> None:
        chunks = self._sql(
            "SELECT id, status, attempts, failures, lease_expires_at IS NOT NULL FROM video_analysis_chunks"
        )
        jobs = self._sql(
            "SELECT id, status, attempts, failures, lease_expires_at IS NOT NULL, paused_at IS NOT NULL"
            " FROM video_analysis_jobs"
        )
        assert {id: tuple(row) for id, *row in chunks} == {chunk.id: chunk.row() for chunk in self.chunks.values()}
        assert {id: tuple(row) for id, *row in jobs} == {job.id: job.row() for job in self.jobs}
        self._check_counters([(id, row[1], row[2]) for id, *row in [*chunks, *jobs]])

    @invariant()
    def states_of_a_job_and_its_chunks_agree(self) -> None:
        rows = self._sql(
            "SELECT j.status, j.total_chunks, j.completed_chunks,"
            " count(*) FILTER (WHERE c.status = 'completed'), count(*) FILTER (WHERE c.status = 'queued')"
            " FROM video_analysis_jobs j LEFT JOIN video_analysis_chunks c ON c.job_id = j.id GROUP BY j.id"
        )
        for status, total, told, completed, queued in rows:
            assert told <= completed
            if status in (JobStatus.AGGREGATING, JobStatus.DONE):
                assert told == completed == total
            if status == JobStatus.PROCESSING:
                assert completed < total
            if status not in WORKABLE:
                assert queued == 0

    @invariant()
    def no_chunk_lies_where_the_claim_does_not_look(self) -> None:
        assert_floor(self.database)

    def _check_counters(self, rows: list[tuple[Any, int, int]]) -> None:
        for id, attempts, failures in rows:
            assert attempts >= self.attempts_seen.get(id, 0)
            assert failures <= MAX_ATTEMPTS
            self.attempts_seen[id] = attempts

    def _hand_out(self, id: Any, attempts: int) -> None:
        assert (id, attempts) not in self.handed_out
        self.handed_out.add((id, attempts))

    def _job(self, claim: JobClaim) -> JobModel:
        return next(job for job in self.jobs if job.id == claim.job_id)

    def _guarded(self, holds: bool, act: Callable[[], object]) -> bool:
        """Does it; a claim that does not hold must be refused, and change nothing."""
        if holds:
            act()
        else:
            self._refused(ClaimLost, act)
        return holds

    def _refused(self, error: type[Exception], act: Callable[[], object]) -> None:
        before = self._everything()
        with pytest.raises(error):
            act()
        assert self._everything() == before

    def _everything(self) -> list[tuple[Any, ...]]:
        return self._sql(
            "SELECT j::text FROM video_analysis_jobs j UNION ALL SELECT c::text FROM video_analysis_chunks c ORDER BY 1"
        )

    def _sql(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.transaction() as connection:
            result = connection.execute(text(query))
            return [tuple(row) for row in result] if result.returns_rows else []


def test_the_queue_is_its_model_in_any_order_of_events(database: Database, settings: Settings) -> None:
    more = int(os.environ.get("CHAOS_EXAMPLES", "0"))
    run_state_machine_as_test(
        lambda: QueueMachine(database, settings),  # type: ignore[arg-type] # any factory will do, says its documentation
        settings=hypothesis_settings(
            max_examples=more or QUICK_EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not more,
            database=None,
            deadline=None,
            # Shrinking is for people: only the long run, whose failure somebody looks at, takes the time.
            phases=[Phase.generate, Phase.shrink] if more else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )

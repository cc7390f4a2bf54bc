"""Any order of claims, heartbeats, finishes, failures, rescues, cancels and retries, with stale claims used in between.

Hypothesis chooses the order; after every step the database must be what the model in queue_model.py says.
`CHAOS_EXAMPLES` asks for more orders, and for new ones every time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import booleans, integers, lists, sampled_from
from sqlalchemy import text

from backend.db.engine import Database
from backend.errors import ClaimLost, InvalidState
from backend.jobs.service import JobService, NewJob
from backend.queue.claims import ChunkClaim, JobClaim
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import ChunkStatus, DeepMode, JobStatus
from tests.integration.queue.helpers import (
    BROKEN,
    TRY_AGAIN,
    assert_floor,
    complete,
    complete_and_claim,
    finish,
    planned_job,
)
from tests.integration.queue_model import OPEN, WORKABLE, ChunkModel, JobModel

MAX_ATTEMPTS = 3
MAX_JOBS = 3
STEPS = 40
QUICK_EXAMPLES = 25
WORKERS = integers(0, 2)
CHUNK_ACTS = ["heartbeat", "fail", "fail for good", "release"]
FIRST_ACTS = [*["complete"] * 5, *["keep"] * 3, *CHUNK_ACTS]
WISHES = ["pause", "resume", "resume", "resume", "retry", "cancel"]
JOB_ACTS = ["heartbeat", "fail", "fail for good", "release"]
FIRST_JOB_ACTS = [*["finish"] * 2, *["keep"] * 3, *JOB_ACTS]


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
        self._sql("TRUNCATE video_analysis_jobs, video_analysis_chunks, queue_lanes CASCADE")

    # What clients do

    @initialize(sizes=lists(integers(1, 3), min_size=1, max_size=2), whole=booleans())
    def begin(self, sizes: list[int], whole: bool) -> None:
        if whole:
            self.create(1, "two")
            self._take_chunk(0, "complete")
        for chunks in sizes:
            self.create(chunks, "one")

    @precondition(lambda self: len(self.jobs) < MAX_JOBS)
    @rule(chunks=integers(0, 3), tenant=sampled_from(["one", "two"]))
    def another_job(self, chunks: int, tenant: str) -> None:
        self.create(chunks, tenant)

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

    @rule(number=integers(0, MAX_JOBS - 1), wish=sampled_from(WISHES))
    def a_client_wishes(self, number: int, wish: str) -> None:
        going = [job for job in self.jobs if job.status not in (JobStatus.DONE, JobStatus.CANCELLED)] or self.jobs
        pool = self.jobs if wish == "cancel" else going
        job = pool[number % len(pool)]
        if job.status is JobStatus.FAILED and wish != "cancel":
            wish = "retry"  # the rest is refused, and leads nowhere
        act = getattr(self.service, wish)
        if wish == "cancel" and job.status is JobStatus.CANCELLED:
            act(job.id)  # twice is no error
        elif job.status not in ([JobStatus.FAILED] if wish == "retry" else OPEN):
            self._refused(InvalidState, lambda: act(job.id))
        else:
            act(job.id)
            job.wished(wish)

    # What workers do: claim and go on with it, or keep the claim and use it late. Whoever held the row before comes
    # back right after each claim, and is refused whatever it wants.

    @rule(target=chunk_claims, acts=lists(sampled_from(FIRST_ACTS), min_size=1, max_size=3))
    def workers_take_chunks(self, acts: list[str]) -> Any:
        claims = [self._take_chunk(worker, act) for worker, act in enumerate(acts)]
        return multiple(*[claim for claim in claims if claim is not None])

    def _take_chunk(self, worker: int, act: str) -> ChunkClaim | None:
        claim = self.queues[worker].claim_chunk(DeepMode.GPU)
        waiting = [chunk for chunk in self.chunks.values() if chunk.is_claimable]
        if claim is None:
            assert not waiting
            return None
        self._taken(claim, waiting)
        if claim.attempts > 1:
            self._refused(ClaimLost, *self._chunk_acts(worker, replace(claim, attempts=claim.attempts - 1)).values())
        if act != "keep":
            self.use_chunk_claim(worker, claim, act)
        return claim

    def _taken(self, claim: ChunkClaim, waiting: list[ChunkModel]) -> None:
        chunk = self.chunks[claim.chunk_id]
        assert chunk in waiting
        chunk.claimed()
        self._hand_out(claim.chunk_id, claim.attempts)

    @rule(worker=WORKERS, claim=chunk_claims, act=sampled_from(["complete", *CHUNK_ACTS]))
    def a_worker_comes_back_to_its_chunk(self, worker: int, claim: ChunkClaim, act: str) -> None:
        self.use_chunk_claim(worker, claim, act)

    @rule(target=chunk_claims, worker=WORKERS, claim=chunk_claims)
    def a_worker_goes_on_from_its_chunk(self, worker: int, claim: ChunkClaim) -> Any:
        """It completes one and claims the next with one statement; a stale one claims nothing."""
        chunk, queue = self.chunks[claim.chunk_id], self.queues[worker]
        if not chunk.may("complete", claim.attempts):
            self._refused(ClaimLost, lambda: complete_and_claim(queue, claim))
            return multiple()
        waiting = [other for other in self.chunks.values() if other.is_claimable]
        _, following = complete_and_claim(queue, claim)
        chunk.acted("complete", MAX_ATTEMPTS)
        if following is None:
            assert not waiting
            return multiple()
        self._taken(following, waiting)
        return following

    def use_chunk_claim(self, worker: int, claim: ChunkClaim, act: str) -> None:
        chunk, acts = self.chunks[claim.chunk_id], self._chunk_acts(worker, claim)
        if chunk.may(act, claim.attempts):
            acts[act]()
            chunk.acted(act, MAX_ATTEMPTS)
        else:
            self._refused(ClaimLost, acts[act])

    @rule(target=job_claims, acts=lists(sampled_from(FIRST_JOB_ACTS), min_size=1, max_size=3))
    def workers_take_jobs(self, acts: list[str]) -> Any:
        statuses = (JobStatus.AGGREGATING, JobStatus.QUEUED)
        claims = [self._take_job(worker, status, act) for worker, act in enumerate(acts) for status in statuses]
        return multiple(*[claim for claim in claims if claim is not None])

    def _take_job(self, worker: int, status: JobStatus, act: str) -> JobClaim | None:
        claim = self.queues[worker].claim_job(status)
        waiting = [job for job in self.jobs if job.is_claimable(status)]
        if claim is None:
            assert not waiting
            return None
        job = self._job(claim)
        assert job in waiting
        job.claimed()
        self._hand_out(claim.job_id, claim.attempts)
        if claim.attempts > 1:
            self._refused(ClaimLost, *self._job_acts(worker, replace(claim, attempts=claim.attempts - 1)).values())
        if act != "keep":
            self.use_job_claim(worker, claim, act)
        return claim

    @rule(worker=WORKERS, claim=job_claims, act=sampled_from(["finish", *JOB_ACTS]))
    def a_worker_comes_back_to_its_job(self, worker: int, claim: JobClaim, act: str) -> None:
        self.use_job_claim(worker, claim, act)

    def use_job_claim(self, worker: int, claim: JobClaim, act: str) -> None:
        job, acts = self._job(claim), self._job_acts(worker, claim)
        if job.may(act, claim.status, claim.attempts):
            acts[act]()
            job.acted(act, MAX_ATTEMPTS)
        else:
            self._refused(ClaimLost, acts[act])

    def _chunk_acts(self, worker: int, claim: ChunkClaim) -> dict[str, Callable[[], object]]:
        queue = self.queues[worker]
        return {
            "complete": lambda: complete(queue, claim),
            "heartbeat": lambda: queue.heartbeat_chunk(claim, 0.5),
            "fail": lambda: queue.fail_chunk(claim, TRY_AGAIN),
            "fail for good": lambda: queue.fail_chunk(claim, BROKEN),
            "release": lambda: queue.release_chunk(claim),
        }

    def _job_acts(self, worker: int, claim: JobClaim) -> dict[str, Callable[[], object]]:
        queue = self.queues[worker]
        return {
            "finish": lambda: finish(queue, claim),
            "heartbeat": lambda: queue.heartbeat_job(claim, 0.5),
            "fail": lambda: queue.fail_job(claim, TRY_AGAIN),
            "fail for good": lambda: queue.fail_job(claim, BROKEN),
            "release": lambda: queue.release_job(claim),
        }

    # What time and the sweep do

    @rule(worker=WORKERS, number=integers(0, 8))
    def leases_expire_and_are_rescued(self, worker: int, number: int) -> None:
        """One lease, or every one that is held."""
        held = [chunk for chunk in self.chunks.values() if chunk.status is ChunkStatus.PROCESSING]
        chunks = held[number : number + 1] or held
        jobs = [job for job in self.jobs if job.leased]
        past = "lease_expires_at = now() - interval '1 second'"
        for chunk in chunks:
            self._sql(f"UPDATE video_analysis_chunks SET {past} WHERE id = {chunk.id}")
        self._sql(f"UPDATE video_analysis_jobs SET {past} WHERE lease_expires_at IS NOT NULL")
        assert self.queues[worker].rescue_expired() == len(chunks) + len(jobs)
        for chunk in chunks:
            chunk.failed(MAX_ATTEMPTS)
        for chunk in chunks:
            chunk.end_its_job()
        for job in jobs:
            job.failed(MAX_ATTEMPTS)

    # What must hold after every step

    @invariant()
    def the_database_is_what_the_model_says(self) -> None:
        chunks = self._sql(
            "SELECT id, status, attempts, failures, lease_expires_at IS NOT NULL FROM video_analysis_chunks"
        )
        jobs = self._sql(
            "SELECT id, status, attempts, failures, lease_expires_at IS NOT NULL, paused_at IS NOT NULL,"
            " completed_chunks FROM video_analysis_jobs"
        )
        assert {id: tuple(row) for id, *row in chunks} == {chunk.id: chunk.row() for chunk in self.chunks.values()}
        assert {id: tuple(row) for id, *row, _ in jobs} == {job.id: job.row() for job in self.jobs}
        for id, _, attempts, failures, *_ in [*chunks, *jobs]:
            assert attempts >= self.attempts_seen.get(id, 0)
            assert failures <= MAX_ATTEMPTS
            self.attempts_seen[id] = attempts
        told = {id: completed for id, *_, completed in jobs}
        for job in self.jobs:
            assert told[job.id] <= job.completed
            if job.status in (JobStatus.AGGREGATING, JobStatus.DONE):
                assert told[job.id] == job.completed == len(job.chunks) > 0
            if job.status is JobStatus.PROCESSING:
                assert job.completed < len(job.chunks)
            if job.status not in WORKABLE:
                assert all(chunk.status is not ChunkStatus.QUEUED for chunk in job.chunks)

    @invariant()
    def no_chunk_lies_where_the_claim_does_not_look(self) -> None:
        assert_floor(self.database)

    def _hand_out(self, id: Any, attempts: int) -> None:
        assert (id, attempts) not in self.handed_out
        self.handed_out.add((id, attempts))

    def _job(self, claim: JobClaim) -> JobModel:
        return next(job for job in self.jobs if job.id == claim.job_id)

    def _refused(self, error: type[Exception], *acts: Callable[[], object]) -> None:
        """Each raises, and nothing changes."""
        before = self._everything()
        for act in acts:
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

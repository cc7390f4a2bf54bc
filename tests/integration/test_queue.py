"""The queue under races: who owns a chunk, what a stale worker may still do, and when a job moves on."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from backend.db.engine import Database
from backend.db.models import Chunk, Job
from backend.db.sql import statement
from backend.errors import ClaimLost, FramefleetError, MediaUndecodable, StorageError
from backend.jobs.progress import progress_of
from backend.jobs.queue import ChunkClaim, JobClaim, Queue
from backend.jobs.service import JobService, NewJob
from backend.media.facts import VideoFacts
from backend.settings import Settings
from backend.states import DeepMode, JobStatus, Stage

TICKS = 30_000
FACTS = VideoFacts(
    container="mp4",
    codec="h264",
    coded_width=640,
    coded_height=360,
    width=640,
    height=360,
    rotation=0,
    sample_aspect_ratio=(1, 1),
    fps=(25, 1),
    time_base=(1, 1000),
    start_pts=0,
    duration_pts=TICKS,
    duration_seconds=30.0,
    frame_count=750,
    has_audio=False,
    audio_codecs=[],
    keyframe_pts=[],
)
TRY_AGAIN = StorageError("The store is away.")
BROKEN = MediaUndecodable("Too many broken packets.")

StaleAct = Callable[[Queue, ChunkClaim], object]
STALE_ACTS: dict[str, StaleAct] = {
    "heartbeat": lambda queue, claim: queue.heartbeat_chunk(claim, 0.9),
    "complete": lambda queue, claim: queue.complete_chunk(claim, "stale/key", "0" * 64, {"name": "stale"}),
    "fail": lambda queue, claim: queue.fail_chunk(claim, TRY_AGAIN),
    "fail for good": lambda queue, claim: queue.fail_chunk(claim, BROKEN),
    "release": lambda queue, claim: queue.release_chunk(claim),
}
STALE_JOB_ACTS: dict[str, Callable[[Queue, JobClaim], object]] = {
    "heartbeat": lambda queue, claim: queue.heartbeat_job(claim, 0.9, Stage.RENDERING),
    "finish": lambda queue, claim: finish(queue, claim),
    "fail": lambda queue, claim: queue.fail_job(claim, TRY_AGAIN),
    "fail for good": lambda queue, claim: queue.fail_job(claim, BROKEN),
    "release": lambda queue, claim: queue.release_job(claim),
}


@pytest.fixture
def queue(database: Database, settings: Settings) -> Queue:
    return Queue(database, settings.model_copy(update={"worker_id": "first"}))


@pytest.fixture
def other(database: Database, settings: Settings) -> Queue:
    """The same queue, seen by another worker."""
    return Queue(database, settings.model_copy(update={"worker_id": "second"}))


@pytest.fixture
def service(database: Database) -> JobService:
    return JobService(database)


def planned_job(
    database: Database, chunks: int = 2, *, priority: int = 0, deep_mode: DeepMode = DeepMode.GPU, **chunk: object
) -> UUID:
    """A job as the planner leaves it."""
    job_id = uuid4()
    with database.session() as session:
        job = Job(
            id=job_id,
            kind="crop",
            stage=Stage.DEEP_QUEUED,
            deep_mode=deep_mode,
            priority=priority,
            input_uri="file:///film.mp4",
            input_name="film.mp4",
            source_etag="etag",
            source_size=1000,
            probe=FACTS.model_dump(mode="json"),
            total_chunks=chunks,
        )
        session.add(job)
        session.flush()
        for index in range(chunks):
            bounds = {"start_pts": index * TICKS, "end_pts": (index + 1) * TICKS}
            seconds = {"start_sec": index * 30.0, "end_sec": (index + 1) * 30.0}
            session.add(Chunk(job_id=job_id, chunk_index=index, priority=priority, **bounds, **seconds, **chunk))
    return job_id


def aggregating_job(database: Database, queue: Queue) -> UUID:
    job_id = planned_job(database, 1)
    complete(queue, claim_of(queue))
    return job_id


def claim_of(queue: Queue, job_id: UUID | None = None) -> ChunkClaim:
    claim = queue.claim_chunk(DeepMode.GPU, job_id)
    assert claim is not None
    return claim


def job_claim_of(queue: Queue, status: JobStatus = JobStatus.AGGREGATING) -> JobClaim:
    claim = queue.claim_job(status)
    assert claim is not None
    return claim


def complete(queue: Queue, claim: ChunkClaim) -> JobStatus:
    return queue.complete_chunk(claim, f"chunks/{claim.chunk_index}", "a" * 64, {"name": "hog"})


def finish(queue: Queue, claim: JobClaim) -> None:
    queue.finish_job(claim, output_uri="file:///out.mp4", output_key="out.mp4", timings={"render": 1.0}, warnings=[])


def sql(database: Database, query: str, **params: object) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        result = connection.execute(text(query), params)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []


def chunk_row(database: Database, claim: ChunkClaim) -> dict[str, Any]:
    return sql(database, "SELECT * FROM video_analysis_chunks WHERE id = :id", id=claim.chunk_id)[0]


def chunk_rows(database: Database, job_id: UUID) -> list[dict[str, Any]]:
    return sql(database, "SELECT * FROM video_analysis_chunks WHERE job_id = :id ORDER BY chunk_index", id=job_id)


def job_row(database: Database, job_id: UUID) -> dict[str, Any]:
    return sql(database, "SELECT * FROM video_analysis_jobs WHERE id = :id", id=job_id)[0]


def statuses(database: Database, job_id: UUID) -> list[str]:
    return [row["status"] for row in chunk_rows(database, job_id)]


def everything(database: Database) -> list[list[dict[str, Any]]]:
    tables = ("video_analysis_jobs", "video_analysis_chunks")
    return [sql(database, f"SELECT * FROM {table} ORDER BY id") for table in tables]


def expire_chunk(database: Database, claim: ChunkClaim) -> None:
    past = "now() - interval '1 second'"
    sql(database, f"UPDATE video_analysis_chunks SET lease_expires_at = {past} WHERE id = :id", id=claim.chunk_id)


def expire_job(database: Database, job_id: UUID) -> None:
    past = "now() - interval '1 second'"
    sql(database, f"UPDATE video_analysis_jobs SET lease_expires_at = {past} WHERE id = :id", id=job_id)


def pct(database: Database, job_id: UUID) -> int:
    return progress_of(database, [JobService(database).get(job_id)])[0].pct


def together(*acts: Callable[[], Any]) -> list[Any]:
    """Starts all at one moment; returns what each returned, or the typed error that it raised."""
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return act()
        except FramefleetError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def assert_consistent(database: Database, job_id: UUID) -> None:
    """What must hold for a job at every commit."""
    job, chunks = job_row(database, job_id), chunk_rows(database, job_id)
    completed = [chunk for chunk in chunks if chunk["status"] == "completed"]
    assert job["completed_chunks"] == len(completed)
    assert all(chunk["artifact_sha256"] for chunk in completed)
    leased = [chunk["status"] == "processing" for chunk in chunks]
    assert [chunk["lease_expires_at"] is not None for chunk in chunks] == leased
    if job["status"] in ("aggregating", "done"):
        assert len(completed) == job["total_chunks"]
    if job["status"] == "processing":
        assert len(completed) < job["total_chunks"]


# Claims


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


def test_a_claim_takes_priority_then_chunk_index_across_jobs_then_age(database: Database, queue: Queue) -> None:
    older, newer = planned_job(database, 3), planned_job(database, 2)
    urgent = planned_job(database, 2, priority=5)
    claims = [claim_of(queue) for _ in range(7)]
    names = {older: "older", newer: "newer", urgent: "urgent"}
    assert [(names[claim.job_id], claim.chunk_index) for claim in claims] == [
        ("urgent", 0), ("urgent", 1), ("older", 0), ("newer", 0), ("older", 1), ("newer", 1), ("older", 2),
    ]  # fmt: skip
    assert queue.claim_chunk(DeepMode.GPU) is None


def test_a_small_job_never_waits_behind_the_chunks_of_a_big_one(database: Database, queue: Queue) -> None:
    planned_job(database, 100)
    small = planned_job(database, 1)
    assert small in [claim_of(queue).job_id for _ in range(2)]


def test_a_chunk_that_is_not_due_yet_is_not_claimed(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    sql(database, "UPDATE video_analysis_chunks SET available_at = now() + interval '1 hour'")
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert queue.has_queued(DeepMode.GPU)
    sql(database, "UPDATE video_analysis_chunks SET available_at = now() - interval '1 microsecond'")
    claim_of(queue)


def test_a_claim_names_its_worker_its_lease_and_the_work(database: Database, queue: Queue, settings: Settings) -> None:
    job_id = planned_job(database, 2)
    claim = claim_of(queue)
    row = chunk_row(database, claim)
    assert (claim.job_id, claim.chunk_index, claim.total_chunks) == (job_id, 0, 2)
    assert (claim.start_pts, claim.end_pts, claim.facts) == (0, TICKS, FACTS)
    assert (claim.is_first, claim.is_last) == (True, False)
    assert (row["status"], row["claimed_by"], row["attempts"]) == ("processing", "first", 1)
    (left,) = sql(database, "SELECT extract(epoch FROM lease_expires_at - now()) AS s FROM video_analysis_chunks "
                            "WHERE lease_expires_at IS NOT NULL")  # fmt: skip
    assert settings.lease_seconds - 5 < left["s"] <= settings.lease_seconds
    job = job_row(database, job_id)
    assert (job["status"], job["stage"]) == ("processing", "PROCESSING")
    assert job["started_at"] is not None


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


# Heartbeats and progress


def test_a_heartbeat_extends_the_lease_and_keeps_the_best_progress(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    claim = claim_of(queue)
    expire_chunk(database, claim)
    queue.heartbeat_chunk(claim, 0.6)
    queue.heartbeat_chunk(claim, 0.2)
    assert chunk_row(database, claim)["progress"] == 0.6
    assert queue.rescue_expired() == 0


def test_heartbeats_rewrite_the_row_in_place_and_touch_no_index(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    claim = claim_of(queue)
    params = {"chunk_id": claim.chunk_id, "attempts": 1, "progress": 0.5, "lease_seconds": 60}
    with database.transaction() as connection:
        connection.execute(statement("heartbeat_chunk"), params)
        query = "SELECT pg_stat_get_xact_tuples_hot_updated('video_analysis_chunks'::regclass)"
        assert connection.execute(text(query)).scalar_one() == 1


def test_progress_never_falls_over_failure_rescue_and_retry(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 3)
    seen = [pct(database, job_id)]

    def look() -> None:
        seen.append(pct(database, job_id))
        assert_consistent(database, job_id)

    complete(queue, claim_of(queue))
    look()
    claim = claim_of(queue)
    queue.heartbeat_chunk(claim, 0.9)
    look()
    expire_chunk(database, claim)
    queue.rescue_expired()
    look()
    claim = claim_of(queue)
    queue.heartbeat_chunk(claim, 0.1)
    look()
    queue.fail_chunk(claim, BROKEN)
    look()
    service.retry(job_id)
    look()
    while (again := queue.claim_chunk(DeepMode.GPU)) is not None:
        look()
        complete(queue, again)
        look()
    aggregation = job_claim_of(queue)
    queue.heartbeat_job(aggregation, 0.8, Stage.RENDERING)
    look()
    queue.fail_job(aggregation, TRY_AGAIN)
    look()
    aggregation = job_claim_of(queue)
    queue.heartbeat_job(aggregation, 0.0)
    look()
    assert max(seen) < 100
    finish(queue, aggregation)
    look()
    assert seen == sorted(seen)
    assert seen[-1] == 100


# Stale workers


@pytest.mark.parametrize("act", STALE_ACTS.values(), ids=STALE_ACTS)
def test_stale_worker_changes_nothing_of_a_rescued_and_reclaimed_chunk(
    database: Database, queue: Queue, other: Queue, act: StaleAct
) -> None:
    planned_job(database, 2)
    stale = claim_of(queue)
    expire_chunk(database, stale)
    assert other.rescue_expired() == 1
    fresh = claim_of(other)
    assert (fresh.chunk_id, fresh.attempts) == (stale.chunk_id, stale.attempts + 1)
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, stale)
    assert everything(database) == before
    assert complete(other, fresh) == JobStatus.PROCESSING


@pytest.mark.parametrize("act", STALE_ACTS.values(), ids=STALE_ACTS)
def test_stale_worker_changes_nothing_of_a_rescued_chunk_that_waits(
    database: Database, queue: Queue, act: StaleAct
) -> None:
    planned_job(database, 1)
    stale = claim_of(queue)
    expire_chunk(database, stale)
    queue.rescue_expired()
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, stale)
    assert everything(database) == before


@pytest.mark.parametrize("act", STALE_ACTS.values(), ids=STALE_ACTS)
def test_a_finished_chunk_is_finished_once(database: Database, queue: Queue, act: StaleAct) -> None:
    planned_job(database, 2)
    claim = claim_of(queue)
    complete(queue, claim)
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, claim)
    assert everything(database) == before


@pytest.mark.parametrize("act", STALE_JOB_ACTS.values(), ids=STALE_JOB_ACTS)
def test_stale_aggregator_changes_nothing_of_a_reclaimed_job(
    database: Database, queue: Queue, other: Queue, act: Callable[[Queue, JobClaim], object]
) -> None:
    job_id = aggregating_job(database, queue)
    stale = job_claim_of(queue)
    expire_job(database, job_id)
    assert other.rescue_expired() == 1
    fresh = job_claim_of(other)
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, stale)
    assert everything(database) == before
    finish(other, fresh)
    assert job_row(database, job_id)["status"] == "done"


def test_rescue_and_complete_at_once_leave_one_winner(database: Database, queue: Queue, other: Queue) -> None:
    for _ in range(15):
        job_id = planned_job(database, 1)
        claim = claim_of(queue)
        expire_chunk(database, claim)
        completed, rescued = together(lambda c=claim: complete(queue, c), other.rescue_expired)
        lost = isinstance(completed, ClaimLost)
        assert rescued == int(lost)
        assert statuses(database, job_id) == (["queued"] if lost else ["completed"])
        assert_consistent(database, job_id)
        JobService(database).cancel(job_id)


# Rescue, failure, release


def test_rescue_puts_an_expired_chunk_back_and_counts_a_failure(database: Database, queue: Queue) -> None:
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


def test_a_retryable_failure_backs_off_and_doubles_with_each_try(database: Database, settings: Settings) -> None:
    patient = Queue(database, settings.model_copy(update={"retry_base_seconds": 10.0, "retry_cap_seconds": 35.0}))
    planned_job(database, 1)
    for failures, longest_sec in enumerate((10, 20, 35, 35), start=1):
        claim = claim_of(patient)
        patient.fail_chunk(claim, TRY_AGAIN)
        assert patient.claim_chunk(DeepMode.GPU) is None
        (wait,) = sql(database, "SELECT extract(epoch FROM available_at - now()) AS sec FROM video_analysis_chunks")
        assert longest_sec / 2 - 2 <= wait["sec"] <= longest_sec
        row = chunk_row(database, claim)
        assert (row["status"], row["failures"], row["error_code"]) == ("queued", failures, "storage_error")
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
    assert (job["status"], job["error_code"], job["error_retryable"]) == ("failed", "storage_error", True)
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


# The last chunk


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
            assert_counts(database, job_id)
        return seen

    results = [status for seen in together(*(lambda w=w: work(w) for w in workers)) for status in seen]
    assert sorted(results) == [JobStatus.AGGREGATING] + [JobStatus.PROCESSING] * 59
    claims = together(*(lambda w=w: w.claim_job(JobStatus.AGGREGATING) for w in workers))
    assert sum(claim is not None for claim in claims) == 1
    assert json.loads(json.dumps(job_row(database, job_id)["detector"])) == {"name": "hog"}


def assert_counts(database: Database, job_id: UUID) -> None:
    query = (
        "SELECT j.completed_chunks, (SELECT count(*) FROM video_analysis_chunks c"
        " WHERE c.job_id = j.id AND c.status = 'completed') AS counted FROM video_analysis_jobs j WHERE j.id = :id"
    )
    (row,) = sql(database, query, id=job_id)
    assert row["completed_chunks"] == row["counted"]


# Cancel


def test_cancel_leaves_nothing_to_claim_and_stops_running_work(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 3)
    complete(queue, claim_of(queue))
    running = claim_of(queue)
    service.cancel(job_id)
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert not queue.has_queued(DeepMode.GPU)
    assert statuses(database, job_id) == ["completed", "processing", "failed"]
    before = everything(database)
    for act in ("heartbeat", "complete"):
        with pytest.raises(ClaimLost):
            STALE_ACTS[act](queue, running)
    assert everything(database) == before


@pytest.mark.parametrize("act", STALE_JOB_ACTS.values(), ids=STALE_JOB_ACTS)
def test_cancel_stops_a_running_aggregation(
    database: Database, queue: Queue, service: JobService, act: Callable[[Queue, JobClaim], object]
) -> None:
    job_id = aggregating_job(database, queue)
    claim = job_claim_of(queue)
    service.cancel(job_id)
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, claim)
    assert everything(database) == before
    assert queue.claim_job(JobStatus.AGGREGATING) is None


def test_cancel_racing_the_last_completions_never_deadlocks(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    for _ in range(25):
        job_id = planned_job(database, 3)
        mine, yours = claim_of(queue, job_id), claim_of(other, job_id)
        *completions, cancelled = together(
            lambda c=mine: complete(queue, c), lambda c=yours: complete(other, c), lambda j=job_id: service.cancel(j)
        )
        assert all(isinstance(result, JobStatus | ClaimLost) for result in completions), completions
        assert cancelled.status == JobStatus.CANCELLED
        assert "queued" not in statuses(database, job_id)
        assert_consistent(database, job_id)


def test_claims_racing_cancel_never_deadlock(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    for _ in range(25):
        job_id = planned_job(database, 4)
        *claims, cancelled = together(
            *[lambda q=q, j=job_id: q.claim_chunk(DeepMode.GPU, j) for q in (queue, other, queue)],
            lambda j=job_id: service.cancel(j),
        )
        assert all(claim is None or isinstance(claim, ChunkClaim) for claim in claims), claims
        assert cancelled.status == JobStatus.CANCELLED
        assert job_row(database, job_id)["status"] == "cancelled"
        assert queue.claim_chunk(DeepMode.GPU, job_id) is None
        for claim in claims:
            if claim is not None:
                with pytest.raises(ClaimLost):
                    queue.heartbeat_chunk(claim, 0.1)
        assert statuses(database, job_id).count("processing") == sum(claim is not None for claim in claims)
        assert_consistent(database, job_id)


def test_failures_racing_claims_and_cancel_never_deadlock(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    for _ in range(25):
        job_id = planned_job(database, 5)
        broken, also_broken = claim_of(queue, job_id), claim_of(other, job_id)
        results = together(
            lambda c=broken: queue.fail_chunk(c, BROKEN),
            lambda c=also_broken: other.fail_chunk(c, BROKEN),
            lambda j=job_id: queue.claim_chunk(DeepMode.GPU, j),
            lambda j=job_id: other.claim_chunk(DeepMode.GPU, j),
            lambda j=job_id: service.cancel(j),
        )
        codes = {result.code for result in results if isinstance(result, FramefleetError)}
        assert codes <= {"claim_lost", "invalid_state"}, results
        assert job_row(database, job_id)["status"] in ("failed", "cancelled")
        assert queue.claim_chunk(DeepMode.GPU, job_id) is None
        assert_consistent(database, job_id)


# Retry


def test_retry_puts_back_only_failed_chunks_and_keeps_attempts(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 3)
    complete(queue, claim_of(queue))
    queue.fail_chunk(claim_of(queue), BROKEN)
    done, failed, _ = chunk_rows(database, job_id)
    service.retry(job_id)
    rows = chunk_rows(database, job_id)
    assert rows[0] == done
    assert [row["status"] for row in rows] == ["completed", "queued", "queued"]
    assert (rows[1]["attempts"], rows[1]["failures"], rows[1]["error_code"]) == (failed["attempts"], 0, None)
    job = job_row(database, job_id)
    assert (job["status"], job["stage"], job["error_code"]) == ("queued", "DEEP_QUEUED", None)
    assert (job["completed_chunks"], job["completed_at"]) == (1, None)
    assert complete(queue, claim_of(queue)) == JobStatus.PROCESSING
    assert complete(queue, claim_of(queue)) == JobStatus.AGGREGATING


def test_retry_of_a_failed_aggregation_goes_on_with_the_aggregation(
    database: Database, queue: Queue, service: JobService
) -> None:
    job_id = aggregating_job(database, queue)
    queue.fail_job(job_claim_of(queue), BROKEN)
    assert job_row(database, job_id)["status"] == "failed"
    service.retry(job_id)
    assert statuses(database, job_id) == ["completed"]
    claim = job_claim_of(queue)
    assert (claim.job_id, claim.attempts) == (job_id, 2)


def test_a_worker_that_died_with_a_job_that_was_retried_since_does_not_strand_the_job(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    job_id = planned_job(database, 2)
    broken, running = claim_of(queue), claim_of(other)
    queue.fail_chunk(broken, BROKEN)
    service.retry(job_id)
    expire_chunk(database, running)
    queue.rescue_expired()
    while (claim := queue.claim_chunk(DeepMode.GPU)) is not None:
        complete(queue, claim)
    assert job_row(database, job_id)["status"] == "aggregating"


def test_retry_racing_rescue_and_claims_never_deadlocks_nor_strands_the_job(
    database: Database, queue: Queue, other: Queue, service: JobService
) -> None:
    for _ in range(15):
        job_id = planned_job(database, 4)
        broken, dead = claim_of(queue, job_id), claim_of(other, job_id)
        queue.fail_chunk(broken, BROKEN)
        expire_chunk(database, dead)
        results = together(
            lambda j=job_id: service.retry(j),
            other.rescue_expired,
            lambda j=job_id: queue.claim_chunk(DeepMode.GPU, j),
            lambda j=job_id: other.claim_chunk(DeepMode.GPU, j),
        )
        assert not [result for result in results if isinstance(result, FramefleetError)]
        for claim in results[2:]:
            if claim is not None:
                complete(queue, claim)
        queue.rescue_expired()
        while (claim := queue.claim_chunk(DeepMode.GPU, job_id)) is not None:
            complete(queue, claim)
        assert job_row(database, job_id)["status"] == "aggregating"
        finish(queue, job_claim_of(queue))


def test_two_retries_at_once_count_once(database: Database, queue: Queue, service: JobService) -> None:
    job_id = planned_job(database, 1)
    queue.fail_chunk(claim_of(queue), BROKEN)
    results = together(*[lambda: service.retry(job_id)] * 4)
    assert sorted(getattr(result, "code", "moved") for result in results) == ["invalid_state"] * 3 + ["moved"]


# Jobs: planning and aggregation


def test_a_job_is_planned_by_one_worker(database: Database, queue: Queue, other: Queue, service: JobService) -> None:
    job = service.create(NewJob(kind="crop", input_uri="file:///a.mp4", input_name="a.mp4"))
    claims = together(*[lambda q=q: q.claim_job(JobStatus.QUEUED) for q in (queue, other) * 4])
    (won,) = [claim for claim in claims if claim is not None]
    assert (won.job_id, won.attempts, won.status) == (job.id, 1, JobStatus.QUEUED)


def test_a_planned_job_is_not_planned_again(database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    assert queue.claim_job(JobStatus.QUEUED) is None


def test_a_job_claim_can_be_limited_to_one_job(database: Database, queue: Queue) -> None:
    aggregating_job(database, queue)
    mine = aggregating_job(database, queue)
    assert queue.claim_job(JobStatus.AGGREGATING, uuid4()) is None
    claim = queue.claim_job(JobStatus.AGGREGATING, mine)
    assert claim is not None and claim.job_id == mine
    assert queue.claim_job(JobStatus.AGGREGATING, mine) is None


def test_a_failed_aggregation_backs_off_and_ends_failed_after_max_attempts(
    database: Database, settings: Settings
) -> None:
    patient = Queue(database, settings.model_copy(update={"retry_base_seconds": 100.0}))
    job_id = aggregating_job(database, patient)
    for attempt in range(1, settings.max_attempts):
        claim = job_claim_of(patient)
        assert claim.attempts == attempt
        assert patient.fail_job(claim, TRY_AGAIN) == JobStatus.AGGREGATING
        assert patient.claim_job(JobStatus.AGGREGATING) is None
        assert job_row(database, job_id)["failures"] == attempt
        sql(database, "UPDATE video_analysis_jobs SET available_at = now()")
    assert patient.fail_job(job_claim_of(patient), TRY_AGAIN) == JobStatus.FAILED
    job = job_row(database, job_id)
    assert (job["status"], job["error_code"], job["error_retryable"]) == ("failed", "storage_error", True)
    assert job["completed_at"] is not None


def test_an_aggregation_whose_worker_died_is_claimed_again_and_fails_in_the_end(
    database: Database, queue: Queue, settings: Settings
) -> None:
    job_id = aggregating_job(database, queue)
    for _ in range(settings.max_attempts):
        job_claim_of(queue)
        assert queue.rescue_expired() == 0
        expire_job(database, job_id)
        assert queue.rescue_expired() == 1
    job = job_row(database, job_id)
    assert (job["status"], job["error_code"], job["attempts"]) == ("failed", "worker_lost", settings.max_attempts)


def test_a_released_aggregation_counts_no_failure(database: Database, queue: Queue, other: Queue) -> None:
    job_id = aggregating_job(database, queue)
    queue.release_job(job_claim_of(queue))
    assert job_row(database, job_id)["failures"] == 0
    finish(other, job_claim_of(other))
    job = job_row(database, job_id)
    assert (job["status"], job["stage"], job["output_uri"]) == ("done", "DONE", "file:///out.mp4")


@pytest.mark.parametrize("act", STALE_JOB_ACTS.values(), ids=STALE_JOB_ACTS)
def test_a_finished_job_is_finished_once(
    database: Database, queue: Queue, act: Callable[[Queue, JobClaim], object]
) -> None:
    aggregating_job(database, queue)
    claim = job_claim_of(queue)
    finish(queue, claim)
    before = everything(database)
    with pytest.raises(ClaimLost):
        act(queue, claim)
    assert everything(database) == before


# Creation


def test_two_requests_with_one_idempotency_key_make_one_job(database: Database, service: JobService) -> None:
    for number in range(10):
        request = {"kind": "crop", "input_uri": "file:///a.mp4", "input_name": "a.mp4", "idempotency_key": f"k{number}"}
        jobs = together(*[lambda r=request: service.create(NewJob(**r))] * 4)
        assert len({job.id for job in jobs}) == 1, jobs
    assert len(sql(database, "SELECT id FROM video_analysis_jobs")) == 10

"""Earlier releases beside this one's tables, and this one beside their rows: what a deployment and its way back need.

What they ask of the database was written down when they were released (tests/releases). test_previous_release.py runs
their code itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from backend.db.engine import Database
from backend.db.migrate import upgrade
from backend.errors import ClaimLost
from backend.jobs.resource import job_resources
from backend.jobs.service import JobService
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from tests.integration.queue.helpers import (
    FACTS,
    assert_consistent,
    claim_of,
    complete,
    finish,
    job_claim_of,
    planned_job,
    sql,
    statuses,
)
from tests.releases.recorded import RELEASES, EarlierWorker, Release

JOBS, CHUNKS = "video_analysis_jobs", "video_analysis_chunks"
Hired = Callable[[Release, str], EarlierWorker]


@pytest.fixture(params=RELEASES, ids=lambda release: release.name)
def release(request: pytest.FixtureRequest) -> Release:
    found: Release = request.param
    return found


@pytest.fixture
def hired() -> Iterator[Hired]:
    """Makes a release's worker on a database."""
    workers: list[EarlierWorker] = []

    def hire(release: Release, url: str) -> EarlierWorker:
        workers.append(EarlierWorker(release, url))
        return workers[-1]

    yield hire
    for worker in workers:
        worker.close()


@pytest.fixture
def queue(database: Database, settings: Settings) -> Queue:
    return Queue(database, settings.model_copy(update={"worker_id": "ours"}))


def test_every_statement_of_an_earlier_release_still_means_something(database_url: str, release: Release) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for number, name in enumerate(release.statements):
            connection.execute(f"PREPARE statement_{number} AS {release.numbered(name)}")


def test_columns_of_an_earlier_release_are_there_and_new_ones_ask_nothing_of_it(
    database: Database, release: Release
) -> None:
    query = """SELECT attname, format_type(atttypid, atttypmod) AS type, NOT attnotnull OR atthasdef AS may_be_left_out
               FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped"""
    for table, columns in release.columns.items():
        found = {row["attname"]: row for row in sql(database, query, table=table)}
        assert {name: found[name]["type"] for name in columns} == {n: type.lower() for n, type in columns.items()}
        assert [name for name, row in found.items() if name not in columns and not row["may_be_left_out"]] == []


def completed(worker: EarlierWorker, claimed: dict[str, Any], name: str = "complete_chunk") -> dict[str, Any] | None:
    artifact = {"artifact_key": f"chunks/{claimed['chunk_id']}", "artifact_sha256": "a" * 64, "bytes_read": 1}
    return worker.ask(name, chunk_id=claimed["chunk_id"], attempts=claimed["attempts"], **artifact)


def test_an_earlier_worker_and_ours_do_one_job_and_fence_each_other_off(
    database: Database, database_url: str, queue: Queue, release: Release, hired: Hired
) -> None:
    earlier, job_id = hired(release, database_url), planned_job(database, 4)
    sql(database, f"UPDATE {JOBS} SET schema_version = :known", known=release.schema_version)
    seen = {"kind": "gpu_chunk_worker", "knows": "{crop}", "encoders": "{}", "trouble": None, "silent_seconds": 45.0}
    assert earlier.ask("worker_seen", **seen) is not None
    theirs, ours = earlier.ask("claim_chunk"), claim_of(queue)
    assert theirs is not None and theirs["chunk_id"] != ours.chunk_id
    beat = {"chunk_id": theirs["chunk_id"], "attempts": theirs["attempts"], "progress": 0.5}
    assert earlier.ask("heartbeat_chunk", last_event="chunk_claimed", **beat) is not None
    following = completed(earlier, theirs, "complete_and_claim")
    assert following is not None
    complete(queue, ours)
    # Ours takes over what theirs held, and theirs finds out.
    sql(database, f"UPDATE {CHUNKS} SET lease_expires_at = now() WHERE id = :id", id=following["chunk_id"])
    assert queue.rescue_expired() == 1
    sql(database, f"UPDATE {CHUNKS} SET available_at = now()")
    taken = {claim.chunk_id: claim for claim in (claim_of(queue), claim_of(queue))}
    assert completed(earlier, following) is None
    for claim in taken.values():
        complete(queue, claim)
    assert_consistent(database, job_id)
    _film_is_made_by(earlier, database, job_id)


def _film_is_made_by(earlier: EarlierWorker, database: Database, job_id: UUID) -> None:
    claim = earlier.ask("claim_job", status="aggregating")
    assert claim is not None and claim["job_id"] == job_id
    guard = {"job_id": job_id, "attempts": claim["attempts"], "status": "aggregating"}
    assert earlier.ask("heartbeat_job", progress=0.5, stage="RENDERING", **guard) is not None
    film = {"output_uri": "file:///out.mp4", "output_key": "out.mp4", "output_size": 10, "encoder": "libx264"}
    assert earlier.ask("finish_job", timings='{"render": 1}', warnings="[]", **film, **guard) is not None
    shown = job_resources(database, [JobService(database).get(job_id)])[0]
    assert (shown["status"], shown["progress_pct"], shown["failed_chunks"]) == ("done", 100, 0)


def test_an_earlier_worker_cannot_finish_what_ours_has_finished(
    database: Database, database_url: str, queue: Queue, release: Release, hired: Hired
) -> None:
    earlier, job_id = hired(release, database_url), planned_job(database, 1)
    sql(database, f"UPDATE {JOBS} SET schema_version = :known", known=release.schema_version)
    complete(queue, claim_of(queue))
    held = earlier.ask("claim_job", status="aggregating")
    assert held is not None
    assert earlier.ask("release_job", job_id=job_id, attempts=held["attempts"], status="aggregating") is not None
    finish(queue, job_claim_of(queue))
    film = {"output_uri": "x", "output_key": "x", "output_size": 1, "encoder": None, "timings": "{}", "warnings": "[]"}
    assert earlier.ask("finish_job", job_id=job_id, attempts=held["attempts"], **film) is None
    assert JobService(database).get(job_id).output_key == "out.mp4"


def test_a_job_begun_before_the_migration_is_finished_by_both_after_it(
    empty: Database, empty_url: str, settings: Settings, release: Release, hired: Hired
) -> None:
    """Rows as that release wrote them, into the tables as it had them; it goes on while they are migrated."""
    upgrade(empty, release.head)
    earlier, job_id = hired(release, empty_url), _planned_by(release, empty)
    first = earlier.ask("claim_chunk")
    assert first is not None
    second = completed(earlier, first, "complete_and_claim")
    assert second is not None
    upgrade(empty)
    queue = Queue(empty, settings.model_copy(update={"worker_id": "ours"}))
    third = claim_of(queue)
    beat = {"chunk_id": second["chunk_id"], "attempts": second["attempts"], "progress": 0.5, "last_event": None}
    assert earlier.ask("heartbeat_chunk", **beat) is not None
    assert completed(earlier, second) is not None
    assert complete(queue, third) is JobStatus.AGGREGATING
    assert statuses(empty, job_id) == ["completed"] * 3
    with pytest.raises(ClaimLost):
        complete(queue, third)
    finish(queue, job_claim_of(queue))
    assert_consistent(empty, job_id)


def _planned_by(release: Release, database: Database) -> UUID:
    """A job of three chunks, with the columns that every release has."""
    job_id = uuid4()
    job = """INSERT INTO video_analysis_jobs (id, kind, stage, input_uri, input_name, source_etag, source_size, probe,
                                              total_chunks, schema_version)
             VALUES (:id, 'crop', 'DEEP_QUEUED', 'file:///a', 'a', 'etag', 1, CAST(:probe AS jsonb), 3, :version)"""
    sql(database, job, id=job_id, probe=FACTS.model_dump_json(), version=release.schema_version)
    chunks = """INSERT INTO video_analysis_chunks (job_id, chunk_index, claim_rank,
                                                   start_sec, end_sec, start_pts, end_pts)
                SELECT :id, n, n, n, n + 1, n * 1000, (n + 1) * 1000 FROM generate_series(0, 2) n"""
    sql(database, chunks, id=job_id)
    sql(database, "UPDATE queue_lanes SET floor_rank = 0 WHERE deep_mode = 'gpu' AND tenant = 'default'")
    return job_id

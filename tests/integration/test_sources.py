"""A server without ranges is asked for the film once, whoever reads it afterwards and however often."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.db.engine import Database
from backend.jobs.plan import Planner
from backend.jobs.service import JobService, NewJob
from backend.jobs.sources import COPY_NOTE, open_for_planning
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from tests.conftest import Said
from tests.integration.conftest import Workers, read_film
from tests.integration.rows import sql
from tests.integration.test_workers import film_of, submit
from tests.samples import make_sample
from tests.unit.test_http_source import Server, in_turn, ranged, server, whole
from tests.unit.test_http_versions import trickling

__all__ = ["server"]
CLIP_SEC = 4


@pytest.fixture
def film(server: Server, tmp_path: Path) -> Iterator[bytes]:
    """What the server has, under an ETag that changes with every answer, as behind a balancer."""
    data = make_sample(tmp_path / "clip.mp4", seconds=CLIP_SEC).read_bytes()
    server.answers["/clip.mp4"] = lambda handler: whole(data, ETag=f'"{len(server.requests)}"')(handler)
    yield data


def test_a_server_without_ranges_is_asked_once_for_planning_chunks_and_film(
    server: Server, film: bytes, workers: Workers, database: Database, settings: Settings, tmp_path: Path,
    said: list[Said],
) -> None:  # fmt: skip
    uri = server.url("/clip.mp4?signature=hidden")
    job = submit(database, settings.model_copy(update={"chunk_seconds": 2.0}), uri, aspect="1:1")
    copied = next(event for event in said if event.event == "source_copied")
    assert copied.fields["size_bytes"] == len(film)
    assert open_store(settings).get(str(copied.fields["key"])) == film
    assert str(copied.fields["key"]).startswith(f"jobs/{job.id}/")  # so that it is deleted with the job
    workers.start_chunk_worker("chunk-0")
    workers.start_chunk_worker("chunk-1")
    workers.start_analysis_worker()
    job = workers.wait_for_end(job)
    assert (job.status, job.total_chunks) == ("done", 2), job.error_message
    assert len(server.ranges("/clip.mp4")) == 1
    assert COPY_NOTE in job.warnings
    assert len(read_film(film_of(job, settings, tmp_path)).pts) == 25 * CLIP_SEC


def test_a_planner_that_died_after_fetching_left_its_copy_to_the_next(
    server: Server, film: bytes, database: Database, settings: Settings
) -> None:
    job = JobService(database).create(NewJob("crop", server.url("/clip.mp4"), "clip.mp4"))
    queue, store = Queue(database, settings), open_store(settings)
    dead = queue.claim_job(JobStatus.QUEUED, job.id)
    assert dead is not None
    open_for_planning(dead, store, settings)
    queue.release_job(dead)
    heir = queue.claim_job(JobStatus.QUEUED, job.id)
    assert heir is not None
    Planner(database, queue, store, settings).plan(heir)
    assert JobService(database).get(job.id).total_chunks == 1
    assert len(server.ranges("/clip.mp4")) == 1


def test_a_copy_that_somebody_deleted_is_replaced_by_the_server_while_it_has_the_same_bytes(
    server: Server, film: bytes, workers: Workers, database: Database, settings: Settings
) -> None:
    store = open_store(settings)
    job = submit(database, settings, server.url("/clip.mp4"))
    for key in list(store.list(f"jobs/{job.id}/source-")):
        store.delete(key)
    workers.start_chunk_worker()
    workers.start_analysis_worker()
    job = workers.wait_for_end(job)
    assert job.status == "done", job.error_message


def test_a_download_stops_at_the_largest_size_that_is_allowed(
    server: Server, film: bytes, database: Database, settings: Settings
) -> None:
    small = settings.model_copy(update={"max_source_bytes": len(film) - 1})
    job = submit(database, small, server.url("/clip.mp4"))
    assert (job.status, job.error_code) == ("failed", "media_too_large")
    assert list(open_store(settings).list("jobs/")) == []
    assert sql(database, "SELECT count(*) AS chunks FROM video_analysis_chunks") == [{"chunks": 0}]


def test_a_source_that_trickles_ends_its_planning_with_its_own_words(
    server: Server, film: bytes, database: Database, settings: Settings
) -> None:
    """Not with those of the child, which only notices that no bytes come; and not after each read's own time."""
    at_first = [ranged(film)] * 3  # for the first bytes and the samples
    server.answers["/clip.mp4"] = in_turn(*at_first, trickling(film))
    hasty = settings.model_copy(update={"source_stall_seconds": 1.0, "max_attempts": 1})
    began = time.monotonic()
    job = submit(database, hasty, server.url("/clip.mp4"))
    assert (job.status, job.error_code) == ("failed", "source_unreachable")
    assert "too slowly" in (job.error_message or "")
    assert time.monotonic() - began < 15  # of which starting the child takes most

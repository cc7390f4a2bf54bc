"""How far a job is and how long it will take, as its rows tell, and how a client polls that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.db.engine import Database
from backend.jobs.progress import Progress, progress_of
from backend.jobs.service import JobService
from backend.settings import Settings
from tests.integration.rows import add_job, ago, sql

DONE = {"status": "completed", "progress": 1.0, "runtime_ms": 15_000}
QUEUED: dict[str, Any] = {"status": "queued"}


def in_work(
    database: Database, share: float, seconds: float, attempts: int = 1, lease_sec: float = 60
) -> dict[str, Any]:
    """A chunk that a worker has been at for so long."""
    times = {"started_at": ago(database, seconds), "lease_expires_at": ago(database, -lease_sec)}
    return {"status": "processing", "progress": share, "attempts": attempts, "claimed_by": "w", **times}


def progress(database: Database, job_id: UUID) -> Progress:
    return progress_of(database, [JobService(database).get(job_id)])[0]


def earlier_film(database: Database, **timings: float) -> None:
    timings = {"stitch_and_path": 1.0, "render": 8.0, "upload": 1.0, "wait": 99.0, **timings}
    add_job(database, [DONE], status="done", timings=timings, duration_seconds=100.0, completed_at=ago(database, 60))


def test_time_left_comes_from_the_jobs_own_chunks_and_the_workers_at_them(database: Database) -> None:
    earlier_film(database)  # a tenth of a second for a second of video: 30 s for this job
    chunks = [DONE] * 4 + [in_work(database, 0.5, 7.5)] * 2 + [QUEUED] * 4
    job_id = add_job(database, chunks)
    # 4 × 15 s and 2 × 7.5 s are left for two workers, then the film.
    assert progress(database, job_id).eta_seconds == pytest.approx(37.5 + 30, abs=5)
    halved = add_job(database, [DONE] * 4 + [in_work(database, 0.5, 7.5)] * 4 + [QUEUED] * 2)
    assert progress(database, halved).eta_seconds == pytest.approx(15 + 30, abs=5)


def test_more_workers_do_not_make_the_last_chunk_shorter(database: Database) -> None:
    earlier_film(database)
    job_id = add_job(database, [DONE] * 3 + [in_work(database, 0.98, 14.7)] * 9 + [in_work(database, 0.0, 0.0)])
    assert progress(database, job_id).eta_seconds == pytest.approx(15 + 39, abs=5)


def test_without_earlier_films_the_film_is_judged_by_the_chunks(database: Database) -> None:
    job_id = add_job(database, [DONE] * 9 + [in_work(database, 0.5, 7.5)])
    assert progress(database, job_id).eta_seconds == pytest.approx(7.5 + 0.5 * 300 * 30 / 68, abs=5)


def test_chunks_whose_result_was_there_already_do_not_mislead(database: Database) -> None:
    earlier_film(database)
    adopted = DONE | {"runtime_ms": 20}
    job_id = add_job(database, [adopted] * 2 + [DONE] * 4 + [in_work(database, 0.5, 7.5), QUEUED])
    assert progress(database, job_id).eta_seconds == pytest.approx(22.5 + 24, abs=5)


def test_a_chunk_begun_anew_is_judged_by_its_clock_not_by_the_progress_of_an_earlier_try(database: Database) -> None:
    earlier_film(database)
    job_id = add_job(database, [DONE] * 3 + [in_work(database, 0.9, 1.0, attempts=2)])
    assert progress(database, job_id).eta_seconds == pytest.approx(14 + 12, abs=4)


@pytest.mark.parametrize(
    ("chunks", "job"),
    [
        ([], {"status": "queued", "total_chunks": None}),
        ([QUEUED] * 3, {"status": "queued"}),
        ([DONE, QUEUED], {}),  # nobody is at it
        ([DONE, {"status": "failed", "error_code": "media_error"}], {"status": "failed"}),
        ([DONE, {"status": "failed", "error_code": "job_cancelled"}], {"status": "cancelled"}),
        ([DONE, DONE], {"duration_seconds": None, "status": "aggregating"}),
    ],
)
def test_what_nobody_can_know_is_null(database: Database, chunks: list[dict[str, Any]], job: dict[str, Any]) -> None:
    earlier_film(database)
    assert progress(database, add_job(database, chunks, **job)).eta_seconds is None


def test_a_dead_workers_chunk_and_a_chunk_just_begun_tell_nothing(database: Database) -> None:
    job_id = add_job(database, [in_work(database, 0.5, 100, lease_sec=-1), in_work(database, 0.01, 1)])
    assert progress(database, job_id).eta_seconds is None


def test_a_film_in_the_making_is_measured_by_itself(database: Database) -> None:
    earlier_film(database, render=998.0)  # the earlier one took an hour
    chunks = [DONE | {"completed_at": ago(database, 90)}] * 4
    held = {"status": "aggregating", "lease_expires_at": ago(database, -60)}
    young = progress(database, add_job(database, chunks, progress=0.05, **held))
    old = progress(database, add_job(database, chunks, progress=0.9, **held))
    assert young.eta_seconds is not None and young.eta_seconds > 900
    assert old.eta_seconds == pytest.approx(0.9 * 10 + 0.1 * 1200 * 0.1, abs=5)
    nobody = add_job(database, chunks, status="aggregating", available_at=ago(database, 60))
    assert progress(database, nobody).eta_seconds is None


def test_time_left_is_never_negative(database: Database) -> None:
    earlier_film(database)
    overdue = add_job(database, [DONE, in_work(database, 0.999, 4000), in_work(database, 0.2, 4000, attempts=3)])
    assert (progress(database, overdue).eta_seconds or 0) >= 1
    almost = add_job(database, [DONE], status="aggregating", progress=1.0, lease_expires_at=ago(database, -9))
    assert progress(database, almost).eta_seconds == 1
    assert progress(database, add_job(database, [DONE], status="done")).eta_seconds == 0


def test_a_percent_does_not_fall_when_the_same_rows_are_summed_in_another_order(database: Database) -> None:
    shares = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.5]
    job_id = add_job(database, [in_work(database, share, 5) for share in shares])
    seen = {progress(database, job_id).pct}
    for index in range(len(shares)):
        sql(database, "UPDATE video_analysis_chunks SET claimed_by = 'x' WHERE chunk_index = :index", index=index)
        seen.add(progress(database, job_id).pct)
    assert seen == {36}  # 2 + 68 × 5 / 10


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


def test_a_job_that_did_not_change_is_not_sent_again(client: FlaskClient, database: Database) -> None:
    job_id = add_job(database, [DONE, QUEUED])
    url = f"/api/v1/jobs/{job_id}"
    first = client.get(url)
    etag = first.headers["ETag"]
    assert (first.status_code, etag[0], etag[-1]) == (200, '"', '"')
    assert first.headers["Cache-Control"] == "no-cache, private"
    for known in (etag, f'"other", {etag}', "*"):
        again = client.get(url, headers={"If-None-Match": known})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
        assert again.headers["Retry-After"] == "5"
        assert again.headers["Cache-Control"] == "no-cache, private"
    head = client.head(url)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", etag)
    assert client.head(url, headers={"If-None-Match": etag}).status_code == 304
    sql(database, "UPDATE video_analysis_chunks SET status = 'completed', progress = 1")
    changed = client.get(url, headers={"If-None-Match": etag})
    assert (changed.status_code, changed.get_json()["completed_chunks"]) == (200, 2)
    assert changed.headers["ETag"] != etag
    chunks = client.get(f"{url}/chunks")
    assert client.get(f"{url}/chunks", headers={"If-None-Match": chunks.headers["ETag"]}).status_code == 304


def test_when_to_ask_again_follows_the_jobs_state(client: FlaskClient, database: Database) -> None:
    def retry_after(chunks: list[dict[str, Any]], **job: Any) -> str | None:
        return client.get(f"/api/v1/jobs/{add_job(database, chunks, **job)}").headers.get("Retry-After")

    assert retry_after([], status="queued", total_chunks=None) == "2"
    assert retry_after([QUEUED], status="queued") == "5"
    assert retry_after([in_work(database, 0.0, 1)]) == "2"
    assert retry_after([DONE, in_work(database, 0.9, 9)]) == "1"
    assert retry_after([DONE] * 50 + [in_work(database, 0.5, 9)]) == "5"
    for status in ("done", "failed", "cancelled"):
        assert retry_after([DONE], status=status) is None

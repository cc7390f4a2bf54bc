"""What an operator types: one worker drained or released, failed jobs put back, tables that fit a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from backend.cli import cli
from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.queue.figures import list_workers
from backend.queue.queue import Queue
from backend.settings import Settings, get_settings
from backend.states import JobStatus
from backend.workers.vitals import presence
from tests.integration.conftest import Workers, wait_until
from tests.integration.queue.helpers import (
    BROKEN,
    STALE_ACTS,
    TRY_AGAIN,
    aggregating_job,
    chunk_row,
    claim_of,
    job_claim_of,
    job_row,
    planned_job,
)
from tests.integration.rows import add_job, ago, sql
from tests.integration.test_workers import submit
from tests.samples import make_sample

COLUMNS = 80
LONG_ID = "ip-10-0-112-234.eu-west-1.compute.internal-17-a1b2c3"


@pytest.fixture
def queue(database: Database, settings: Settings) -> Queue:
    return Queue(database, settings.model_copy(update={"worker_id": "first"}))


@pytest.fixture(autouse=True)
def of_this_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def framefleet(*arguments: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == exit_code, result.output
    return result


def told(*arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(framefleet(*arguments, "--json").stdout)
    return answer


def test_a_released_worker_holds_nothing_and_can_write_nothing_more(database: Database, queue: Queue) -> None:
    aggregating_job(database, queue)
    planned_job(database, 1)
    chunk, film = claim_of(queue), job_claim_of(queue)
    assert told("workers", "release", "first")["released_claims"] == 2
    row = chunk_row(database, chunk)
    assert (row["status"], row["failures"], row["claimed_by"]) == ("queued", 0, None)
    for act in STALE_ACTS.values():
        with pytest.raises(Exception, match=r"lost|rescued"):
            act(queue, chunk)
    assert claim_of(queue).chunk_id == chunk.chunk_id
    assert job_claim_of(queue).job_id == film.job_id


def test_a_worker_that_nobody_knows_can_be_neither_drained_nor_released() -> None:
    for verb in ("drain", "release"):
        assert "framefleet workers" in framefleet("workers", verb, "nobody", exit_code=2).stderr


@pytest.mark.timeout(180)
@pytest.mark.parametrize("verb", ["drain", "release"])
def test_one_worker_of_two_is_stopped_and_the_other_goes_on(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path, verb: str
) -> None:
    workers.fleet.settings = workers.settings.model_copy(update={"drain_seconds": 60.0})
    worker, other = workers.start_chunk_worker("chunk-0"), workers.start_chunk_worker("chunk-1")
    job = submit(database, settings, make_sample(tmp_path / "clip.mp4", seconds=8).as_uri())
    held = workers.wait_for_work(job)
    holder = next(row for row in list_workers(database) if row["job_id"])
    holding, idle = (worker, other) if str(worker.process.pid) in holder["worker_id"] else (other, worker)
    framefleet("workers", verb, holder["worker_id"])
    if verb == "release":
        assert JobService(database).chunks(job.id)[held.chunk_index].claimed_by != holder["worker_id"]
    assert holding.process.wait(timeout=60) == 0
    wait_until(lambda: JobService(database).get(job.id).status == "aggregating", 60, "the chunk's end")
    (chunk,) = JobService(database).chunks(job.id)
    assert (chunk.status, chunk.failures) == ("completed", 0)
    assert idle.process.poll() is None
    for process in (holding, idle):
        events = [json.loads(line) for line in process.log_path.read_text().splitlines() if line.startswith("{")]
        assert events and all(event["worker_id"] and event["worker"] == "gpu_chunk_worker" for event in events)


def test_a_new_process_under_the_name_of_one_that_was_drained_works(database: Database, settings: Settings) -> None:
    asked = "INSERT INTO workers (worker_id, kind, asked_to_stop_at) VALUES ('pod-0', 'gpu_chunk_worker', now())"
    sql(database, asked)
    assert told("workers")["workers"][0]["state"] == "draining"
    with presence("gpu_chunk_worker", settings.model_copy(update={"worker_id": "pod-0"}), database):
        wait_until(lambda: told("workers")["workers"][0]["state"] == "idle", 60, "its being counted as another")


def test_all_failed_jobs_are_put_back_or_those_of_one_code(database: Database, queue: Queue) -> None:
    away, broken = planned_job(database, 2), planned_job(database, 1)
    queue.fail_chunk(claim_of(queue, broken), BROKEN)
    sql(database, "UPDATE video_analysis_chunks SET failures = 4")
    queue.fail_chunk(claim_of(queue, away), TRY_AGAIN)
    unplanned = add_job(database, [], status="failed", stage="PROBING", error_code=TRY_AGAIN.code, total_chunks=None)
    marked = add_job(database, [], status="failed", error_code=TRY_AGAIN.code, expires_at=ago(database, 60))
    report = told("retry", "--all-failed", "--code", TRY_AGAIN.code)
    assert set(report["retried"]) == {str(away), str(unplanned)}
    assert "being deleted" in report["refused"][str(marked)]
    assert job_row(database, broken)["status"] == "failed"
    assert claim_of(queue).job_id == away
    assert queue.claim_job(JobStatus.QUEUED) is not None
    assert told("retry", "--all-failed")["retried"] == [str(broken)]
    assert claim_of(queue, broken).job_id == broken


@pytest.mark.parametrize("arguments", [[], ["--code", "x"], [str(UUID(int=1)), "--all-failed"]])
def test_retry_wants_a_job_or_all_of_them(arguments: list[str]) -> None:
    assert "--all-failed" in framefleet("retry", *arguments, exit_code=2).stderr


def test_the_list_shows_jobs_of_one_status(database: Database) -> None:
    planned_job(database, 1)
    failed = add_job(database, [], status="failed", error_code="storage_error")
    assert [job["id"] for job in told("list", "--status", "failed")["jobs"]] == [str(failed)]
    assert len(told("list")["jobs"]) == 2


def test_who_failed_a_chunk_is_known_after_its_claim_is_gone(database: Database, queue: Queue) -> None:
    job_id = planned_job(database, 2)
    failed, died = claim_of(queue), claim_of(queue)
    queue.fail_chunk(failed, TRY_AGAIN)
    sql(database, "UPDATE video_analysis_chunks SET lease_expires_at = now() - interval '1 s' WHERE claimed_by <> ''")
    queue.rescue_expired()
    for row in told("chunks", str(job_id))["chunks"]:
        assert (row["claimed_by"], row["failed_by"]) == (None, "first")
    assert framefleet("chunks", str(job_id)).stdout.count("failed by first") == 2
    assert died.job_id == job_id


def test_tables_fit_a_terminal_and_lose_nothing(database: Database, settings: Settings) -> None:
    queue = Queue(database, settings.model_copy(update={"worker_id": LONG_ID}))
    job_id = planned_job(database, 120)
    sql(database, "UPDATE video_analysis_jobs SET input_name = repeat('long name ', 9)")
    queue.fail_chunk(claim_of(queue), TRY_AGAIN)
    claim_of(queue)
    sql(database, "INSERT INTO workers (worker_id, kind) VALUES (:id, 'gpu_chunk_worker')", id=LONG_ID)
    shown = {name: framefleet(*name.split()).stdout for name in ("list", f"chunks {job_id}", "workers")}
    for name, text in shown.items():
        assert max(map(len, text.splitlines())) <= COLUMNS, text
        unbroken = "".join(text.split())
        assert name == "list" or LONG_ID in unbroken, text
    for name in ("list", "workers"):
        assert str(job_id) in shown[name]  # in one piece, to be copied
    assert f"{job_id} chunk 0" in shown["workers"]
    assert "".join(TRY_AGAIN.message.split()) in "".join(shown[f"chunks {job_id}"].split())

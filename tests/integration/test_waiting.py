"""Why nothing happens to a job, in its own answer and in lists; the fleet's status; and jobs counted by status."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from backend.access.scopes import Scope
from backend.db.engine import Database
from backend.queue.fleet import pause_fleet
from backend.queue.fleet_now import forget_recent
from backend.queue.registry import Presence, WorkerRows
from backend.versions import SCHEMA_VERSION
from tests.conftest import empty_database
from tests.integration.keyed import JOBS, Api, Caller, api_on
from tests.integration.rows import add_job, sql

STATUS = "/api/v1/status"
QUEUED = {"status": "queued", "stage": "DEEP_QUEUED"}


@pytest.fixture(scope="module")
def whole(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with empty_database(postgres) as url, api_on(url, tmp_path_factory.mktemp("api")) as api:
        sql(api.database, "INSERT INTO tenants (name) VALUES ('acme')")
        sql(api.database, "INSERT INTO queue_lanes (deep_mode, tenant) VALUES ('gpu', 'acme')")
        yield api


@pytest.fixture
def api(whole: Api) -> Iterator[Api]:
    yield whole
    sql(whole.database, "TRUNCATE video_analysis_jobs, workers, api_keys CASCADE")
    sql(whole.database, "UPDATE fleet SET paused_at = NULL, reason = NULL, paused_by = NULL")
    forget_recent(whole.database)


def lives(database: Database, worker_id: str, kind: str, knows: tuple[str, ...] = ("crop",), **more: Any) -> None:
    told = {"schema_version": SCHEMA_VERSION, "encoders": [], "trouble": None, "begins": False, **more}
    WorkerRows(database).seen(Presence(worker_id, kind, knows, **told))
    forget_recent(database)


def waits(caller: Caller, job_id: UUID) -> dict[str, Any] | None:
    """As both the job and the list say it."""
    one = caller.ask(f"{JOBS}/{job_id}").get_json()
    (listed,) = [job for job in caller.ask(JOBS).get_json()["jobs"] if job["id"] == str(job_id)]
    assert one["waiting"] == listed["waiting"]
    found: dict[str, Any] | None = one["waiting"]
    return found


def reason(caller: Caller, job_id: UUID) -> str | None:
    return (waits(caller, job_id) or {"reason": None})["reason"]


def test_a_job_says_why_nothing_happens_to_it(api: Api) -> None:
    database, caller = api.database, api.holder("ours", Scope.JOBS_READ)
    job_id = add_job(database, [{}, {}], **QUEUED)
    assert "No worker that detects people is running" in (waits(caller, job_id) or {})["message"]
    lives(database, "a", "gpu_chunk_worker", ("pose",))
    assert "knows this kind" in (waits(caller, job_id) or {})["message"]
    lives(database, "b", "gpu_chunk_worker", trouble="The store is away.")
    assert "cannot reach their store" in (waits(caller, job_id) or {})["message"]
    lives(database, "c", "gpu_chunk_worker")
    assert reason(caller, job_id) == "busy"
    sql(database, "UPDATE video_analysis_chunks SET needs = 'h264_nvenc'")
    assert "has the encoder h264_nvenc" in (waits(caller, job_id) or {})["message"]
    lives(database, "c", "gpu_chunk_worker", encoders=["h264_nvenc", "nvdec"])
    assert reason(caller, job_id) == "busy"

    sql(database, "UPDATE video_analysis_chunks SET available_at = now() + interval '40 s', failures = 1")
    again = waits(caller, job_id) or {}
    assert again["reason"] == "retrying"
    assert datetime.fromisoformat(again["until"]) > datetime.now(UTC)
    sql(database, "UPDATE video_analysis_chunks SET available_at = now()")
    in_work = "status = 'processing', lease_expires_at = now() + interval '1 h', started_at = now()"
    sql(database, f"UPDATE video_analysis_chunks SET {in_work} WHERE chunk_index = 0")
    assert waits(caller, job_id) is None

    sql(database, "UPDATE video_analysis_chunks SET status = 'completed', progress = 1, lease_expires_at = NULL")
    assert waits(caller, job_id) is None  # somebody moves it on in a moment
    sql(database, "UPDATE video_analysis_jobs SET status = 'aggregating', stage = 'AGGREGATING'")
    assert "puts films together" in (waits(caller, job_id) or {})["message"]
    lives(database, "d", "analysis_worker")
    assert reason(caller, job_id) == "busy"
    sql(database, "UPDATE video_analysis_jobs SET lease_expires_at = now() + interval '1 h'")
    assert waits(caller, job_id) is None
    sql(database, "UPDATE video_analysis_jobs SET status = 'done', stage = 'DONE', lease_expires_at = NULL")
    assert waits(caller, job_id) is None


def test_a_pause_is_the_first_reason_and_names_no_machine_to_a_tenant(api: Api) -> None:
    database, caller = api.database, api.holder("ours", Scope.JOBS_READ, Scope.JOBS_WRITE)
    planning = add_job(database, [], status="queued", stage="PROBING", total_chunks=None)
    assert reason(caller, planning) == "planning"
    pause_fleet(database, "the store moves", "ada@gpu-host-7")
    told = waits(caller, planning) or {}
    assert (told["reason"], told["message"]) == ("fleet_paused", "All work is paused by ada: the store moves")
    assert told["since"] is not None
    caller.ask(f"{JOBS}/{planning}/pause", "POST")
    assert reason(caller, planning) == "paused"
    status = caller.ask(STATUS).get_json()
    assert (status["paused"], status["paused_by"], status["reason"]) == (True, "ada", "the store moves")
    operator = api.holder("ops", Scope.JOBS_READ, Scope.FLEET_ADMIN)
    assert operator.ask(STATUS).get_json()["paused_by"] == "ada@gpu-host-7"


def test_the_status_counts_workers_and_says_what_the_caller_may(api: Api) -> None:
    caller = api.holder("reader", Scope.JOBS_READ)
    lives(api.database, "a", "gpu_chunk_worker")
    lives(api.database, "b", "analysis_worker")
    answer = caller.ask(STATUS)
    assert answer.get_json()["workers"] == {"chunk": 1, "analysis": 1}
    assert answer.get_json()["scopes"] == ["jobs:read"]
    assert caller.ask(STATUS, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert api.holder("metrics", Scope.METRICS).code(STATUS) == (403, "scope_missing")
    lives(api.database, "c", "gpu_chunk_worker")
    changed = caller.ask(STATUS, headers={"If-None-Match": answer.headers["ETag"]})
    assert changed.get_json()["workers"]["chunk"] == 2


def test_counts_and_lists_are_the_tenants_own_and_unchanged_they_are_not_sent_again(api: Api) -> None:
    database = api.database
    ours, theirs = api.holder("ours", Scope.JOBS_READ), api.holder("theirs", Scope.JOBS_READ, tenant="acme")
    job_id = add_job(database, [{}], status="failed", input_name="holiday.mp4")
    add_job(database, [{}], status="done", stage="DONE", input_name="garden.mp4")
    add_job(database, [], tenant="acme", status="queued", total_chunks=None)
    counts = ours.ask(f"{JOBS}/counts").get_json()
    assert counts["total"] == 2 and counts["counts"]["failed"] == counts["counts"]["done"] == 1
    assert counts["counts"]["queued"] == 0
    assert theirs.ask(f"{JOBS}/counts").get_json()["total"] == 1
    assert ours.ask(f"{JOBS}/counts?q=HOLIDAY&kind=crop").get_json()["total"] == 1
    assert ours.code(f"{JOBS}/counts?status=failed")[0] == 422
    for path in (JOBS, f"{JOBS}/counts"):
        known = ours.ask(path)
        assert ours.ask(path, headers={"If-None-Match": known.headers["ETag"]}).status_code == 304
    sql(database, "UPDATE video_analysis_jobs SET status = 'cancelled' WHERE id = :id", id=job_id)
    for path in (JOBS, f"{JOBS}/counts"):
        assert ours.ask(path, headers={"If-None-Match": known.headers["ETag"]}).status_code == 200


def test_a_job_is_found_by_how_its_id_begins(api: Api) -> None:
    caller = api.holder("ours", Scope.JOBS_READ)
    wanted = add_job(api.database, [{}], status="done", stage="DONE")
    add_job(api.database, [{}], status="done", stage="DONE", input_name=f"copy of {str(wanted)[:8]}.mp4")
    foreign = add_job(api.database, [], tenant="acme", status="queued", total_chunks=None)

    def found(text: str) -> list[str]:
        return [job["id"] for job in caller.ask(JOBS, query_string={"q": text}).get_json()["jobs"]]

    assert len(found(str(wanted)[:8])) == 2
    for text in (str(wanted), str(wanted)[:13].upper(), wanted.hex[:20]):
        assert found(text) == [str(wanted)]
    assert len(found(str(wanted)[:7])) == 1  # so few are looked for in names alone
    assert found(str(foreign)) == found("f" * 40) == []


def test_two_inputs_of_one_name_are_told_apart_by_where_they_lie(api: Api) -> None:
    caller = api.holder("ours", Scope.JOBS_READ)
    places = {
        "https://user:secret@films.example.com:8443/a/film.mp4?token=x": "films.example.com",
        "s3://their-bucket/film.mp4": "their-bucket",
    }
    for uri, host in places.items():
        job_id = add_job(api.database, [{}], status="done", stage="DONE", input_uri=uri)
        told = caller.ask(f"{JOBS}/{job_id}").get_json()["input"]
        assert told["host"] == host and "secret" not in str(told)
    job_id = add_job(api.database, [{}], status="done", stage="DONE")
    sql(
        api.database,
        "UPDATE video_analysis_jobs SET input_uri = 's3://own/jobs/' || id || '/source' WHERE id = :id",
        id=job_id,
    )
    assert caller.ask(f"{JOBS}/{job_id}").get_json()["input"]["host"] is None

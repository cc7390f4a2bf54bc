"""What operators see of the fleet: who works on what, the queue and how it was, what failed; tenants see none of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backend.access.scopes import Scope
from backend.db.engine import Database
from backend.queue.registry import Presence, WorkerRows
from backend.settings import Settings
from backend.versions import SCHEMA_VERSION
from backend.vision.detector import Runtime
from backend.workers.device import device_words
from backend.workers.samples import Sampler, delete_old_samples
from tests.conftest import empty_database
from tests.integration.keyed import Api, api_on
from tests.integration.rows import add_job, ago, sql

FLEET = "/api/v1/fleet"
WORKERS = "/api/v1/workers"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def whole(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with empty_database(postgres) as url, api_on(url, tmp_path_factory.mktemp("api")) as api:
        sql(api.database, "INSERT INTO tenants (name) VALUES ('acme')")
        sql(api.database, "INSERT INTO queue_lanes (deep_mode, tenant) VALUES ('gpu', 'acme')")
        yield api


@pytest.fixture
def api(whole: Api) -> Iterator[Api]:
    yield whole
    sql(whole.database, "TRUNCATE video_analysis_jobs, workers, api_keys, fleet_samples, metrics_turns CASCADE")


@pytest.fixture
def database(api: Api) -> Database:
    return api.database


def in_work(worker_id: str, **more: Any) -> dict[str, Any]:
    return {"status": "processing", "attempts": 1, "claimed_by": worker_id, **more}


@pytest.mark.parametrize("path", [WORKERS, f"{FLEET}/queue", f"{FLEET}/failed-chunks"])
def test_whoever_does_not_run_the_fleet_is_told_what_it_takes(api: Api, path: str) -> None:
    assert api.stranger().code(path) == (401, "key_missing")
    assert api.holder("reader", Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.METRICS).code(path) == (403, "scope_missing")
    operator = api.holder("ops", Scope.FLEET_ADMIN)
    known = operator.ask(path)
    assert known.status_code == 200
    assert operator.ask(path, headers={"If-None-Match": known.headers["ETag"]}).status_code == 304


def test_workers_say_where_and_on_what_they_work(api: Api, database: Database) -> None:
    began = ago(database, 9)
    rows = WorkerRows(database)
    for worker_id in ("w1", "w2", "w3"):
        present = Presence(worker_id, "gpu_chunk_worker", ["crop"], SCHEMA_VERSION, ["nvdec"], None, begins=True)
        rows.seen(present)
    hostile = Presence("w3", "gpu_chunk_worker", ["crop"], SCHEMA_VERSION, [], None, False, HOSTILE, "CPU, 2 threads")
    rows.seen(hostile)
    ours = add_job(database, [{"status": "completed"}, in_work("w1", started_at=began)], input_name="ours.mp4")
    theirs = add_job(database, [{**in_work("w2", started_at=began), "tenant": "acme"}], tenant="acme")
    found = {row["worker_id"]: row for row in api.holder("ops", Scope.FLEET_ADMIN).ask(WORKERS).get_json()["workers"]}
    held = found["w1"]
    assert (held["job_id"], held["job_name"], held["phase"], held["chunk_index"]) == (
        str(ours),
        "ours.mp4",
        "detect",
        1,
    )
    assert (held["state"], held["working_since"]) == ("working", began.isoformat())
    assert (found["w2"]["job_id"], found["w2"]["job_name"]) == (str(theirs), None)
    assert (found["w3"]["machine"], found["w3"]["device"], found["w3"]["state"]) == (HOSTILE, "CPU, 2 threads", "idle")


def test_a_machine_without_a_gpu_says_what_detects_on_it(settings: Settings) -> None:
    here = settings.model_copy(update={"detector": "hog", "threads": 2})
    assert device_words(here) == f"CPU, 2 threads, {Runtime.OPENCV}"
    lost = settings.model_copy(update={"detector": "yolo", "model_path": settings.data_dir / "gone.onnx", "threads": 1})
    assert device_words(lost).startswith("CPU, 1 thread")


def test_the_queue_stands_by_lane_with_what_the_metrics_send(api: Api, database: Database) -> None:
    waiting = {"available_at": ago(database, 30)}
    add_job(database, [in_work("w"), waiting, waiting, {"status": "completed"}])
    add_job(database, [{**waiting, "on_hold": True, "tenant": "acme"}], tenant="acme", paused_at=ago(database, 5))
    answer = api.holder("ops", Scope.FLEET_ADMIN).ask(f"{FLEET}/queue").get_json()
    ours, theirs = answer["lanes"]
    assert 29 <= ours.pop("oldest_queued_seconds") <= 60
    assert ours == {"deep_mode": "gpu", "tenant": "default", "queued": 2, "processing": 1, "on_hold": 0}
    expected = {"queued": 0, "processing": 0, "on_hold": 1, "oldest_queued_seconds": 0}
    assert theirs == {"deep_mode": "gpu", "tenant": "acme", **expected}
    assert answer["figures"]["QueuedChunkCount"] == 2 and answer["figures"]["BacklogPerWorker"] == 3
    assert answer["history"] == []


def test_one_sample_a_minute_is_taken_and_the_history_is_told_in_few_points(api: Api, database: Database) -> None:
    done = {"status": "completed", "attempts": 1, "completed_at": ago(database, 20)}
    taken_over = {**done, "attempts": 0}
    add_job(database, [{}, in_work("w"), done, done, taken_over, {**done, "completed_at": ago(database, 4000)}])
    add_job(database, [done], status="done", stage="DONE", completed_at=ago(database, 10))
    samplers = [Sampler(database, name) for name in ("a", "b", "c")]
    assert [each.sample_if_due() for each in samplers] == [True, False, False]
    operator = api.holder("ops", Scope.FLEET_ADMIN)
    (point,) = operator.ask(f"{FLEET}/queue").get_json()["history"]
    assert {name: point[name] for name in point if name != "at"} == {
        "queued": 1,
        "processing": 1,
        "workers": 0,
        "completed_chunks": 3,
    }
    # Two days, a sample a minute, and some that are older.
    sql(
        database,
        "INSERT INTO fleet_samples SELECT now() - make_interval(mins => n), 4, 2, 1, 5 FROM generate_series(1, 3000) n",
    )
    assert delete_old_samples(database) == pytest.approx(3000 - 48 * 60, abs=2)
    for hours, step in ((48, 600), (24, 300), (1, 60)):
        history = operator.ask(f"{FLEET}/queue?hours={hours}").get_json()["history"]
        assert hours * 3600 / step - 2 <= len(history) <= 300
        assert history[len(history) // 2] | {"at": 0} == {
            "at": 0,
            "queued": 4,
            "processing": 2,
            "workers": 1,
            "completed_chunks": 5 * step / 60,
        }
    assert operator.code(f"{FLEET}/queue?hours=49") == (422, "invalid_value")


def test_failed_chunks_say_who_failed_and_who_may_try_again(api: Api, database: Database) -> None:
    failed = {"status": "failed", "error_code": "decode_failed", "error_message": HOSTILE, "failed_by": "w1"}
    stopped = {"status": "failed", "error_code": "job_failed"}
    over = {"status": "failed", "error_code": "decode_failed"}
    ours = add_job(database, [failed, stopped], input_name="ours.mp4", completed_at=ago(database, 9), **over)
    add_job(database, [{**failed, "tenant": "acme"}], tenant="acme", completed_at=ago(database, 5), **over)
    add_job(database, [failed], completed_at=ago(database, 8 * 86400), **over)
    operator = api.holder("ops", Scope.FLEET_ADMIN, Scope.JOBS_WRITE)
    theirs, own = operator.ask(f"{FLEET}/failed-chunks").get_json()["chunks"]
    assert (own["job_id"], own["job_name"], own["chunk_index"], own["retryable"]) == (str(ours), "ours.mp4", 0, True)
    assert (own["failed_by"], own["error_code"], own["error_message"]) == ("w1", "decode_failed", HOSTILE)
    assert (theirs["tenant"], theirs["job_name"], theirs["retryable"]) == ("acme", None, False)
    assert operator.code(f"/api/v1/jobs/{theirs['job_id']}/retry", "POST") == (404, "job_not_found")
    assert operator.code(f"/api/v1/jobs/{ours}/retry", "POST")[0] == 202
    assert [each["tenant"] for each in operator.ask(f"{FLEET}/failed-chunks").get_json()["chunks"]] == ["acme"]


def test_a_pause_names_the_key_that_made_it(api: Api) -> None:
    operator = api.holder("night-shift", Scope.FLEET_ADMIN, Scope.JOBS_READ)
    operator.ask(f"{FLEET}/pause", "POST", json={"reason": "new disks"})
    assert operator.ask("/api/v1/status").get_json()["paused_by"] == "night-shift"
    operator.ask(f"{FLEET}/resume", "POST")
    assert operator.ask(FLEET).get_json() == {"paused": False, "paused_at": None, "paused_by": None, "reason": None}

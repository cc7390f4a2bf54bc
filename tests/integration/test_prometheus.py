"""/metrics, as Prometheus' own tool reads it, and the alarms on it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from backend import counters
from backend.api.app import create_app
from backend.db.engine import Database
from backend.db.migrate import PROJECT
from backend.events import Event
from backend.settings import Settings
from backend.workers.vitals import vitals
from tests.integration.rows import add_job, ago

RULES = PROJECT / "deploy" / "prometheus"


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


def promtool(*arguments: str, text: str = "") -> str:
    """What it says; fails the test when it complains, were it only about style."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, cwd=RULES, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def samples(text: str) -> dict[str, float]:
    """Values by `name{label=value,…}`."""
    return {
        sample.name + (str(sorted(sample.labels.items())) if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_say_what_the_rows_say_and_promtool_agrees(client: FlaskClient, database: Database) -> None:
    add_job(database, [{"status": "queued"}, {"status": "queued"}, {"status": "processing"}])
    over = {"status": "failed", "error_code": "from_the_future", "completed_at": ago(database, 5)}
    job_id = add_job(database, [{"status": "failed", "error_code": "media_error"}], **over)
    refused = {"status": "failed", "error_code": "not_a_video", "stage": "PROBING", "completed_at": ago(database, 5)}
    add_job(database, [], **refused)
    add_job(database, [], **refused)
    answer = client.get("/metrics")
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    found = samples(answer.text)
    assert found["framefleet_queue_readable"] == 1
    assert found["framefleet_queued_chunks"] == 2
    assert found["framefleet_processing_chunks"] == 1
    assert found["framefleet_failed_chunks"] == 1
    assert found["framefleet_jobs[('status', 'processing')]"] == 1
    assert found["framefleet_failed_jobs[('code', 'other'), ('stage', 'processing')]"] == 1
    assert found["framefleet_failed_jobs[('code', 'not_a_video'), ('stage', 'probing')]"] == 2
    assert found["process_resident_memory_bytes"] > 1e6
    assert str(job_id) not in answer.text
    assert promtool("check", "metrics", text=answer.text) == ""


def test_metrics_come_without_the_database_and_say_so(settings: Settings) -> None:
    lost = settings.model_copy(update={"database_url": type(settings.database_url)("postgresql://u@127.0.0.1:9/none")})
    answer = create_app(lost).test_client().get("/metrics")
    assert answer.status_code == 200
    found = samples(answer.text)
    assert found["framefleet_queue_readable"] == 0
    assert "framefleet_queued_chunks" not in found


@pytest.mark.parametrize(
    ("event", "fields", "metric", "labels"),
    [
        (Event.CHUNK_CLAIMED, {}, "framefleet_claims_total", {"work": "chunk"}),
        (Event.AGGREGATION_CLAIMED, {}, "framefleet_claims_total", {"work": "aggregate"}),
        (Event.CLAIM_LOST, {}, "framefleet_lost_claims_total", {}),
        (Event.LEASE_RESCUED, {"chunk_index": 1}, "framefleet_rescues_total", {"work": "chunk"}),
        (Event.LEASE_RESCUED, {"status": "queued"}, "framefleet_rescues_total", {"work": "aggregate"}),
        (Event.LEASE_RESCUED, {"status": "failed"}, "framefleet_jobs_failed_total", {"code": "worker_lost"}),
        (Event.CHUNK_FAILED, {"error_code": "storage_error", "retryable": True}, "framefleet_retries_total",
         {"work": "chunk", "code": "storage_error"}),
        (Event.CHUNK_FAILED, {"error_code": "not_a_video", "retryable": False}, "framefleet_chunks_broken_total",
         {"code": "not_a_video"}),
        (Event.JOB_FAILED, {"error_code": "encode_failed", "status": "aggregating"}, "framefleet_retries_total",
         {"work": "aggregate", "code": "encode_failed"}),
        (Event.JOB_FAILED, {"error_code": "encode_failed", "status": "failed"}, "framefleet_jobs_failed_total",
         {"code": "encode_failed"}),
        (Event.JOB_FAILED, {"error_code": "x" * 999}, "framefleet_jobs_failed_total", {"code": "other"}),
        (Event.JOB_COMPLETE, {"bytes_read": 0}, "framefleet_jobs_done_total", {}),
        (Event.REQUEST_FAILED, {}, "framefleet_events_total", {"event": "request_failed", "level": "warning"}),
    ],
)  # fmt: skip
def test_an_event_is_counted_once(event: Event, fields: dict[str, object], metric: str, labels: dict[str, str]) -> None:
    before = counters.REGISTRY.get_sample_value(metric, labels) or 0
    counters.count(event, "warning", fields)
    assert counters.REGISTRY.get_sample_value(metric, labels) == before + 1


def test_the_trace_of_a_failure_is_not_counted_as_a_second_one() -> None:
    before = counters.exposition()
    counters.count(Event.CHUNK_FAILED, "error", {"exc_info": ValueError()})
    counters.count(Event.JOB_FAILED, "error", {"exc_info": ValueError()})
    names = ("framefleet_retries_total", "framefleet_jobs_failed_total", "framefleet_chunks_broken_total")

    def failures(text: bytes) -> dict[str, float]:
        return {key: value for key, value in samples(text.decode()).items() if key.startswith(names)}

    assert failures(counters.exposition()) == failures(before)


def test_a_worker_serves_its_metrics_on_the_next_free_port(settings: Settings, database: Database) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with vitals("analysis_worker", settings.model_copy(update={"metrics_port": port}), database):
            text = next(filter(None, map(scraped, range(port + 1, port + 32))))
        assert scraped(port + 1) is None
    assert samples(text)["framefleet_claims_total[('work', 'aggregate')]"] >= 0
    assert promtool("check", "metrics", text=text) == ""


def scraped(port: int) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:
        return None


def test_the_workers_are_listed(client: FlaskClient, database: Database) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO workers (worker_id, kind, encoders) VALUES ('w1', 'gpu_chunk_worker', '{h264_nvenc}')"
        )
    (worker,) = client.get("/api/v1/workers").get_json()["workers"]
    assert (worker["worker_id"], worker["state"], worker["job_id"]) == ("w1", "idle", None)
    assert worker["hardware"] == ["h264_nvenc"]


def test_gpu_facts_are_whole_or_null(client: FlaskClient) -> None:
    facts = client.get("/gpu").get_json()
    memory = {name: facts[f"memory_{name}_mb"] for name in ("total", "used", "reserved", "free")}
    if facts["cuda_available"]:
        assert facts["device_name"]
        assert abs(memory["used"] + memory["reserved"] + memory["free"] - memory["total"]) <= 3
    else:
        assert facts["device_name"] is None
        assert set(memory.values()) == {None}
        assert facts["hardware"] == []


def test_the_alarms_are_sound_and_ring_when_they_should() -> None:
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


def test_processes_that_share_a_folder_are_counted_together(tmp_path: Path) -> None:
    say = "import sys; from backend import counters; from backend.events import Event;"
    one = say + "counters.count(Event.JOB_CREATED, 'info', {})"
    both = say + "from pathlib import Path; sys.stdout.buffer.write(counters.exposition(Path(sys.argv[1])))"
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    texts = [
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
            timeout=60,
        ).stdout.decode()
        for script in (one, one, both)
    ]
    assert samples(texts[-1])["framefleet_jobs_created_total"] == 2
    assert promtool("check", "metrics", text=texts[-1]) == ""

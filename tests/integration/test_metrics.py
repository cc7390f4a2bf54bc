"""What autoscaling and operators read: the queue's figures, CloudWatch three times a minute, who is there."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from click.testing import CliRunner
from sqlalchemy.engine import make_url

from backend import counters
from backend.cli import cli
from backend.db.engine import Database
from backend.errors import DatabaseUnavailable, StorageError
from backend.queue.figures import list_workers, read_figures
from backend.queue.surroundings import Surroundings
from backend.settings import Settings, get_settings
from backend.storage import open_store
from backend.workers.metrics import CloudWatchSender
from backend.workers.vitals import presence, vitals
from deploy.fleet import policies as simulation
from deploy.fleet.alarms import Series
from deploy.fleet.autoscaler import Autoscaler
from deploy.fleet.rules import Rules
from tests.conftest import Said
from tests.integration.conftest import wait_until
from tests.integration.rows import add_job, ago, sql


@pytest.fixture
def cloudwatch_settings(s3_server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", s3_server)
    changes = {"metrics": "cloudwatch", "metrics_region": "us-east-1", "metrics_service": "north"}
    changes["metrics_namespace"] = f"test-{uuid4().hex}"  # the server is new, its memory is the process's
    return settings.model_copy(update=changes)


def received(address: str, namespace: str, name: str) -> list[dict[str, Any]]:
    """What CloudWatch holds of a metric, a sum and a count for each minute."""
    client = boto3.client("cloudwatch", endpoint_url=address, region_name="us-east-1")
    now = datetime.datetime.now(datetime.UTC)
    answer = client.get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": "Service", "Value": "north"}],
        StartTime=now - datetime.timedelta(minutes=10),
        EndTime=now + datetime.timedelta(minutes=1),
        Period=60,
        Statistics=["Sum", "SampleCount"],
    )
    return list(answer["Datapoints"])


def busy_queue(database: Database) -> None:
    claimed = {"status": "processing", "claimed_by": "w1", "attempts": 1, "started_at": ago(database, 5)}
    waiting = {"status": "queued", "available_at": ago(database, 40)}
    backing_off = {"status": "queued", "available_at": ago(database, -100)}
    add_job(database, [claimed, waiting, backing_off, {"status": "completed"}])
    over = {"status": "failed", "stage": "PROCESSING", "error_code": "media_undecodable"}
    broken = {"status": "failed", "error_code": "media_undecodable"}
    stopped = {"status": "failed", "error_code": "job_failed"}
    add_job(database, [broken, stopped, stopped, {"status": "completed"}], **over, completed_at=ago(database, 60))
    add_job(database, [broken], **over, completed_at=ago(database, 7200))
    add_job(database, [stopped], status="cancelled", completed_at=ago(database, 60))
    add_job(database, [{"status": "completed"}] * 3, status="done", completed_at=ago(database, 60))
    ready = {"status": "completed", "completed_at": ago(database, 130)}
    add_job(database, [ready], status="aggregating", stage="AGGREGATING")
    add_job(database, [{"status": "queued"}], status="queued", deep_mode="cpu")
    add_job(database, [{"status": "queued", "on_hold": True}], status="queued", paused_at=ago(database, 9))


def test_the_figures_are_those_of_the_rows(database: Database) -> None:
    busy_queue(database)
    sql(database, "INSERT INTO workers (worker_id, kind) VALUES ('w1', 'gpu_chunk_worker'), ('a', 'analysis_worker')")
    silent = "INSERT INTO workers (worker_id, kind, seen_at) VALUES ('dead', 'gpu_chunk_worker', :at)"
    sql(database, silent, at=ago(database, 60))
    figures = read_figures(database)
    assert (figures.queued_chunks, figures.processing_chunks) == (2, 1)  # the cpu job is no work for GPU workers
    assert (figures.failed_chunks, figures.completed_chunks) == (1, 4)
    assert 40 <= figures.oldest_queued_seconds < 60  # a chunk that backs off does not wait for a worker
    assert 130 <= figures.oldest_aggregation_seconds < 160
    assert figures.running_workers == 1
    assert figures.backlog_per_worker == 3
    assert figures.workers == {"gpu_chunk_worker": 1, "analysis_worker": 1}
    assert figures.jobs == {"queued": 2, "processing": 1, "aggregating": 1, "done": 1, "failed": 1, "cancelled": 1}
    assert figures.failed_jobs == {("media_undecodable", "PROCESSING"): 1}


def test_a_paused_fleet_asks_for_no_workers_and_its_queue_is_still_seen(database: Database) -> None:
    busy_queue(database)
    sql(database, "UPDATE fleet SET paused_at = now()")
    figures = read_figures(database)
    assert figures.is_paused
    assert (figures.queued_chunks, figures.processing_chunks, figures.backlog_per_worker) == (2, 1, 1)


def test_an_open_transaction_shows_its_age(database: Database) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.3)")
        assert read_figures(database).oldest_transaction_seconds >= 0.3
    assert read_figures(database).oldest_transaction_seconds < 0.3


def test_an_empty_queue_sends_zeros(
    s3_server: str, database: Database, cloudwatch_settings: Settings
) -> None:  # fmt: skip
    assert CloudWatchSender(database, cloudwatch_settings).send_if_due() is True
    for name in ("QueuedChunkCount", "ProcessingChunkCount", "FailedChunkCount", "CompletedChunkCount",
                 "BacklogPerWorker", "QueuedWithoutWorkers", "FailedJobCount", "DoneJobCount", "OldestQueuedSeconds",
                 "OldestAggregationSeconds", "OldestTransactionSeconds", "RunningWorkers"):  # fmt: skip
        (point,) = received(s3_server, cloudwatch_settings.metrics_namespace, name)
        assert (point["Sum"], point["SampleCount"]) == (0, 1), name


def sent_once(database: Database, address: str, settings: Settings) -> dict[str, float]:
    """What one send brings into CloudWatch, by metric; each has one point."""
    fresh = settings.model_copy(update={"metrics_namespace": f"test-{uuid4().hex}"})
    sql(database, "DELETE FROM metrics_turns")
    assert CloudWatchSender(database, fresh).send_if_due() is True
    client = boto3.client("cloudwatch", endpoint_url=address, region_name="us-east-1")
    names = {each["MetricName"] for each in client.list_metrics(Namespace=fresh.metrics_namespace)["Metrics"]}
    points = {name: received(address, fresh.metrics_namespace, name) for name in names}
    assert all(point["SampleCount"] == 1 for (point,) in points.values())
    return {name: point["Sum"] for name, (point,) in points.items()}


def wanted_workers(values: dict[str, float]) -> int:
    """What our rules make of these ten seconds, where no worker was wanted before."""
    return Autoscaler(Rules.read()).evaluate({name: Series([(0.0, value)]) for name, value in values.items()}, 10.0)


def test_what_cloudwatch_holds_is_what_the_rows_say(
    s3_server: str, database: Database, cloudwatch_settings: Settings
) -> None:
    busy_queue(database)
    values = sent_once(database, s3_server, cloudwatch_settings)
    assert wanted_workers(values) == 1
    times = {name: values.pop(name) for name in list(values) if name.startswith("Oldest")}
    assert values == {
        "QueuedChunkCount": 2, "ProcessingChunkCount": 1, "FailedChunkCount": 1, "CompletedChunkCount": 4,
        "FailedJobCount": 1, "DoneJobCount": 1, "RunningWorkers": 0, "BacklogPerWorker": 3, "BusyShare": 1,
        "QueuedWithoutWorkers": 2,
    }  # fmt: skip
    assert 40 <= times["OldestQueuedSeconds"] < 60
    assert 130 <= times["OldestAggregationSeconds"] < 160
    with database.transaction() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.3)")
        assert sent_once(database, s3_server, cloudwatch_settings)["OldestTransactionSeconds"] >= 0.3
    sql(database, "INSERT INTO workers (worker_id, kind) VALUES ('w1', 'gpu_chunk_worker'), ('w2', 'gpu_chunk_worker')")
    values = sent_once(database, s3_server, cloudwatch_settings)
    assert (values["RunningWorkers"], values["BacklogPerWorker"], values["QueuedWithoutWorkers"]) == (2, 1.5, 0)
    sql(database, "UPDATE fleet SET paused_at = now()")
    sql(database, "DELETE FROM workers")
    values = sent_once(database, s3_server, cloudwatch_settings)
    assert (values["QueuedChunkCount"], values["BacklogPerWorker"], values["QueuedWithoutWorkers"]) == (2, 1, 0)
    assert wanted_workers(values) == 0


def test_workers_that_are_asked_for_count_before_they_run(
    s3_server: str, database: Database, cloudwatch_settings: Settings, monkeypatch: pytest.MonkeyPatch, said: list[Said]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECS", s3_server)
    ecs = boto3.client("ecs", endpoint_url=s3_server, region_name="us-east-1")
    fleet = {"cluster": f"fleet-{uuid4().hex}", "service": "gpu-worker"}
    settings = cloudwatch_settings.model_copy(update={"fleet_ecs_service": "/".join(fleet.values())})
    busy_queue(database)
    ecs.create_cluster(clusterName=fleet["cluster"])
    assert sent_once(database, s3_server, settings)["BacklogPerWorker"] == 3  # no such service: as if nobody had asked
    assert [each.fields["sink"] for each in said if each.event == "metrics_failed"] == ["ecs"]
    ecs.register_task_definition(family="gpu", containerDefinitions=[{"name": "w", "image": "w", "memory": 1}])
    ecs.create_service(cluster=fleet["cluster"], serviceName=fleet["service"], taskDefinition="gpu", desiredCount=6)
    values = sent_once(database, s3_server, settings)
    assert (values["BacklogPerWorker"], values["BusyShare"], values["QueuedWithoutWorkers"]) == (0.5, 2 / 6, 0)
    ecs.update_service(**fleet, desiredCount=0)
    sql(database, "INSERT INTO workers (worker_id, kind) VALUES ('protected', 'gpu_chunk_worker')")
    values = sent_once(database, s3_server, settings)
    assert (values["BacklogPerWorker"], values["QueuedWithoutWorkers"]) == (3, 2)


def test_the_simulation_scales_on_what_the_rows_say(database: Database) -> None:
    def add_worker(name: str) -> None:
        sql(database, "INSERT INTO workers (worker_id, kind) VALUES (:name, 'gpu_chunk_worker')", name=name)

    def compare(queued: int, processing: int, running: int) -> None:
        for wanted in (None, 0, 1, 4):
            figures = read_figures(database, wanted)
            seen = simulation.Figures(queued, processing, running, wanted=9 if wanted is None else wanted)
            assert simulation.Emitter(knows_wanted=wanted is not None).metrics(seen) == {
                "QueuedChunkCount": figures.queued_chunks,
                "BacklogPerWorker": figures.backlog_per_worker,
                "BusyShare": figures.busy_share,
                "QueuedWithoutWorkers": figures.queued_without_workers,
            }

    compare(0, 0, 0)
    add_job(database, [{"status": "queued"}] * 3)
    compare(3, 0, 0)
    add_worker("w0")
    add_worker("w1")
    compare(3, 0, 2)
    add_job(database, [{"status": "processing", "claimed_by": "w0"}] * 2)
    compare(3, 2, 2)


def test_of_many_analysis_workers_one_sends_each_turn(
    s3_server: str, database: Database, cloudwatch_settings: Settings
) -> None:
    busy_queue(database)
    several = [cloudwatch_settings.model_copy(update={"worker_id": f"analysis-{number}"}) for number in range(8)]
    senders = [CloudWatchSender(database, settings) for settings in several]
    earlier = "UPDATE metrics_turns SET sent_at = sent_at - interval '20 seconds'"
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            sent = [list(pool.map(lambda sender: sender.send_if_due(), senders)).count(True) for _ in range(2)]
            # Two rounds within a turn; should it end between them, each may have sent.
            assert 1 <= sum(sent) <= 2
            assert max(sent) == 1
            sql(database, earlier)
    points = received(s3_server, cloudwatch_settings.metrics_namespace, "QueuedChunkCount")
    assert {point["Sum"] / point["SampleCount"] for point in points} == {2.0}
    assert sum(point["SampleCount"] for point in points) >= 2


def test_a_cloudwatch_that_is_away_does_not_stop_the_worker(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warnings() -> float:
        labels = {"event": "metrics_failed", "level": "warning"}
        return counters.REGISTRY.get_sample_value("framefleet_events_total", labels) or 0

    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    counters.start()
    before = warnings()
    sender = CloudWatchSender(database, settings.model_copy(update={"metrics_region": "us-east-1"}))
    assert sender.send_if_due() is False
    assert warnings() == before + 1


def test_a_worker_is_listed_while_it_runs_with_what_it_holds(database: Database, settings: Settings) -> None:
    settings = settings.model_copy(update={"worker_id": "w1"})
    job_id = add_job(database, [{"status": "completed"}, {"status": "processing", "claimed_by": "w1"}])
    with presence("gpu_chunk_worker", settings, database):
        (worker,) = wait_until(lambda: list_workers(database), 60, "the worker's row")
        assert (worker["kind"], worker["state"]) == ("gpu_chunk_worker", "working")
        assert (worker["job_id"], worker["chunk_index"]) == (str(job_id), 1)
        sql(database, "UPDATE video_analysis_chunks SET status = 'completed'")
        assert list_workers(database)[0]["state"] == "idle"
        sql(database, "UPDATE workers SET seen_at = now() - interval '1 hour'")
        assert list_workers(database)[0]["state"] == "silent"
        sql(database, "INSERT INTO workers (worker_id, kind, seen_at) VALUES ('old', 'x', now() - interval '3 days')")
    assert list_workers(database) == []


def test_a_worker_that_suffers_is_listed_and_counted_and_hears_whether_it_suffers_alone(
    database: Database, settings: Settings, said: list[Said]
) -> None:
    def alone() -> list[Said]:
        return [each for each in said if each.fields.get("alone")]

    surroundings = Surroundings(open_store(settings))
    surroundings.suffer(StorageError("The disk is full."))
    with presence("gpu_chunk_worker", settings.model_copy(update={"worker_id": "healthy"}), database):
        wait_until(lambda: list_workers(database), 60, "the healthy worker's row")
        with presence("gpu_chunk_worker", settings, database, surroundings):
            wait_until(lambda: read_figures(database).unwell_workers == 1, 60, "the unwell worker's row")
            row = next(each for each in list_workers(database) if each["state"] == "unwell")
            assert row["trouble"] == "The disk is full."
            assert not alone()  # a trouble of all shows at the others only when they speak next
            sql(database, "UPDATE workers SET trouble_since = now() - interval '1 minute' WHERE trouble IS NOT NULL")
            wait_until(alone, 60, "the next word to the database")


def test_the_queue_metric_is_sent_where_no_gpu_worker_lives(
    s3_server: str, database: Database, cloudwatch_settings: Settings
) -> None:  # fmt: skip
    def turns() -> int:
        return len(sql(database, "SELECT * FROM metrics_turns"))

    with vitals("gpu_chunk_worker", cloudwatch_settings, database):
        wait_until(lambda: list_workers(database), 60, "the GPU worker's first tick")
    assert turns() == 0
    with vitals("analysis_worker", cloudwatch_settings, database):
        wait_until(turns, 60, "the analysis worker's turn")
        name = cloudwatch_settings.metrics_namespace
        wait_until(lambda: received(s3_server, name, "QueuedChunkCount"), 60, "the metric")


def test_the_command_lists_the_workers(
    database: Database, database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    get_settings.cache_clear()
    with presence("analysis_worker", settings.model_copy(update={"worker_id": "[w]1"}), database):
        wait_until(lambda: list_workers(database), 60, "the worker's row")
        told = json.loads(CliRunner().invoke(cli, ["workers", "--json"]).stdout)
        shown = CliRunner().invoke(cli, ["workers"])
    assert [(worker["worker_id"], worker["state"]) for worker in told["workers"]] == [("[w]1", "idle")]
    assert shown.exit_code == 0
    assert "[w]1" in shown.stdout and "analysis" in shown.stdout
    get_settings.cache_clear()


@pytest.fixture
def pooled(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """The test's database behind PgBouncer in transaction mode, with two server connections for all."""
    if shutil.which("pgbouncer") is None:
        pytest.skip("pgbouncer is not installed")
    url = make_url(database_url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = f"host={url.query.get('host') or url.host} user={url.username}"
    place += (f" port={url.port}" if url.port else "") + (f" password={url.password}" if url.password else "")
    text = f"""[databases]
{url.database} = {place}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
"""
    with tempfile.TemporaryDirectory(prefix="framefleet-bouncer-") as folder:  # not below a folder closed to nobody
        Path(folder).chmod(0o755)
        config = Path(folder) / "pgbouncer.ini"
        config.write_text(text)
        account = ["-u", "nobody"] if os.getuid() == 0 else []
        with (tmp_path / "pgbouncer.log").open("wb") as log:
            bouncer = subprocess.Popen(["pgbouncer", *account, str(config)], stderr=log)
        database = Database(f"postgresql://{url.username}@127.0.0.1:{port}/{url.database}", pool_size=8)
        try:
            wait_until(lambda: answers(database), 60, "PgBouncer")
            yield database
        finally:
            database.close()
            bouncer.kill()
            bouncer.wait(timeout=60)


def answers(database: Database) -> bool:
    try:
        return bool(sql(database, "SELECT 1"))
    except DatabaseUnavailable:
        return False


def test_one_turn_in_its_time_behind_pgbouncer_and_no_lock_stays(
    pooled: Database, database: Database, s3_server: str, cloudwatch_settings: Settings
) -> None:
    senders = [CloudWatchSender(pooled, cloudwatch_settings) for _ in range(4)]
    left = "SELECT 20 - mod(extract(second FROM now()), 20) AS seconds"
    wait_until(lambda: sql(database, left)[0]["seconds"] > 3, 60, "a turn that does not end at once")
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lambda sender: sender.send_if_due(), senders))
    assert sent.count(True) == 1
    sql(database, "UPDATE metrics_turns SET sent_at = sent_at - interval '1 minute'")
    assert senders[0].send_if_due() is True
    assert sql(database, "SELECT * FROM pg_locks WHERE locktype = 'advisory'") == []

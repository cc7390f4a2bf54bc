"""The stack of compose.yaml does a job, Prometheus sees it, and every panel of the dashboard shows something."""

from __future__ import annotations

import io
import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any

import av
import psycopg
import pytest
import requests
from moto.server import ThreadedMotoServer

from tests.conftest import _url_of
from tests.docker.compose import PROJECT, interpolated, read
from tests.docker.prometheus import Prometheus, configuration, is_installed, started
from tests.docker.stack import Stack, running
from tests.docker.test_compose import made_env
from tests.integration.test_prometheus import promtool
from tests.samples import make_sample

DASHBOARD = json.loads((PROJECT / "deploy" / "grafana" / "framefleet.json").read_text())
ENDED = ("done", "failed", "cancelled")
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


@pytest.fixture(scope="module")
def empty_tables(postgres: str) -> Iterator[str]:
    """A database without any table: the migration service makes them."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield _url_of(postgres, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def stack(empty_tables: str, store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    made = made_env(folder)
    compose = interpolated(read("compose.yaml"), made)
    theirs = f"postgresql://framefleet:{made['POSTGRES_PASSWORD']}@postgres:5432/framefleet"
    with running(compose, folder, {theirs: empty_tables, "http://s3.localhost:7070": store}) as stack:
        yield stack
    assert stack.exit_codes == dict.fromkeys(stack.processes, 0)


@pytest.fixture(scope="module")
def watched(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus | None]:
    """The stack's Prometheus, from before the first job; None where it is not installed."""
    if not is_installed():
        yield None
        return
    folder = tmp_path_factory.mktemp("prometheus")
    ports = {"api": 8080, "analysis-worker": 9090, "gpu-worker": 9090}
    addresses = {f"{name}:{port}": f"127.0.0.1:{stack.ports[name]}" for name, port in ports.items()}
    made = dict(line.split("=", 1) for line in (stack.folder / ".env").read_text().splitlines())
    config = configuration(folder, addresses, made["METRICS_TOKEN"])
    promtool("check", "config", str(config))
    with started(config, folder) as server:
        server.wait_for(lambda: server.value("sum(up)") == len(ports), "all processes are scraped")
        yield server


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_sample(tmp_path_factory.mktemp("film") / "talk.mp4", seconds=1).read_bytes()


@pytest.fixture(scope="module")
def job(stack: Stack, watched: Prometheus | None, film: bytes) -> dict[str, Any]:
    return ended(stack, submitted(stack, film))


def submitted(stack: Stack, film: bytes) -> dict[str, Any]:
    answer = requests.post(
        stack.url("api", "/api/v1/jobs"),
        files={"file": ("talk.mp4", film)},
        data={"params": json.dumps({"aspect": "9:16"})},
        timeout=30,
    )
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def ended(stack: Stack, job: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        now: dict[str, Any] = requests.get(stack.url("api", f"/api/v1/jobs/{job['id']}"), timeout=30).json()
        if now["status"] in ENDED:
            return now
        time.sleep(0.4)
    pytest.fail(f"the job does not end: {now}; {stack.log('gpu-worker')}")


def test_the_services_do_a_job(stack: Stack, job: dict[str, Any]) -> None:
    assert job["status"] == "done", job["error"]
    output = requests.get(stack.url("api", f"/api/v1/jobs/{job['id']}/output"), timeout=30)
    with av.open(io.BytesIO(output.content)) as container:
        stream = container.streams.video[0]
        assert stream.height > stream.width
    for log in map(stack.log, stack.processes):
        assert '"level": "error"' not in log


def test_whatever_the_image_counts_on_is_one_name_for_all(stack: Stack) -> None:
    """A signed link names the store as the containers do: the browser has to find it under the same name."""
    assert requests.get(stack.url("api", "/ready"), timeout=30).json() == {"ok": True}
    services = read("compose.yaml")["services"]
    host, port = services["api"]["environment"]["S3_ENDPOINT_URL"].removeprefix("http://").split(":")
    assert services["s3"]["networks"]["default"]["aliases"] == [host]
    assert services["s3"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert host.endswith(".localhost")


def test_every_panel_shows_what_the_fleet_did(
    stack: Stack, watched: Prometheus | None, job: dict[str, Any], film: bytes
) -> None:
    if watched is None:
        pytest.skip("prometheus is not installed (Debian's package of that name)")
    prometheus = watched
    prometheus.wait_for(lambda: prometheus.value("sum(framefleet_jobs_done_total)") == 1, "the first job")
    # A rate is a rise between two scrapes of a series that was there before.
    assert ended(stack, submitted(stack, film))["status"] == "done"
    assert ended(stack, submitted(stack, b"no film at all"))["status"] == "failed"
    prometheus.wait_for(lambda: prometheus.value("sum(framefleet_jobs_done_total)") == 2, "the second job")
    prometheus.wait_for(lambda: prometheus.value("max(framefleet_jobs{status='failed'})") == 1, "the job that failed")
    assert len(EXPRESSIONS) > 25
    assert [each for each in EXPRESSIONS if prometheus.finite_points(each) == 0] == []
    assert prometheus.finite_points("framefleet_no_such_metric") == 0
    (group,) = prometheus.ask("rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}


def test_a_worker_and_the_api_say_they_are_well_as_their_images_ask(stack: Stack) -> None:
    for name, path in (("api", "/health"), ("gpu-worker", "/metrics")):
        command = ["python", "docker/health.py", str(stack.ports[name]), path]
        assert subprocess.run(command, cwd=PROJECT, timeout=30).returncode == 0
    wrong = ["python", "docker/health.py", str(stack.ports["api"]), "/no-such-page"]
    assert subprocess.run(wrong, cwd=PROJECT, capture_output=True, timeout=30).returncode == 1
    dead = ["python", "docker/health.py", "9", "/health"]
    done = subprocess.run(dead, cwd=PROJECT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "does not answer" in done.stdout

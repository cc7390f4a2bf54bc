"""A Prometheus of one test, with compose.yaml's own configuration; its targets' hosts and ports are this machine's."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.compose import FOLDER, PROJECT
from tests.docker.stack import free_port

SCRAPE_EVERY = "1s"
RATE_INTERVAL = "8s"  # what Grafana puts in for $__rate_interval: some scrapes


class Prometheus:
    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, **arguments: object) -> Any:
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> float:
        """Of the only series, or NaN."""
        result = self.ask("query", query=expression)["result"]
        return float(result[0]["value"][1]) if len(result) == 1 else math.nan

    def finite_points(self, expression: str, last_sec: float = 120) -> int:
        """How many numbers the query gives for the last while, over all its series."""
        now = time.time()
        spelled = expression.replace("$__rate_interval", RATE_INTERVAL)
        series = self.ask("query_range", query=spelled, start=now - last_sec, end=now, step=0.5)["result"]
        return sum(math.isfinite(float(value)) for each in series for _, value in each["values"])

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_sec: float = 60) -> None:
        deadline = time.monotonic() + timeout_sec
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.1)
        pytest.fail(f"{what}: not within {timeout_sec} s. Targets: {self.ask('targets')['activeTargets']}")


def configuration(folder: Path, addresses: Mapping[str, str], metrics_token: str) -> Path:
    """docker/prometheus.yml for this machine. `addresses`: host:port by the name of the service."""
    given = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    given["global"] = dict.fromkeys(given["global"], SCRAPE_EVERY)
    assert given["rule_files"] == ["/etc/prometheus/alerts.yml"]
    given["rule_files"] = [str(PROJECT / "deploy" / "prometheus" / "alerts.yml")]
    for job in given["scrape_configs"]:
        job["scrape_timeout"] = SCRAPE_EVERY
        if "authorization" in job:
            (folder / "metrics-token").write_text(metrics_token)
            job["authorization"]["credentials_file"] = str(folder / "metrics-token")
        found = [target for each in job.get("static_configs", []) for target in each["targets"]]
        for each in job.pop("dns_sd_configs", []):
            found += [f"{name}:{each['port']}" for name in each["names"]]
        job["static_configs"] = [{"targets": [addresses[target] for target in found]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(given))
    return path


def is_installed() -> bool:
    return shutil.which("prometheus") is not None


@contextmanager
def started(config: Path, folder: Path) -> Iterator[Prometheus]:
    listen = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'series'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={listen}"], stdout=log, stderr=log)
    server = Prometheus(f"http://{listen}")
    try:
        _wait_until_ready(server, process, folder / "prometheus.log")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_ready(server: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{server.address}/-/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())

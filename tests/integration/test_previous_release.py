"""Earlier releases as processes, from their own commits, on this release's tables and beside its processes: a
deployment in the middle. Slow: test_releases.py asks the same of their statements, on every run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from backend.db.migrate import PROJECT
from backend.settings import Settings
from tests.integration.conftest import ANALYSIS_WORKER, CHUNK_WORKER, read_film, wait_until
from tests.releases.record import record, unpacked
from tests.releases.recorded import RELEASES, Release
from tests.samples import make_sample

pytestmark = pytest.mark.slow
END_SEC = 120.0


@pytest.fixture(params=RELEASES, ids=lambda release: release.name)
def release(request: pytest.FixtureRequest) -> Release:
    found: Release = request.param
    there = subprocess.run(["git", "cat-file", "-e", f"{found.commit}^{{commit}}"], cwd=PROJECT, capture_output=True)
    if there.returncode != 0:
        pytest.skip(f"the history has no {found.commit}: git fetch --unshallow, in a clone of the repository")
    return found


def test_what_was_written_down_is_what_the_release_asks(release: Release, tmp_path: Path) -> None:
    written = record(release.commit, tmp_path)
    assert written.read_text() == (PROJECT / "tests" / "releases" / written.name).read_text()


@dataclass
class Site:
    """Processes of one tree's code; those of several share the database and the store."""

    tree: Path
    environment: Mapping[str, str]
    logs: Path
    stack: ExitStack

    def start(self, name: str, *command: str) -> None:
        log = self.stack.enter_context((self.logs / f"{self.tree.name}-{name}.log").open("wb"))
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(self.tree), "WORKER_ID": name}
        process = subprocess.Popen([sys.executable, *command], cwd=self.tree, env=environment, stdout=log, stderr=log)
        self.stack.callback(process.wait, timeout=30)
        self.stack.callback(process.terminate)

    def serve(self) -> str:
        """Starts its API; returns where."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.start(
            "api", "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4", "backend.api.app:create_app()"
        )
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: _is_ready(address), 60, "the API is ready")
        return address


def _is_ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/ready", timeout=30).ok
    except requests.ConnectionError:
        return False


def _asked(url: str) -> dict[str, Any]:
    answer = requests.get(url, timeout=30)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _sent(address: str, clip: Path) -> str:
    """The job's id."""
    with clip.open("rb") as file:
        params = '{"aspect": "1:1", "preset": "ultrafast"}'
        form = {"kind": "crop", "params": params}
        answer = requests.post(f"{address}/api/v1/jobs", data=form, files={"file": (clip.name, file)}, timeout=60)
    assert answer.ok, answer.text
    return str(answer.json()["id"])


@contextmanager
def _sites(settings: Settings, trees: list[Path], logs: Path) -> Iterator[list[Site]]:
    assert settings.database_url is not None
    environment = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "STORAGE_URL": settings.storage_root_url,
        "FRAMEFLEET_DATA_DIR": str(settings.data_dir),
        "DETECTOR": "hog",
        "CHUNK_SECONDS": "2",
        "RENDER_FANOUT_SECONDS": "4",
        "POLL_SECONDS": "0.1",
        "DRAIN_SECONDS": "0",
        "HTTP_ALLOW_PRIVATE": "true",
    }
    logs.mkdir()
    with ExitStack() as stack:
        yield [Site(tree, environment, logs, stack) for tree in trees]


def _film_of(address: str, job_id: str, target: Path) -> Path:
    def ended() -> dict[str, Any] | None:
        job = _asked(f"{address}/api/v1/jobs/{job_id}")
        return job if job["status"] in ("done", "failed", "cancelled") else None

    job = wait_until(ended, END_SEC, "the job's end")
    assert (job["status"], job["progress_pct"]) == ("done", 100), job["error"]
    target.write_bytes(requests.get(f"{address}/api/v1/jobs/{job_id}/output", timeout=30).content)
    return target


def test_both_releases_apis_and_workers_do_each_others_jobs(
    release: Release, settings: Settings, tmp_path: Path
) -> None:
    """The tables are ours. Jobs are sent to both APIs, and are done by the workers of both."""
    clip = make_sample(tmp_path / "clip.mp4", seconds=8)
    tree = unpacked(release.commit, tmp_path / "earlier")
    logs = tmp_path / "logs"
    with _sites(settings, [tree, PROJECT], logs) as (earlier, ours):
        addresses = [earlier.serve(), ours.serve()]
        jobs = [_sent(address, clip) for address in addresses for _ in range(2)]
        for site in (earlier, ours):
            site.start("chunks", "-m", CHUNK_WORKER)
            site.start("films", "-m", ANALYSIS_WORKER)
        for number, job_id in enumerate(jobs):
            # Each API shows the jobs of both.
            film = _film_of(addresses[number % 2], job_id, tmp_path / f"{number}.mp4")
            assert len(read_film(film).pts) == len(read_film(clip).pts)
        chunks = [each for job_id in jobs for each in _asked(f"{addresses[0]}/api/v1/jobs/{job_id}/chunks")["chunks"]]
        assert {chunk["status"] for chunk in chunks} == {"completed"}
    for log in logs.iterdir():
        said = log.read_text()
        assert '"level": "error"' not in said and "Traceback" not in said, said[-3000:]
    claims = {log.name: log.read_text().count('"chunk_claimed"') for log in logs.glob("*-chunks.log")}
    assert len(claims) == 2 and all(claims.values()), claims

"""A request that RunPod cancels ends its job, and the worker goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.settings import Settings
from backend.workers.runpod_handler import Handler
from tests.integration.conftest import wait_until
from tests.loopback import Request, loopback

JSON = {"Content-Type": "application/json"}
HOLD_SEC = 0.2  # how long RunPod keeps a question without an answer


class RunPod:
    """RunPod's side of its protocol, and the places that the requests name."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.to_stop: list[str] = []
        self.put: dict[str, bytes] = {}
        self.results: list[dict[str, Any]] = []
        self.is_read = threading.Event()  # the slow source
        self.lets_go = threading.Event()

    def __call__(self, request: Request) -> Any:
        path = request.path.partition("?")[0]
        if path.startswith("/job-take/"):
            return self._given(self.requests.pop(0) if self.requests else None)
        if path.startswith("/job-stop/"):
            stopped, self.to_stop = self.to_stop, []
            return self._given({"jobsToStop": stopped} if stopped else None)
        if request.method == "PUT":
            self.put[path] = request.body
        elif request.method == "POST":
            told = json.loads(request.body)
            self.results += [told] if told.get("status") != "IN_PROGRESS" else []
        elif path == "/slow.bin":
            self.is_read.set()
            self.lets_go.wait(60)
        return 200, b"bytes to copy"

    def _given(self, answer: dict[str, Any] | None) -> Any:
        if answer is None:
            self.lets_go.wait(HOLD_SEC)
            return 204, b""
        return 200, json.dumps(answer).encode(), JSON


def copy(request_id: str, address: str, name: str) -> dict[str, Any]:
    places = {"source_uri": f"{address}/{name}.bin", "output_put_url": f"{address}/out/{name}.bin"}
    return {"id": request_id, "input": {"task": "STAGE_OBJECT", "parameters": places}}


@contextmanager
def worker(address: str, settings: Settings, folder: Path) -> Iterator[None]:
    """As RunPod starts it."""
    assert settings.database_url is not None
    with (folder / "runpod.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.workers.runpod_handler"],
            env=os.environ
            | {
                "DATABASE_URL": settings.database_url.get_secret_value(),
                "FRAMEFLEET_DATA_DIR": str(folder / "pod"),
                "DETECTOR": "hog",
                "POLL_SECONDS": "0.1",
                "HTTP_ALLOW_PRIVATE": "true",
                "RUNPOD_WEBHOOK_GET_JOB": f"{address}/job-take/$ID?gpu=none",
                "RUNPOD_WEBHOOK_POST_OUTPUT": f"{address}/result/$ID?gpu=none",
                "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
                "RUNPOD_SKIP_GPU_CHECK": "true",
            },
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def statuses(database: Database) -> dict[str | None, str]:
    return {job.idempotency_key: job.status for job in JobService(database).list()}


def test_a_request_that_runpod_cancels_ends_its_job_and_the_worker_goes_on(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    pytest.importorskip("runpod", reason="framefleet[runpod] is not installed")
    pod = RunPod()
    with loopback(pod) as address:
        pod.requests.append(copy("r-1", address, "slow"))
        with worker(address, settings, tmp_path):
            assert pod.is_read.wait(60), (tmp_path / "runpod.log").read_text()[-3000:]
            pod.to_stop.append("r-1")
            wait_until(lambda: statuses(database) == {"r-1": "cancelled"}, 60, "the job's end")
            pod.requests.append(copy("r-2", address, "quick"))
            wait_until(lambda: pod.results, 60, "the next request's result")
            pod.lets_go.set()
    assert statuses(database) == {"r-1": "cancelled", "r-2": "done"}
    assert pod.put == {"/out/quick.bin": b"bytes to copy"}
    assert [result["output"]["status"] for result in pod.results] == ["success"]


def test_a_request_that_is_cancelled_while_its_job_is_made_leaves_no_job_to_anybody(
    database: Database, settings: Settings
) -> None:
    """Whoever cancels then knows of no job yet."""
    handler, pod = Handler(database, settings, lambda request, progress: None), RunPod()

    async def cancelled(request: dict[str, Any]) -> None:
        answer = asyncio.ensure_future(handler(request))
        await asyncio.sleep(0)  # it has begun in its thread
        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer

    with loopback(pod) as address:
        asyncio.run(cancelled(copy("r-3", address, "quick")))  # ends when the thread has
    assert statuses(database) == {"r-3": "cancelled"}
    assert pod.put == {}

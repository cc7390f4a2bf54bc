"""Work that hangs does not keep its claim: it is given up, and its process ends where its thread cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from backend.db.engine import Database
from backend.db.models import Chunk, Job
from backend.jobs.service import JobService
from backend.settings import Settings
from backend.workers.drain import EXIT_STUCK
from tests.integration.conftest import Workers, wait_until
from tests.integration.test_workers import submit
from tests.media_children import media_children
from tests.samples import make_sample

# A worker as its command makes it, but with a detector that hangs, or one that takes its time and comes back.
SLEEPER = """
import sys
import time
from backend import events
from backend.db.engine import Database
from backend.queue.queue import Queue
from backend.kinds.tools import Tools
from backend.settings import get_settings
from backend.storage import open_store
from backend.vision.detector import open_detector
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.loop import WorkerLoop

SLEEP_SEC = float(sys.argv[1])

class Sleeper:
    def __init__(self, awake):
        self._awake = awake
        self.batch_size = 2

    def describe(self):
        return self._awake.describe()

    def detect(self, pictures, *, conf, iou):
        print("detecting", flush=True)
        time.sleep(SLEEP_SEC)
        return self._awake.detect(pictures, conf=conf, iou=iou)

events.configure()
settings = get_settings()
queue = Queue(Database(settings.database_url.get_secret_value()), settings)
tools = Tools(settings, lambda: Sleeper(open_detector(settings)))
worker = ChunkWorker(queue, open_store(settings), tools)
loop = WorkerLoop("sleeper", lambda: worker.work_once(loop), queue.tend, settings)
sys.exit(loop.run())
"""
FOR_EVER = 10_000.0


@contextmanager
def sleeper(settings: Settings, seconds: float, **env: str) -> Iterator[subprocess.Popen[str]]:
    assert settings.database_url is not None
    given = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "STORAGE_URL": settings.storage_root_url,
        "DETECTOR": "hog",
        "STALL_GRACE_SECONDS": "1",
        "LEASE_SECONDS": "6",
        "RETRY_BASE_SECONDS": "0",
        "POLL_SECONDS": "0.1",
    }
    command = [sys.executable, "-c", SLEEPER, str(seconds)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=dict(os.environ) | given | env, text=True, **streams) as worker:  # type: ignore[call-overload]
        try:
            assert worker.stdout.readline() == "detecting\n"
            yield worker
        finally:
            worker.kill()


@pytest.fixture
def job(database: Database, settings: Settings, tmp_path: Path) -> Job:
    return submit(database, settings, make_sample(tmp_path / "clip.mp4", seconds=1).as_uri())


def chunk_of(database: Database, job: Job) -> Chunk:
    return JobService(database).chunks(job.id)[0]


def test_a_detector_that_hangs_loses_its_chunk_and_its_process(
    database: Database, settings: Settings, job: Job, workers: Workers
) -> None:
    with sleeper(settings, FOR_EVER, STALL_SECONDS="3") as stuck:
        assert stuck.wait(timeout=20) == EXIT_STUCK
        assert stuck.stderr is not None
        log = stuck.stderr.read()
    assert '"worker_stuck"' in log
    chunk = chunk_of(database, job)
    assert (chunk.status, chunk.failures, chunk.error_code) == ("queued", 1, "work_stalled")
    assert "detection" in (chunk.error_message or "")
    workers.start_chunk_worker()
    workers.start_analysis_worker()
    assert workers.wait_for_end(job).status == "done"


def test_work_that_stands_still_and_then_comes_back_fails_its_chunk_and_its_worker_goes_on(
    database: Database, settings: Settings, job: Job
) -> None:
    with sleeper(settings, 3.0, STALL_SECONDS="1.5", STALL_GRACE_SECONDS="60", LEASE_SECONDS="60") as slow:
        wait_until(lambda: chunk_of(database, job).failures, 60, "the chunk is given up")
        assert chunk_of(database, job).error_code == "work_stalled"
        wait_until(lambda: chunk_of(database, job).attempts > 1, 60, "the same worker claims again")
        assert slow.poll() is None


def test_slow_work_that_moves_is_no_stall(database: Database, settings: Settings, job: Job) -> None:
    """Many batches, each of them shorter than the deadline, all of them together longer."""
    began = time.monotonic()
    with sleeper(settings, 0.7, STALL_SECONDS="4"):
        wait_until(lambda: JobService(database).get(job.id).status == "aggregating", 60, "the chunk is done")
    assert time.monotonic() - began > 3
    assert chunk_of(database, job).failures == 0


def test_cancelling_the_job_frees_a_worker_that_hangs(database: Database, settings: Settings, job: Job) -> None:
    with sleeper(settings, FOR_EVER) as stuck:
        JobService(database).cancel(job.id)
        assert stuck.wait(timeout=20) == EXIT_STUCK
    assert JobService(database).get(job.id).status == "cancelled"
    assert chunk_of(database, job).failures == 0


def test_sigterm_frees_a_worker_that_hangs(database: Database, settings: Settings, job: Job) -> None:
    with sleeper(settings, FOR_EVER, DRAIN_SECONDS="0") as stuck:
        stuck.terminate()
        assert stuck.wait(timeout=20) == 0
    chunk = chunk_of(database, job)
    assert (chunk.status, chunk.failures) == ("queued", 0)


def test_a_render_that_stands_still_is_given_up_and_done_again(
    database: Database, settings: Settings, workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for its media process hears the same share every second, and that is no progress. The lease is long
    enough for a busy machine: a worker that does not notice within half of it ends, and this one is alone."""
    clip = make_sample(tmp_path / "long.mp4", seconds=10).as_uri()
    job = submit(database, settings, clip, preset="slow", sample_fps=1)
    workers.start_chunk_worker()
    wait_until(lambda: JobService(database).get(job.id).status == "aggregating", 60, "the people are found")
    monkeypatch.setenv("STALL_SECONDS", "10")
    monkeypatch.setenv("LEASE_SECONDS", "30")
    worker = workers.start_analysis_worker()

    def current() -> Job:
        return JobService(database).get(job.id)

    def is_frozen() -> bool:
        """Whether a media process is at work on the film, and now no more."""
        children = media_children(worker.process.pid) if current().stage == "RENDERING" else []
        for child in children:
            psutil.Process(child).suspend()
        return bool(children)

    wait_until(is_frozen, 60, "the film is rendered")
    told = wait_until(lambda: current().error_code, 60, "the render is given up")
    assert (told, current().status) == ("work_stalled", "aggregating")
    done = workers.wait_for_end(job, 200)
    assert (done.status, done.error_code) == ("done", None)

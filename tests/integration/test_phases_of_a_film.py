"""A long film's phases with real films: a worker killed, and a job cancelled, in the middle of each."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from backend.db.engine import Database
from backend.db.models import Job
from backend.jobs.service import JobService
from backend.local.parts import Worker
from backend.settings import Settings
from tests.integration.conftest import CHUNK_WORKER, Workers, read_film, wait_until
from tests.integration.test_workers import film_of, submit
from tests.samples import make_sample

# A worker of one role, as its command makes it. When it is about to write the first object with such a name, it dies,
# or its job is cancelled: all of the step's work is done then, and nothing of it written.
STRUCK = """
import os
import signal
import sys
from uuid import UUID
from backend import events
from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.kinds.tools import Tools
from backend.queue.queue import Queue
from backend.settings import get_settings
from backend.storage import open_store
from backend.vision.detector import open_detector
from backend.workers.analysis_worker import Aggregator
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.loop import WorkerLoop

role, blow, name, job_id = sys.argv[1:]
settings = get_settings()
database = Database(settings.database_url.get_secret_value())
queue = Queue(database, settings)


class Struck:
    def __init__(self, store):
        self._store = store

    def __getattr__(self, attribute):
        return getattr(self._store, attribute)

    def put(self, key, *arguments, **options):
        self._strike(key)
        return self._store.put(key, *arguments, **options)

    def put_if_absent(self, key, *arguments, **options):
        self._strike(key)
        return self._store.put_if_absent(key, *arguments, **options)

    def put_file(self, key, *arguments, **options):
        self._strike(key)
        return self._store.put_file(key, *arguments, **options)

    def _strike(self, key):
        if name not in key:
            return
        print("struck", flush=True)
        if blow == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        JobService(database).cancel(UUID(job_id))


events.configure()
store = Struck(open_store(settings))
if role == "chunks":
    worker = ChunkWorker(queue, store, Tools(settings, lambda: open_detector(settings)))
else:
    worker = Aggregator(database, queue, store, settings)
loop = WorkerLoop(role, lambda: worker.work_once(loop), queue.tend, settings)
sys.exit(loop.run(idle_exit_sec=2))
"""
ENVIRONMENT = {"CHUNK_SECONDS": "3", "RENDER_FANOUT_SECONDS": "4", "LEASE_SECONDS": "2"}
# The role that works in each step, and a part of the first name that it writes in the end.
STEPS = {
    "detect": ("chunks", "/chunks/chunk_"),
    "solve": ("whole", "path_0000"),
    "render": ("chunks", "/pieces/piece_"),
    "join": ("whole", "/output/"),
}


class Play:
    """A job whose film is rendered in pieces, and the chunk worker that may share the work: it sleeps while it is
    another's turn, and counts as living all the while."""

    def __init__(self, job: Job, workers: Workers, database: Database) -> None:
        self._job = job
        self._workers = workers
        self._service = JobService(database)
        self._chunk_worker: Worker | None = None

    def now(self) -> Job:
        return self._service.get(self._job.id)

    def go_to(self, step: str) -> None:
        """Up to where this step is due."""
        if step == "render":
            analysis = self._workers.start_analysis_worker()
            self._until("processing", "render")
            analysis.process.terminate()
            analysis.process.wait()
        elif step != "detect":
            self.wake()
            self._until("aggregating", "detect" if step == "solve" else "render")
            self._signal(signal.SIGSTOP)

    def strike(self, step: str, blow: str) -> None:
        """Somebody does this step and is struck at its end."""
        role, name = STEPS[step]
        command = [sys.executable, "-c", STRUCK, role, blow, name, str(self._job.id)]
        struck = subprocess.run(command, env=self._workers.fleet.environment(), capture_output=True, text=True)
        assert struck.stdout == "struck\n", struck.stderr
        assert struck.returncode == (-signal.SIGKILL if blow == "kill" else 0), struck.stderr
        assert '"level": "error"' not in struck.stderr

    def finish(self) -> Job:
        self.wake()
        self._workers.start_analysis_worker()
        return self._workers.wait_for_end(self._job)

    def end(self) -> None:
        """Whoever sleeps would not hear that it is to stop."""
        if self._chunk_worker is not None:
            self._signal(signal.SIGCONT)

    def wake(self) -> None:
        if self._chunk_worker is None:  # one for all: the number of those who live decides that of the pieces
            there = [worker for worker in self._workers.fleet.workers if worker.module == CHUNK_WORKER]
            self._chunk_worker = there[0] if there else self._workers.start_chunk_worker()
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._chunk_worker is not None
        self._chunk_worker.process.send_signal(number)

    def _until(self, status: str, phase: str) -> None:
        wait_until(lambda: (self.now().status, self.now().phase) == (status, phase), 60, f"{status} in {phase}")


@pytest.fixture
def play(
    workers: Workers, database: Database, settings: Settings, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Play]]:
    """Makes jobs of six seconds in two chunks, rendered in two pieces."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    workers.fleet.settings = workers.fleet.settings.model_copy(update={"detector": "auto"})
    planning = settings.model_copy(update={"chunk_seconds": 3.0})
    plays: list[Play] = []

    def make() -> Play:
        job = submit(database, planning, clip.as_uri(), sample_fps=2)
        assert job.total_chunks == 2
        plays.append(Play(job, workers, database))
        return plays[-1]

    yield make
    for each in plays:
        each.end()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=6)


def pictures_of(film: Path) -> str:
    """SHA-256 over every picture and its time, and over the packets of sound."""
    digest = hashlib.sha256()
    with av.open(str(film)) as container:
        for packet in container.demux(container.streams.audio[0]):
            digest.update(bytes(packet))
        container.seek(0)
        for frame in container.decode(video=0):
            digest.update(f"{frame.pts}".encode() + frame.to_ndarray().tobytes())
    return digest.hexdigest()


def test_a_worker_killed_in_each_phase_costs_the_film_nothing(
    play: Callable[[], Play], settings: Settings, tmp_path: Path
) -> None:
    struck = play()
    for step in STEPS:
        struck.go_to(step)
        struck.strike(step, "kill")
    jobs = [struck.finish(), play().finish()]
    assert [(job.status, job.phase, job.total_chunks) for job in jobs] == [("done", "render", 4)] * 2
    films = [film_of(job, settings, tmp_path) for job in jobs]
    assert len(read_film(films[0]).pts) == 6 * 25
    assert pictures_of(films[0]) == pictures_of(films[1])
    assert [job.encoder for job in jobs] == ["libx264"] * 2


@pytest.mark.parametrize("step", STEPS)
def test_a_job_cancelled_in_any_phase_leaves_no_film_and_no_work(
    step: str, play: Callable[[], Play], database: Database
) -> None:
    cancelled = play()
    for earlier in list(STEPS)[: list(STEPS).index(step) + 1]:
        cancelled.go_to(earlier)
    cancelled.strike(step, "cancel")
    job = cancelled.now()
    assert (job.status, job.output_uri) == ("cancelled", None)
    cancelled.wake()
    ended = {"completed", "failed"}
    wait_until(lambda: {chunk.status for chunk in JobService(database).chunks(job.id)} <= ended, 20, "no work is left")

"""Workers in processes of their own that are struck when they are about to write: they die, or their job is cancelled.
All of the step's work is done then, and nothing of it, or not all of it, is written."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from backend import events
from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.kinds.tools import Tools
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.storage import open_store
from backend.vision.detector import open_detector
from backend.workers.analysis_worker import Aggregator
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.loop import WorkerLoop
from tests.integration.every_kind import Asked
from tests.integration.rows import sql
from tests.integration.studio import Studio

# A server that has loaded the workers' code, and has no connection and no work, forks each of them.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__, "backend.vision.pose.plots"])
IDLE_SEC = 2.0


@dataclass(frozen=True)
class Step:
    """Of a job: its chunks, or what takes them up. It is struck when an object is due whose key has this in it."""

    phase: str
    role: Literal["chunks", "whole"]
    key: str = ""


def steps_of(asked: Asked) -> list[Step]:
    """All of a job, in order, each to be struck before anything is written."""
    found: list[Step] = []
    for phase in asked.phases.phases:
        found += [Step(phase.name, "chunks")] if phase.chunks else []
        found.append(Step(phase.name, "whole"))
    return found


class Struck:
    """A store whose writer is struck before it writes an object with this in its key."""

    def __init__(self, store: Any, key: str, strike: Callable[[], None]) -> None:
        self._store, self._key, self._strike = store, key, strike

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, key: str, *arguments: Any, **options: Any) -> Any:
        return self._written(self._store.put, key, *arguments, **options)

    def put_if_absent(self, key: str, *arguments: Any, **options: Any) -> Any:
        return self._written(self._store.put_if_absent, key, *arguments, **options)

    def put_file(self, key: str, *arguments: Any, **options: Any) -> Any:
        return self._written(self._store.put_file, key, *arguments, **options)

    def _written(self, put: Any, key: str, *arguments: Any, **options: Any) -> Any:
        if self._key in key:
            self._strike()
        return put(key, *arguments, **options)


def killed_in(step: Step, settings: Settings, log: Path) -> None:
    """Somebody does this step, and dies of SIGKILL."""
    code = _worker(step, settings, log, None)
    assert code == -signal.SIGKILL, log.read_text()


def cancelled_in(step: Step, job_id: UUID, settings: Settings, log: Path) -> None:
    """Somebody does this step, and before anything is written the job is cancelled. The worker goes on."""
    code = _worker(step, settings, log, job_id)
    assert code == 0, log.read_text()


def _worker(step: Step, settings: Settings, log: Path, cancelled: UUID | None) -> int | None:
    process = _FORKS.Process(target=_work, args=(step, settings, str(log), cancelled))
    process.start()
    process.join()
    said = log.read_text()
    assert "struck" in said.splitlines() and '"level": "error"' not in said and "Traceback" not in said, said
    return process.exitcode


def _work(step: Step, settings: Settings, log: str, cancelled: UUID | None) -> None:
    """A worker of one role, as its command makes it."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    events.configure()
    settings = settings.model_copy(update={"worker_id": f"struck-{os.getpid()}"})
    assert settings.database_url is not None
    database = Database(settings.database_url.get_secret_value())
    tools = Tools(settings, lambda: open_detector(settings))
    queue = Queue(database, settings, tools.special)

    def strike() -> None:
        os.write(1, b"struck\n")
        if cancelled is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            JobService(database).cancel(cancelled)

    store: Any = Struck(open_store(settings), step.key, strike)
    worker = ChunkWorker(queue, store, tools) if step.role == "chunks" else Aggregator(database, queue, store, settings)
    loop = WorkerLoop(step.role, lambda: worker.work_once(loop), queue.tend, settings)
    loop.run(idle_exit_sec=IDLE_SEC)


def take_back(studio: Studio) -> int:
    """What the one who was struck had in work, now and not in a minute. Returns how many claims that were."""
    for table in ("video_analysis_chunks", "video_analysis_jobs"):
        sql(studio.database, f"UPDATE {table} SET lease_expires_at = now() WHERE lease_expires_at IS NOT NULL")
    return studio.queue.rescue_expired()


def finish(studio: Studio, job_id: UUID, step: Step) -> None:
    """Does all that is left of this step, here."""
    worker = studio.worker if step.role == "chunks" else studio.joiner
    assert worker.work_once(studio.loop), step
    while worker.work_once(studio.loop):
        continue
    now = studio.service.get(job_id)
    assert (now.phase, now.status) != (step.phase, "processing" if step.role == "chunks" else "aggregating"), step

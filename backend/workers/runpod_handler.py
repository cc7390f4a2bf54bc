"""RunPod's serverless worker: `python -m backend.workers.runpod_handler`, with framefleet[runpod] installed.

Each request is one job, worked on from its plan to its film in this process. Without DATABASE_URL the process has a
database of its own, without STORAGE_URL a folder: then nothing but the input and the output is outside of it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any
from uuid import UUID

import click
from pydantic import ValidationError

from backend import events, quick_start
from backend.db.engine import Database
from backend.db.models import Job
from backend.db.provided import database_of
from backend.errors import FramefleetError, InvalidState, unexpected
from backend.events import Event, error
from backend.jobs.callbacks import output_key_of
from backend.jobs.progress import progress_of
from backend.jobs.service import JobService
from backend.media.jail.platform import require_jail
from backend.queue.queue import Queue
from backend.queue.surroundings import Surroundings
from backend.settings import Settings, get_settings
from backend.states import JobStatus
from backend.storage import open_store
from backend.workers.command import EXIT_BAD_SETUP, settings_complaint
from backend.workers.duties import Duties, Duty
from backend.workers.janitor import Janitor
from backend.workers.one_job import OneJob
from backend.workers.runpod_input import new_job

PROGRESS_EVERY_SEC = 2.0
Request = Mapping[str, Any]
Tell = Callable[[Request, dict[str, Any]], object]


class Handler:
    """Takes RunPod's requests. `tell(request, progress)` hands progress on to RunPod."""

    def __init__(self, database: Database, settings: Settings, tell: Tell) -> None:
        self._database = database
        self._settings = settings
        self._jobs = JobService(database)
        self._store = open_store(settings)
        self._surroundings = Surroundings(self._store)
        self._janitor = Janitor(database, Queue(database, settings), self._store, settings)
        self._tell = tell

    async def __call__(self, request: Request) -> dict[str, Any]:
        """What RunPod returns to its client. Its loop goes on meanwhile; should it end the request, the job is
        cancelled."""
        asked: list[UUID] = []
        is_over = threading.Event()

        def created(job_id: UUID) -> None:
            asked.append(job_id)
            if is_over.is_set():  # while the job was being made: nobody else knows of it
                self._cancel(job_id)

        try:
            return await asyncio.to_thread(self.answer, request, created)
        except asyncio.CancelledError:
            is_over.set()
            for job_id in asked:
                self._cancel(job_id)
            raise

    def _cancel(self, job_id: UUID) -> None:
        with suppress(InvalidState):  # it has ended
            self._jobs.cancel(job_id)

    def answer(self, request: Request, created: Callable[[UUID], object] = lambda job_id: None) -> dict[str, Any]:
        """`{"status": "success", "output_video_key"}`, or `{"status": "error", "error"}`. Raises nothing."""
        try:
            job = self._jobs.create(new_job(request, self._settings))
            created(job.id)
            return _answer(self._worked(job, request), request)
        except FramefleetError as failure:
            return {"status": "error", "error": f"{failure.code}: {failure.message}"}
        except Exception as failure:  # noqa: BLE001 - RunPod would show the trace, with its paths, to the client
            error(Event.JOB_FAILED_UNEXPECTED, exc_info=failure)
            return {"status": "error", "error": unexpected().message}

    def _worked(self, job: Job, request: Request) -> Job:
        last: list[dict[str, Any]] = []

        def tell_progress() -> None:
            now = self._jobs.get(job.id)
            (progress,) = progress_of(self._database, [now])
            shown = {"progress": progress.pct, "message": now.stage}
            if shown not in last:
                last[:] = [shown]
                self._tell(request, shown)

        worker = OneJob(job.id, self._database, self._store, self._settings, self._surroundings)
        with ExitStack() as stack:  # each in a thread of its own: neither waits for the other, and the work for none
            stack.enter_context(Duties(Duty("progress", PROGRESS_EVERY_SEC, tell_progress)).in_background())
            stack.enter_context(Duties(*self._janitor.duties()).in_background())
            return worker.run(listens=False)


def _answer(job: Job, request: Request) -> dict[str, Any]:
    match job.status:
        case JobStatus.DONE:
            told = {"output_uri": job.output_uri} if "task" in request["input"] else {}
            return {"status": "success", "output_video_key": output_key_of(job), **told}
        case JobStatus.CANCELLED:
            return {"status": "error", "error": "job_cancelled: The job was cancelled."}
        case JobStatus.FAILED:
            return {"status": "error", "error": f"{job.error_code}: {job.error_message}"}
    return {"status": "error", "error": f"job_waits: The job is {job.status} and nobody may work on it now."}


def main() -> int:
    """Serves until RunPod ends the process. `--rp_serve_api` is the package's local test server."""
    try:
        import runpod
    except ModuleNotFoundError:
        click.echo("The RunPod package is not here: install framefleet[runpod].", err=True)
        return EXIT_BAD_SETUP
    quick_start.imported()
    events.configure()
    try:
        settings = get_settings()
        events.identify(worker="runpod_handler", worker_id=settings.worker_id)
        require_jail(settings)
        with database_of(settings) as (database, located):
            handler = Handler(database, located, runpod.serverless.progress_update)

            async def handle(request: dict[str, Any]) -> dict[str, Any]:
                return await handler(request)

            runpod.serverless.start({"handler": handle})
    except ValidationError as invalid:
        click.echo(settings_complaint(invalid), err=True)
        return EXIT_BAD_SETUP
    except FramefleetError as failure:
        click.echo(f"{failure.code}: {failure.message}", err=True)
        return EXIT_BAD_SETUP
    return 0


if __name__ == "__main__":
    sys.exit(main())

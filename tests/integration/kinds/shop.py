"""A planner and the worker that makes results, in this process: for kinds whose work needs no chunk worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.db.engine import Database
from backend.db.models import Job
from backend.jobs.plan import Planner
from backend.jobs.service import JobService, NewJob
from backend.local.given import place_input
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from backend.workers.analysis_worker import Aggregator
from backend.workers.loop import WorkerLoop


class Shop:
    def __init__(self, database: Database, settings: Settings) -> None:
        self.service, self.store, self.settings = JobService(database), open_store(settings), settings
        queue = Queue(database, settings)
        self._queue = queue
        self._planner = Planner(database, queue, self.store, settings)
        self._maker = Aggregator(database, queue, self.store, settings)
        self._loop = WorkerLoop("test", lambda: False, queue.tend, settings)

    def made(self, kind: str, given: str, params: dict[str, Any] | None = None, **asked: Any) -> Job:
        """The job, once it is over."""
        request = place_input(given, NewJob(kind, "", "", params or {}, **asked), self.settings, self.store)
        job_id = self.service.create(request).id
        claim = self._queue.claim_job(JobStatus.QUEUED, job_id)
        assert claim is not None
        self._planner.plan(claim)
        while self._maker.work_once(self._loop, job_id):
            continue
        return self.service.get(job_id)

    def result(self, job: Job, folder: Path) -> Path:
        """Its output, from our own store."""
        assert job.status == JobStatus.DONE, (job.error_code, job.error_message)
        assert job.output_key is not None
        path = folder / Path(job.output_key).name
        self.store.get_file(job.output_key, path)
        return path

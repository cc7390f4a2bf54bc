"""One job from its plan to its film in one process: `python -m backend.workers.one_job --job ID`.

For machines that are called for one job and have no fleet beside them: a push queue's target, a serverless GPU.
"""

from __future__ import annotations

import math
import sys
from uuid import UUID

import click

from backend.db.engine import Database
from backend.db.models import Job
from backend.errors import ModelMissing
from backend.events import Event, emit
from backend.jobs.callbacks import Callbacks
from backend.jobs.plan import Planner
from backend.jobs.service import JobService
from backend.jobs.webhooks import Webhooks
from backend.kinds import kind_named
from backend.kinds.tools import Tools
from backend.queue.queue import Queue
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.states import FINAL_JOB_STATUSES, DeepMode, JobStatus
from backend.storage.base import ObjectStore
from backend.vision.detector import open_detector
from backend.workers import command
from backend.workers.analysis_worker import Aggregator
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.loop import WorkerLoop
from backend.workers.telling import telling

# Longer than the longest pause before another try: whoever waits longer waits for a person (a job or a fleet on pause),
# or others are at the job.
IDLE_SEC = 60.0


class OneJob:
    """Does whatever is next for one job, until it is over. Others may work on it too."""

    def __init__(
        self, job_id: UUID, database: Database, store: ObjectStore, settings: Settings, surroundings: Surroundings
    ) -> None:
        self.job_id = job_id
        self._jobs = JobService(database)
        # Pieces of a film are for several workers: one alone renders it in one go.
        settings = settings.model_copy(update={"render_fanout_seconds": math.inf})
        self._settings = settings
        self._surroundings = surroundings
        self._queue = Queue(database, settings)
        self._planner = Planner(database, self._queue, store, settings, surroundings)
        self._aggregator = Aggregator(database, self._queue, store, settings, surroundings)
        self._callbacks = Callbacks(database, settings)
        self._webhooks = Webhooks(database, settings)
        self._tools = Tools(settings, lambda: open_detector(settings))
        self._chunks = ChunkWorker(
            self._queue,
            store,
            self._tools,
            deep_mode=DeepMode(self._jobs.get(job_id).deep_mode),
            only_job=job_id,
            surroundings=surroundings,
        )

    def run(self, *, listens: bool = True) -> Job:
        """The job, when it is over, or this worker has nothing to do for long, or was told to stop.

        Raises ModelMissing before anything is claimed.
        """
        job = self._jobs.get(self.job_id)
        self._tools.load(kind_named(job.kind).for_job(job.params).needs)
        emit(Event.RUN_START, job_id=str(self.job_id), kind=job.kind)
        self._loop = WorkerLoop(
            "one_job",
            self._work_once,
            self._queue.tend,
            self._settings,
            surroundings=self._surroundings,
            is_over=self._is_over,
            listens=listens,
        )
        with telling(self._callbacks, self._webhooks):
            self._loop.run(idle_exit_sec=self._settings.retry_cap_seconds + IDLE_SEC)
        self._callbacks.tell(self.job_id)  # nobody may be there to tell it later
        self._webhooks.send_due(self.job_id)
        self._webhooks.settle()
        job = self._jobs.get(self.job_id)
        emit(Event.RUN_COMPLETE, job_id=str(self.job_id), status=job.status)
        return job

    def _is_over(self) -> bool:
        return self._jobs.get(self.job_id).status in FINAL_JOB_STATUSES

    def _work_once(self) -> bool:
        waiting = self._queue.claim_job(JobStatus.QUEUED, self.job_id)
        if waiting is not None:
            self._planner.plan(waiting, self._loop)
            return True
        return self._aggregator.work_once(self._loop, self.job_id) or self._chunks.work_once(self._loop)


@command.worker("one_job")
def main(place: command.Workplace) -> int:
    """Plans a job, works on its chunks and joins them; needs --job."""
    if place.options.job is None:
        click.echo("Name the job: --job ID.", err=True)
        return command.EXIT_BAD_SETUP
    try:
        OneJob(place.options.job, place.database, place.store, place.settings, place.surroundings).run()
    except ModelMissing as missing:
        command.complain(missing)
        return command.EXIT_BAD_SETUP
    return 0


if __name__ == "__main__":
    sys.exit(main())

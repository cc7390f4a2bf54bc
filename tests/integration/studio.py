"""A planner and both workers of one installation in this process, over the test's database: jobs of any kind, step by
step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from backend.db.engine import Database
from backend.db.models import Job
from backend.jobs.layout import result_key
from backend.jobs.plan import Planner
from backend.jobs.resource import job_resources
from backend.jobs.service import JobService, NewJob
from backend.kinds import kind_named
from backend.kinds.tools import Tools
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from backend.storage import open_store
from backend.vision.detectors.hog import HogDetector
from backend.vision.pose.detector import PoseDetector
from backend.workers.analysis_worker import Aggregator
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.loop import WorkerLoop
from backend.workers.vitals import presence
from tests.integration.conftest import wait_until
from tests.integration.rows import sql


class Studio:
    def __init__(
        self,
        database: Database,
        settings: Settings,
        poses: PoseDetector,
        deep_mode: DeepMode = DeepMode.GPU,
        people: Callable[[], Any] = HogDetector,
    ) -> None:
        self.database, self.settings, self.deep_mode = database, settings, deep_mode
        self.service, self.store = JobService(database), open_store(settings)
        self.tools = Tools(settings, people, lambda _: poses)
        self.queue = Queue(database, settings, self.tools.special)
        self.worker = ChunkWorker(self.queue, self.store, self.tools, deep_mode=deep_mode, takes_next=False)
        self.joiner = Aggregator(database, self.queue, self.store, settings)
        self.loop = WorkerLoop("test", lambda: False, self.queue.tend, settings)

    def plan(self, uri: str, kind: str, **params: Any) -> UUID:
        job = NewJob(kind, uri, uri.rsplit("/", 1)[-1], params, deep_mode=self.deep_mode)
        job_id = self.service.create(job).id
        claim = self.queue.claim_job(JobStatus.QUEUED, job_id)
        assert claim is not None
        Planner(self.database, self.queue, self.store, self.settings).plan(claim)
        return job_id

    def step(self) -> bool:
        return self.joiner.work_once(self.loop) or self.worker.work_once(self.loop)

    def run(self) -> None:
        """Until nothing is due."""
        while self.step():
            continue

    def resource(self, job_id: UUID) -> dict[str, Any]:
        return job_resources(self.database, [self.service.get(job_id)])[0]

    def done(self, job_id: UUID) -> Job:
        job = self.service.get(job_id)
        assert job.status == JobStatus.DONE, (job.status, job.error_code, job.error_message)
        return job

    def output(self, job_id: UUID, folder: Path) -> Path:
        """The job's result, fetched."""
        key = self.done(job_id).output_key
        assert key is not None
        return self._fetched(key, folder / f"{job_id}{Path(key).suffix}")

    def file(self, job_id: UUID, name: str, folder: Path) -> Path:
        return self._fetched(result_key(job_id, name), folder / f"{job_id}_{name}")

    def files(self, job_id: UUID) -> dict[str, bytes]:
        """What the job left beside its output, by name, the same for every job that left the same."""
        job = self.done(job_id)
        there = set(self.store.list(f"jobs/{job_id}/"))
        names = [each.name for each in kind_named(job.kind).files_of(job.params).values()]
        keys = {name: result_key(job_id, name) for name in names}
        return {
            name: self.store.get(key).replace(str(job_id).encode(), b"<job>")
            for name, key in keys.items()
            if key in there
        }

    def _fetched(self, key: str, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.store.get_file(key, path)
        return path


@contextmanager
def living_worker(database: Database, settings: Settings) -> Iterator[None]:
    """A chunk worker's row in the fleet: somebody to share the rendering with."""
    with presence("gpu_chunk_worker", settings, database):
        wait_until(lambda: sql(database, "SELECT 1 AS is_there FROM workers"), 60, "the worker's row")
        yield

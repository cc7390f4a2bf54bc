"""One job from start to end on this machine: what `framefleet run` does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from backend.db.engine import Database
from backend.errors import FramefleetError, InvalidState, SourceNotFound, UnsupportedInput
from backend.jobs.figures import troubles
from backend.jobs.outputs import source_key
from backend.jobs.plan import Planner
from backend.jobs.queue import Queue
from backend.jobs.resource import job_resources
from backend.jobs.service import JobService, NewJob
from backend.kinds import kind_named
from backend.local.parts import Fleet, Worker, database_of
from backend.settings import Settings
from backend.states import FINAL_JOB_STATUSES, DeepMode, JobStatus
from backend.storage import open_store
from backend.storage.base import ObjectStore
from backend.workers.leftovers import remove_leftovers

POLL_SEC = 0.25
URI_SCHEMES = ("http", "https", "s3", "gs", "file")
RESULT_FILES = {
    "tracks": "tracks.json",
    "mot": "tracks.mot.txt",
    "camera_path": "camera_path.json",
    "manifest": "manifest.json",
}


class WorkersGone(FramefleetError):
    code = "workers_gone"


class Run:
    def __init__(self, settings: Settings, *, workers: int, deep_mode: DeepMode, console: Console) -> None:
        # Workers that wait for this job alone may ask often, and leave at once when it is over.
        self._settings = settings.model_copy(
            update={"poll_seconds": min(settings.poll_seconds, 0.2), "drain_seconds": 0}
        )
        self._workers = workers
        self._deep_mode = deep_mode
        self._console = console

    def run(self, kind: str, given: str, params: dict[str, Any], output: Path | None) -> dict[str, Any]:
        """The job resource with `files` and `seconds`. Interrupted, it cancels the job and returns it so.

        Raises FramefleetError for bad arguments, before anything is started.
        """
        params = self._settings.with_param_defaults(params)
        kind_named(kind).parse_params(params)
        check_given(given)
        began = time.monotonic()
        remove_leftovers()
        with database_of(self._settings) as (database, settings):
            store = open_store(settings)
            request = NewJob(kind, "", Path(given).name, params, deep_mode=self._deep_mode)
            job_id = JobService(database).create(place_input(given, request, settings, store)).id
            with Fleet(settings, settings.data_dir / "logs") as fleet, _cancelled_unless_over(job_id, database):
                self._start(fleet, job_id)
                plan_now(job_id, database, store, settings)
                report = follow(job_id, database, self._console, lambda: _check_alive(fleet.workers))
            if report["status"] == JobStatus.DONE:
                report["files"] = _fetch(job_id, database, store, settings, output)
            report["seconds"] = {
                **JobService(database).get(job_id).timings,
                "total": round(time.monotonic() - began, 3),
            }
        return report

    def _start(self, fleet: Fleet, job_id: UUID) -> None:
        """Workers load their model while the job is planned."""
        if self._deep_mode is DeepMode.GPU:
            for number in range(self._workers):
                fleet.start("backend.workers.gpu_chunk_worker", job_id=job_id, name=f"gpu_chunk_worker-{number}")
        if self._workers:
            fleet.start("backend.workers.analysis_worker", job_id=job_id)


@contextmanager
def _cancelled_unless_over(job_id: UUID, database: Database) -> Iterator[None]:
    """Whatever ends the run, its job does not stay behind for a later service to work on."""
    try:
        yield
    except BaseException:
        with suppress(InvalidState):
            JobService(database).cancel(job_id)
        raise


def follow(job_id: UUID, database: Database, console: Console, check: Callable[[], None]) -> dict[str, Any]:
    """Shows progress, and what the workers suffer from, until the job is over; returns its resource. Interrupted, it
    cancels the job.

    `check` is called between polls and may raise.
    """
    service = JobService(database)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[eta]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("PROBING", total=100, eta="")
        told: set[str] = set()
        try:
            while True:
                report = job_resources(database, [service.get(job_id)])[0]
                eta = f"about {report['eta_seconds']} s left" if report["eta_seconds"] else ""
                bar.update(task, description=report["stage"], completed=report["progress_pct"], eta=eta)
                if report["status"] in FINAL_JOB_STATUSES:
                    return report
                for trouble in troubles(database) - told:  # nothing fails of it, so nobody else would say it
                    told.add(trouble)
                    console.print(f"Waiting: {trouble}", markup=False, soft_wrap=True)
                check()
                time.sleep(POLL_SEC)
        except KeyboardInterrupt:
            service.cancel(job_id)
            return job_resources(database, [service.get(job_id)])[0]


def place_input(given: str, request: NewJob, settings: Settings, store: ObjectStore) -> NewJob:
    """The request with its input's URI: a local file is read in place where the database is this machine's own, else
    uploaded, since workers elsewhere cannot see it. Raises SourceNotFound, UnsupportedInput."""
    check_given(given)
    if "://" in given and not given.startswith("file://"):
        name = given.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
        return replace(request, input_uri=given, input_name=name or "video")
    path = Path(given.removeprefix("file://")).resolve()
    if settings.storage_root_url.startswith("file://"):
        return replace(request, input_uri=path.as_uri())
    key = source_key(request.job_id)
    store.put_file(key, path)
    return replace(request, input_uri=store.uri(key))


def plan_now(job_id: UUID, database: Database, store: ObjectStore, settings: Settings) -> None:
    """Plans the job in this process, unless someone else already has."""
    queue = Queue(database, settings)
    claim = queue.claim_job(JobStatus.QUEUED, job_id)
    if claim is not None:
        Planner(database, queue, store, settings).plan(claim)


def check_given(given: str) -> None:
    scheme, separator, _ = given.partition("://")
    if separator and scheme.lower() not in URI_SCHEMES:
        raise UnsupportedInput(f"{scheme:.20}:// is not read here: give a path or a file, s3, gs, http or https URI.")
    if (not separator or scheme == "file") and not Path(given.removeprefix("file://")).is_file():
        raise SourceNotFound(f"There is no file {given:.300}.")


def _check_alive(workers: list[Worker]) -> None:
    """Raises WorkersGone when nobody is left of those that detect, or of those that join."""
    for module in {worker.module for worker in workers}:
        kin = [worker for worker in workers if worker.module == module]
        if all(worker.process.poll() is not None for worker in kin):
            raise WorkersGone(f"The workers stopped: {kin[0].last_words()}")


def _fetch(
    job_id: UUID, database: Database, store: ObjectStore, settings: Settings, output: Path | None
) -> dict[str, str]:
    """Local paths of the result's files; without `output` the film lies under the data folder too."""
    folder = settings.data_dir.resolve() / "results" / str(job_id)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, file_name in RESULT_FILES.items():
        store.get_file(f"jobs/{job_id}/{file_name}", folder / file_name)
        files[name] = str(folder / file_name)
    job = JobService(database).get(job_id)
    assert job.output_uri is not None  # a done job has one
    target = (output or folder / Path(job.output_uri).name).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    if job.output_key is not None:
        store.get_file(job.output_key, part)
    else:
        _download(job.output_uri, settings, part)
    shutil.move(part, target)
    return {"output": str(target), **files}


def _download(uri: str, settings: Settings, path: Path) -> None:
    from backend.storage import open_source

    source = open_source(uri, settings)
    block_bytes = 8 * 2**20
    with path.open("wb") as file:
        for offset in range(0, source.info.size_bytes, block_bytes):
            file.write(source.read_at(offset, block_bytes))

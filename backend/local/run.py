"""One job from start to end on this machine: what `framefleet run` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from backend.db.engine import Database
from backend.db.models import Job
from backend.db.provided import database_of, located
from backend.errors import FramefleetError, InvalidState
from backend.jobs.layout import result_key
from backend.jobs.plan import Planner
from backend.jobs.resource import job_resources
from backend.jobs.service import JobService, NewJob
from backend.kinds import kind_named
from backend.kinds.base import JSON_TYPE, FileType, Kind
from backend.kinds.tools import Need
from backend.local.film_file import check_output, write_film
from backend.local.given import check_given, place_input
from backend.local.parts import Fleet, Worker
from backend.media.jail.platform import require_jail
from backend.queue.figures import troubles
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import FINAL_JOB_STATUSES, DeepMode, JobStatus
from backend.storage import open_source, open_store
from backend.storage.base import ObjectStore
from backend.vision.weights import find_pose_model
from backend.workers.leftovers import remove_leftovers

POLL_SEC = 0.25
CHUNK_WORKER, ANALYSIS_WORKER = "backend.workers.gpu_chunk_worker", "backend.workers.analysis_worker"


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
        wanted = kind_named(kind)
        params = wanted.with_defaults(params, self._settings)
        wanted = wanted.for_job(params)
        for named, uri in wanted.parse_params(params).inputs():
            check_given(uri, named)
        if Need.POSE in wanted.needs:
            find_pose_model(self._settings)  # before anything is started
        source = check_given(given)
        if output is not None:
            check_output(output, source, wanted.output)
        require_jail(self._settings)
        began = time.monotonic()
        remove_leftovers()
        output_name = output.name if output else None
        request = NewJob(kind, "", "", params, deep_mode=self._deep_mode, output_name=output_name)
        with ExitStack() as stack:
            fleet = stack.enter_context(Fleet(located(self._settings), self._settings.data_dir / "logs"))
            self._start_first(fleet, request.job_id, wanted)
            database, settings = stack.enter_context(database_of(self._settings))
            stack.callback(fleet.stop)  # the workers give back what they hold, and for that need the database
            store = open_store(settings)
            job_id = JobService(database).create(place_input(given, request, settings, store)).id
            with _cancelled_unless_over(job_id, database):
                try:
                    plan_now(job_id, database, store, settings)
                    report = self._follow(job_id, database, fleet)
                except KeyboardInterrupt:
                    report = _cancelled(job_id, database)
            fleet.ask_to_stop()
            if report["status"] == JobStatus.DONE:
                report["files"] = _fetch(job_id, database, store, settings, output)
            fleet.stop()
            report["seconds"] = {
                **JobService(database).get(job_id).timings,
                "total": round(time.monotonic() - began, 3),
            }
        return report

    def _follow(self, job_id: UUID, database: Database, fleet: Fleet) -> dict[str, Any]:
        """The others are started once the first has a chunk: until then they would only slow down its start."""
        are_started = False

        def check() -> None:
            nonlocal are_started
            _check_alive(fleet.workers)
            job = JobService(database).get(job_id)
            if not are_started and (job.started_at is not None or job.status == JobStatus.AGGREGATING):
                are_started = True
                self._start_others(fleet, job)

        return follow(job_id, database, self._console, check)

    def _start_first(self, fleet: Fleet, job_id: UUID, kind: Kind[Any]) -> None:
        """Whoever works first loads its model while the database starts and the source is probed. Chunk workers are
        only there for kinds that begin with chunks, or where films are rendered in pieces."""
        in_chunks = kind.phases[0].chunks is not None or (kind.has_chunks and fleet.renders_in_pieces)
        if self._workers and self._deep_mode is DeepMode.GPU and in_chunks:
            fleet.start(CHUNK_WORKER, job_id=job_id, name="gpu_chunk_worker-0")
        elif self._workers:
            fleet.start(ANALYSIS_WORKER, job_id=job_id)

    def _start_others(self, fleet: Fleet, job: Job) -> None:
        """At most one chunk worker for each chunk, and the one that joins them."""
        if not fleet.workers or fleet.workers[0].module == ANALYSIS_WORKER:
            return  # that one does all of it
        for number in range(1, min(self._workers, job.total_chunks or 0)):
            fleet.start(CHUNK_WORKER, job_id=job.id, name=f"gpu_chunk_worker-{number}")
        fleet.start(ANALYSIS_WORKER, job_id=job.id)


@contextmanager
def _cancelled_unless_over(job_id: UUID, database: Database) -> Iterator[None]:
    """Whatever ends the run, its job does not stay behind for a later service to work on."""
    try:
        yield
    except BaseException:
        with suppress(InvalidState):
            JobService(database).cancel(job_id)
        raise


def bar_on(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[eta]}"),
    )
    return Progress(*columns, console=console, transient=True)


def show_progress(bar: Progress, task: TaskID, report: dict[str, Any]) -> None:
    eta = f"about {report['eta_seconds']} s left" if report["eta_seconds"] else ""
    bar.update(task, description=report["stage"], completed=report["progress_pct"], eta=eta)


def follow(job_id: UUID, database: Database, console: Console, check: Callable[[], None]) -> dict[str, Any]:
    """Shows progress, and what the workers suffer from, until the job is over; returns its resource. Interrupted, it
    cancels the job.

    `check` is called between polls and may raise.
    """
    service = JobService(database)
    with bar_on(console) as bar:
        task = bar.add_task("PROBING", total=100, eta="")
        told: set[str] = set()
        try:
            while True:
                report = job_resources(database, [service.get(job_id)])[0]
                show_progress(bar, task, report)
                if report["status"] in FINAL_JOB_STATUSES:
                    return report
                for trouble in troubles(database) - told:  # nothing fails of it, so nobody else would say it
                    told.add(trouble)
                    console.print(f"Waiting: {trouble}", markup=False, soft_wrap=True)
                check()
                time.sleep(POLL_SEC)
        except KeyboardInterrupt:
            return _cancelled(job_id, database)


def _cancelled(job_id: UUID, database: Database) -> dict[str, Any]:
    """The job's resource; one that was faster than the interruption is what it is."""
    service = JobService(database)
    with suppress(InvalidState):
        service.cancel(job_id)
    return job_resources(database, [service.get(job_id)])[0]


def plan_now(job_id: UUID, database: Database, store: ObjectStore, settings: Settings) -> None:
    """Plans the job in this process, unless someone else already has."""
    queue = Queue(database, settings)
    claim = queue.claim_job(JobStatus.QUEUED, job_id)
    if claim is not None:
        Planner(database, queue, store, settings).plan(claim)


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
    files, job = {}, JobService(database).get(job_id)
    kind = kind_named(job.kind)
    fetched = {name: each for name, each in kind.files_of(job.params).items() if each.is_fetched}
    for name, each in (fetched | {"manifest": FileType("manifest.json", JSON_TYPE)}).items():
        store.get_file(result_key(job_id, each.name), folder / each.name)
        files[name] = str(folder / each.name)
    assert job.output_uri is not None  # a done job has one
    film = open_source(job.output_uri, settings) if job.output_key is None else store.source(job.output_key)
    named = output or folder / kind.output.file_name(job.input_name, job.output_ending)
    return {"output": str(write_film(named, film)), **files}

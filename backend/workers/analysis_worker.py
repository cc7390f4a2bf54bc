"""Joins the chunks of a job into its film: `python -m backend.workers.analysis_worker`.

It also plans jobs whose planner died, works on the one chunk of `deep_mode=cpu` jobs, and takes back what dead workers
held.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID

from backend import telemetry
from backend.db.engine import Database
from backend.errors import ModelMissing, OutputRefused, StorageError
from backend.events import Event, emit, warn
from backend.jobs import manifest
from backend.jobs.callbacks import Callbacks
from backend.jobs.earlier import StoredEarlier
from backend.jobs.film_place import settled
from backend.jobs.further_inputs import open_input
from backend.jobs.layout import manifest_key, plan_key, result_key
from backend.jobs.outputs import OutputPlace, output_places
from backend.jobs.phases import begin_phase
from backend.jobs.plan import Planner
from backend.jobs.read_back import check_copy
from backend.jobs.service import JobService
from backend.jobs.sources import COPY_NOTE, is_copied, open_job_source
from backend.jobs.webhooks import Webhooks
from backend.kinds import kind_named
from backend.kinds.base import JSON_TYPE, Done, Kind, Onward
from backend.kinds.context import WholeContext
from backend.kinds.preview import PREVIEW
from backend.kinds.tools import Tools
from backend.media.results import check_result
from backend.queue.claims import JobClaim
from backend.queue.executor import Executor, Hold
from backend.queue.figures import encoders_of_fleet
from backend.queue.queue import Queue
from backend.queue.stall import Step
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from backend.storage.base import ObjectStore
from backend.storage.pace import Cutoff
from backend.storage.range_reader import RangeReader
from backend.vision.detector import open_detector
from backend.workers import command
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.janitor import Janitor
from backend.workers.lazy_reader import LazyReader, further_inputs
from backend.workers.leftovers import work_folder
from backend.workers.loop import WorkerLoop
from backend.workers.needs import needs_ahead
from backend.workers.planning import Planning
from backend.workers.telling import telling

# One cpu job must not end a worker that plans and joins all the others.
MODEL_RETRY_SEC = 60.0


class Aggregator:
    """Does the steps that take the whole of a job: they make its result, or begin its next phase."""

    def __init__(
        self,
        database: Database,
        queue: Queue,
        store: ObjectStore,
        settings: Settings,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._executor = Executor(surroundings or Surroundings(store), settings)
        self._database = database
        self._jobs = JobService(database)
        self._queue = queue
        self._store = store
        self._tools = Tools(settings, lambda: open_detector(settings))
        self._settings = settings

    def work_once(self, loop: WorkerLoop, only_job: UUID | None = None) -> bool:
        """Claims and does one step. False when none was due. Raises Drain after giving the job back."""
        claim = self._queue.claim_job(JobStatus.AGGREGATING, only_job)
        if claim is None:
            return False
        emit(Event.AGGREGATION_CLAIMED, **claim.ids, phase=claim.phase)
        kind = kind_named(claim.kind)
        with self._executor.job(self._queue, claim, loop, kind.phase(claim.phase).whole.stage) as hold:
            self._work(claim, kind, hold)
        return True

    def _work(self, claim: JobClaim, kind: Kind[Any], hold: Hold) -> None:
        kind = kind.for_job(claim.params)
        step = kind.phase(claim.phase).whole
        params = kind.parse_params(claim.params)
        source = LazyReader(lambda: self._reader(claim, hold.cutoff))
        hold.watch.follow(lambda: source.bytes_fetched)

        def tell() -> None:
            hold.begin(step.words, step.patience)
            hold.check()

        is_moving = False

        def report(share: float) -> None:
            nonlocal is_moving
            # Once: who waits for a media process reports the same share every second, which is no progress.
            if share > 0 and not is_moving:
                is_moving = True
                hold.begin(step.words)
            hold.report(share)

        def keep_preview(film: Path) -> None:
            hold.check_claim()
            self._store_files(claim, kind, {PREVIEW.name: film}, hold)
            tell()

        with work_folder() as folder:
            tell()
            outcome = step.work(
                WholeContext(
                    job_id=str(claim.job_id),
                    probed=claim.probed,
                    params=params,
                    earlier=StoredEarlier(
                        self._store,
                        claim.job_id,
                        claim.phase_plan,
                        lambda: self._jobs.chunks(claim.job_id, claim.phase),
                        tell,
                    ),
                    open_reader=lambda: source,
                    folder=folder,
                    tools=self._tools,
                    fleet=lambda: encoders_of_fleet(self._database) if claim.deep_mode is DeepMode.GPU else [],
                    report=report,
                    open_input=further_inputs(lambda uri: open_input(params, uri, self._settings, hold.cutoff), hold),
                    ending=_ending(claim, kind),
                    keep_preview=keep_preview if self._settings.previews else None,
                )
            )
            telemetry.add_parts(dict(outcome.seconds))
            hold.check_claim()
            with telemetry.part("upload"):
                if isinstance(outcome, Done):
                    self._publish(claim, kind, outcome, hold)
                else:
                    self._go_on(claim, kind, outcome, hold)
        told = Event.JOB_COMPLETE if isinstance(outcome, Done) else Event.PHASE_BEGUN
        emit(told, **claim.ids, bytes_read=source.bytes_fetched)

    def _reader(self, claim: JobClaim, cutoff: Cutoff) -> RangeReader:
        return RangeReader(
            open_job_source(claim.source_owner, claim.input_uri, claim.source_etag, self._store, self._settings, cutoff)
        )

    def _go_on(self, claim: JobClaim, kind: Kind[Any], onward: Onward, hold: Hold) -> None:
        """Objects first: rows without them would be work that nobody can do."""
        began = time.monotonic()
        self._store_files(claim, kind, onward.files, hold)
        phase = kind.after(claim.phase)
        assert phase.chunks is not None, "only the first phase may have no chunks"
        for name, data in onward.objects.items():
            hold.begin(Step.STORE)
            self._store.put(plan_key(claim.job_id, phase.name, claim.attempts, name), data)
        hold.check_claim()
        seconds = {**self._timings(claim), **onward.seconds, f"{phase.name}_plan": time.monotonic() - began}
        begin_phase(
            self._database,
            claim,
            phase.name,
            onward,
            plan={
                "stage": phase.chunks.stage,
                "phase": phase.name,
                "attempt": claim.attempts,
                "told": dict(onward.plan),
            },
            timings=_rounded(seconds),
        )

    def _store_files(self, claim: JobClaim, kind: Kind[Any], files: Mapping[str, bytes | Path], hold: Hold) -> None:
        types = {each.name: each.content_type for each in kind.files.values()}
        for name, data in files.items():
            hold.begin(Step.UPLOAD)
            key = result_key(claim.job_id, name)
            if isinstance(data, Path):
                self._store.put_file(
                    key, check_result(data), content_type=types[name], moved=lambda _: hold.watch.moved()
                )
            else:
                self._store.put(key, data, content_type=types[name])

    def _publish(self, claim: JobClaim, kind: Kind[Any], result: Done, hold: Hold) -> None:
        """Uploads first, then one guarded statement makes the job done: until then nobody looks at the objects."""
        began = time.monotonic()
        self._store_files(claim, kind, result.files, hold)
        self._finish_manifest(claim, kind)
        places = output_places(claim, kind.output, self._store, self._settings)
        place = settled(self._jobs.database, claim, places)
        hold.begin(Step.UPLOAD)
        _upload(place, result.output, kind.output.content_type(_ending(claim, kind)), hold)
        warnings = [*result.warnings, *([COPY_NOTE] if is_copied(claim.input_uri, claim.source_etag) else [])]
        if result.sha256 is not None:
            warnings += check_copy(place, result.sha256, self._store, self._settings, hold.watch.moved)
        hold.check_claim()
        seconds = {**self._timings(claim), **result.seconds, "upload": time.monotonic() - began}
        self._queue.finish_job(
            claim,
            output_uri=place.uri,
            output_key=place.own_key,
            output_size=result.output.stat().st_size,
            encoder=result.encoder,
            timings=_rounded(seconds),
            warnings=warnings,
        )
        self._drop_intermediate(claim, kind)

    def _drop_intermediate(self, claim: JobClaim, kind: Kind[Any]) -> None:
        """The job is done: what cannot be deleted now goes with the job."""
        for phase in kind.phases:
            if phase.chunks is None or phase.chunks.is_kept:
                continue
            for chunk in self._jobs.chunks(claim.job_id, phase.name):
                try:
                    self._store.delete(chunk.artifact_s3_key or "")
                except StorageError as failure:
                    warn(Event.LEFTOVER_KEPT, **claim.ids, error_code=failure.code, message=failure.message)
                    return

    def _finish_manifest(self, claim: JobClaim, kind: Kind[Any]) -> None:
        key = manifest_key(claim.job_id)
        outcomes = [
            {"artifact_key": c.artifact_s3_key, "artifact_sha256": c.artifact_sha256, "attempts": c.attempts}
            for c in self._jobs.chunks(claim.job_id, kind.phases[0].name)
        ]
        whole = manifest.finished(manifest.load(self._store.get(key)), outcomes)
        self._store.put(key, manifest.to_bytes(whole), content_type=JSON_TYPE)

    def _timings(self, claim: JobClaim) -> dict[str, float]:
        """Seconds that the phase's chunks took, from the first one's start to the last one's end, by the database's
        clock, and how long the job waited for its first claim. A clock that was set back makes no time negative."""
        job, chunks = self._jobs.get(claim.job_id), self._jobs.chunks(claim.job_id, claim.phase)
        starts = [chunk.started_at for chunk in chunks if chunk.started_at]
        ends = [chunk.completed_at for chunk in chunks if chunk.completed_at]
        if job.started_at is None or not ends:
            return {}
        first = kind_named(claim.kind).for_job(claim.params).phases[0]
        begun_at = job.started_at if claim.phase == first.name else min(starts)
        found = {claim.phase: max(0.0, (max(ends) - begun_at).total_seconds())}
        return found | {"wait": max(0.0, (job.started_at - job.created_at).total_seconds())}


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in seconds.items()}


def _ending(claim: JobClaim, kind: Kind[Any]) -> str:
    return kind.output.default if claim.output_ending is None else claim.output_ending


def _upload(place: OutputPlace, film: Path, content_type: str, hold: Hold) -> None:
    """Raises StorageError for our own store, OutputRefused for a place that the job names."""
    try:
        place.destination.put_file(check_result(film), content_type=content_type, moved=lambda _: hold.watch.moved())
    except StorageError as refusal:
        if place.own_key is not None:
            raise
        raise OutputRefused(refusal.message) from refusal


@command.worker("analysis_worker")
def main(place: command.Workplace) -> int:
    """Joins the chunks of a job into its film; plans, rescues and does the cpu-mode chunks besides."""
    settings, database, store, options = place.settings, place.database, place.store, place.options
    tools = Tools(settings, lambda: open_detector(settings))
    queue = Queue(database, settings, tools.special)
    planner = Planner(database, queue, store, settings, place.surroundings)
    planning = Planning(queue, planner, options.job, in_loop=options.once)
    aggregator = Aggregator(database, queue, store, settings, place.surroundings)
    cpu_worker = ChunkWorker(
        queue,
        store,
        tools,
        deep_mode=DeepMode.CPU,
        only_job=options.job,
        takes_next=False,  # planning and joining go first
        surroundings=place.surroundings,
    )
    load_at = 0.0

    def work_once() -> bool:
        nonlocal load_at
        if planning.plan_next(loop):
            return True
        if aggregator.work_once(loop, options.job):
            return True
        if time.monotonic() < load_at or not queue.has_queued(DeepMode.CPU, options.job):
            return False
        try:
            # Only when needed: most aggregators never detect anything.
            tools.load(needs_ahead(database, tools, options.job))
        except ModelMissing as missing:
            if options.job is not None:  # whoever started this worker waits for that job alone
                raise
            telemetry.poll_failed(missing)
            load_at = time.monotonic() + MODEL_RETRY_SEC
            return False
        return cpu_worker.work_once(loop)

    def has_work() -> bool:
        waiting = database.ask("any_job_waiting", cap_seconds=settings.retry_cap_seconds, **queue.known)
        return waiting is not None or queue.has_queued(DeepMode.CPU)

    # Whoever works for one job alone leaves the others as they are. What else is due every so often is added here.
    duties = Janitor(database, queue, store, settings).duties() if options.job is None else []
    loop = WorkerLoop(
        "analysis_worker",
        work_once,
        queue.tend,
        settings,
        has_work=has_work,
        duties=duties,
        surroundings=place.surroundings,
        beside=planning.threads,
    )
    # Whoever works for one job alone tells of none.
    tells = telling(Callbacks(database, settings), Webhooks(database, settings))
    with tells if options.job is None else nullcontext():
        try:
            return loop.run(once=options.once, idle_exit_sec=options.idle_exit_sec)
        except ModelMissing as missing:
            command.complain(missing)
            return command.EXIT_BAD_SETUP


if __name__ == "__main__":
    sys.exit(main())

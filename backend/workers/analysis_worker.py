"""Joins the chunks of a job into its film: `python -m backend.workers.analysis_worker`.

It also plans jobs whose planner died, works on the one chunk of `deep_mode=cpu` jobs, and takes back what dead workers
held.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from uuid import UUID

from backend import telemetry
from backend.db.engine import Database
from backend.errors import ModelMissing, OutputRefused, StorageError
from backend.events import Event, emit, warn
from backend.jobs import manifest
from backend.jobs.claims import JobClaim
from backend.jobs.film_place import settled
from backend.jobs.lease import LeaseKeeper
from backend.jobs.outcome import ends_of_job, outcome
from backend.jobs.outputs import VIDEO_TYPE, OutputPlace, output_places
from backend.jobs.plan import Planner
from backend.jobs.queue import Queue
from backend.jobs.service import JobService
from backend.jobs.sources import COPY_NOTE, is_copied, open_job_source
from backend.jobs.stall import Step, watch_of
from backend.jobs.surroundings import Surroundings
from backend.kinds import kind_named
from backend.kinds.base import AggregateWork, Result
from backend.settings import Settings
from backend.states import DeepMode, JobStatus, Stage
from backend.storage.base import ObjectStore
from backend.storage.range_reader import RangeReader
from backend.vision.artifacts import ChunkArtifact, load_artifact
from backend.vision.detector import open_detector
from backend.workers import command
from backend.workers.chunk_artifacts import JSON_TYPE
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.janitor import Janitor
from backend.workers.leftovers import work_folder
from backend.workers.loop import WorkerLoop

# One cpu job must not end a worker that plans and joins all the others.
MODEL_RETRY_SEC = 60.0
CONTENT_TYPES = {
    ".json": JSON_TYPE,
    ".txt": "text/plain",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
}


class Aggregator:
    def __init__(
        self,
        database: Database,
        queue: Queue,
        store: ObjectStore,
        settings: Settings,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._surroundings = surroundings or Surroundings(store)
        self._jobs = JobService(database)
        self._queue = queue
        self._store = store
        self._settings = settings

    def work_once(self, loop: WorkerLoop, only_job: UUID | None = None) -> bool:
        """Claims and finishes one job. False when none was due. Raises Drain after giving the job back."""
        claim = self._queue.claim_job(JobStatus.AGGREGATING, only_job)
        if claim is None:
            return False
        ends = ends_of_job(self._queue, claim)
        emit(Event.AGGREGATION_CLAIMED, **ends.ids)
        with (
            outcome(ends, self._surroundings),
            telemetry.working("aggregate", claim.trace_context, **ends.ids),
            loop.holding(ends.give_back),
            LeaseKeeper(
                lambda progress: self._queue.heartbeat_job(claim, progress, Stage.RENDERING if progress else None),
                self._settings.lease_seconds,
                watch_of(self._settings, lambda failure: loop.end_stuck(ends, failure)),
            ) as lease,
        ):
            self._work(claim, lease, loop)
        return True

    def _work(self, claim: JobClaim, lease: LeaseKeeper, loop: WorkerLoop) -> None:
        kind = kind_named(claim.kind)
        source = open_job_source(claim.job_id, claim.input_uri, claim.source_etag, self._store, self._settings)

        def report(share: float) -> None:
            if not lease.progress:  # the path is solved
                lease.watch.begin(Step.RENDER)
            lease.report(share)
            loop.check_drain()

        reader = RangeReader(source)
        lease.watch.follow(lambda: reader.bytes_fetched)
        artifacts = self._artifacts(claim, lease)
        with work_folder() as folder:
            lease.watch.begin(Step.JOIN)
            result = kind.aggregate(
                AggregateWork(
                    job_id=str(claim.job_id),
                    facts=claim.facts,
                    params=kind.parse_params(claim.params),
                    artifacts=artifacts,
                    reader=reader,
                    folder=folder,
                    settings=self._settings,
                    report=report,
                )
            )
            telemetry.add_parts(result.seconds)
            lease.check()
            with telemetry.part("upload"):
                self._publish(claim, result, lease)
        emit(Event.JOB_COMPLETE, job_id=str(claim.job_id), attempt=claim.attempts, bytes_read=reader.bytes_fetched)

    def _artifacts(self, claim: JobClaim, lease: LeaseKeeper) -> list[ChunkArtifact]:
        """Each checked against the row's checksum. Raises ArtifactCorrupt, NewerVersion, ObjectNotFound."""
        found = []
        for chunk in self._jobs.chunks(claim.job_id):
            lease.watch.begin(Step.COLLECT)
            lease.check()
            data = self._store.get(chunk.artifact_s3_key or "")
            found.append(load_artifact(data, expected_sha256=chunk.artifact_sha256))
        return found

    def _publish(self, claim: JobClaim, result: Result, lease: LeaseKeeper) -> None:
        """Uploads first, then one guarded statement makes the job done: until then nobody looks at the objects."""
        began = time.monotonic()
        for name, data in result.files.items():
            lease.watch.begin(Step.UPLOAD)
            key = f"jobs/{claim.job_id}/{name}"
            self._store.put(key, data, content_type=CONTENT_TYPES[Path(name).suffix])
        self._finish_manifest(claim)
        places = output_places(claim, kind_named(claim.kind).suffix, self._store, self._settings)
        place = settled(self._jobs.database, claim, places)
        lease.watch.begin(Step.UPLOAD)
        _upload(place, result.output, lease)
        lease.check()
        timings = self._timings(claim) | result.seconds | {"upload": time.monotonic() - began}
        self._queue.finish_job(
            claim,
            output_uri=place.uri,
            output_key=place.own_key,
            timings={name: round(value, 3) for name, value in timings.items()},
            warnings=[*result.warnings, *([COPY_NOTE] if is_copied(claim.input_uri, claim.source_etag) else [])],
        )

    def _finish_manifest(self, claim: JobClaim) -> None:
        key = manifest.manifest_key(claim.job_id)
        outcomes = [
            {"artifact_key": c.artifact_s3_key, "artifact_sha256": c.artifact_sha256, "attempts": c.attempts}
            for c in self._jobs.chunks(claim.job_id)
        ]
        whole = manifest.finished(manifest.load(self._store.get(key)), outcomes)
        self._store.put(key, manifest.to_bytes(whole), content_type=JSON_TYPE)

    def _timings(self, claim: JobClaim) -> dict[str, float]:
        """Seconds until the first claim, and from then to the last chunk's end, by the database's clock."""
        job = self._jobs.get(claim.job_id)
        ends = [c.completed_at for c in self._jobs.chunks(claim.job_id) if c.completed_at]
        if job.started_at is None or not ends:
            return {}
        return {
            # A clock that was set back must not make a time negative.
            "wait": max(0.0, (job.started_at - job.created_at).total_seconds()),
            "detect": max(0.0, (max(ends) - job.started_at).total_seconds()),
        }


def _upload(place: OutputPlace, film: Path, lease: LeaseKeeper) -> None:
    """Raises StorageError for our own store, OutputRefused for a place that the job names."""
    try:
        place.destination.put_file(film, content_type=VIDEO_TYPE, moved=lambda _: lease.watch.moved())
    except StorageError as refusal:
        if place.own_key is not None:
            raise
        raise OutputRefused(refusal.message) from refusal


@command.worker("analysis_worker")
def main(place: command.Workplace) -> int:
    """Joins the chunks of a job into its film; plans, rescues and does the cpu-mode chunks besides."""
    settings, database, store, options = place.settings, place.database, place.store, place.options
    queue = Queue(database, settings)
    planner = Planner(database, queue, store, settings, place.surroundings)
    aggregator = Aggregator(database, queue, store, settings, place.surroundings)
    cpu_worker: ChunkWorker | None = None
    load_at = 0.0

    def work_once() -> bool:
        nonlocal cpu_worker, load_at
        waiting = queue.claim_job(JobStatus.QUEUED, options.job)
        if waiting is not None:
            ends = ends_of_job(queue, waiting)
            with loop.holding(ends.give_back):
                planner.plan(waiting, loop.check_drain, partial(loop.end_stuck, ends))
            return True
        if aggregator.work_once(loop, options.job):
            return True
        if cpu_worker is None and time.monotonic() >= load_at and queue.has_queued(DeepMode.CPU, options.job):
            # Loaded only when needed: most aggregators never detect anything.
            try:
                cpu_worker = ChunkWorker(
                    queue,
                    store,
                    open_detector(settings),
                    settings,
                    deep_mode=DeepMode.CPU,
                    only_job=options.job,
                    takes_next=False,  # planning and joining go first
                    surroundings=place.surroundings,
                )
            except ModelMissing as missing:
                if options.job is not None:  # whoever started this worker waits for that job alone
                    raise
                warn(Event.WORKER_POLL_FAILED, error_code=missing.code, message=missing.message)
                load_at = time.monotonic() + MODEL_RETRY_SEC
        return cpu_worker is not None and cpu_worker.work_once(loop)

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
    )
    try:
        return loop.run(once=options.once, idle_exit_sec=options.idle_exit_sec)
    except ModelMissing as missing:
        command.complain(missing)
        return command.EXIT_BAD_SETUP


if __name__ == "__main__":
    sys.exit(main())

"""Claims chunks and detects and tracks the people in them: `python -m backend.workers.gpu_chunk_worker`."""

from __future__ import annotations

import sys
from uuid import UUID

from backend import telemetry
from backend.errors import ModelMissing
from backend.events import Event, emit
from backend.jobs.claims import ChunkClaim
from backend.jobs.lease import LeaseKeeper
from backend.jobs.manifest import artifact_key
from backend.jobs.outcome import ends_of_chunk, outcome
from backend.jobs.queue import Queue
from backend.jobs.sources import open_job_source
from backend.jobs.stall import Step, watch_of
from backend.jobs.surroundings import Surroundings
from backend.kinds import kind_named
from backend.kinds.base import ChunkWork
from backend.settings import Settings
from backend.states import DeepMode
from backend.storage.base import ObjectStore
from backend.storage.range_reader import BlockCache, RangeReader
from backend.vision.artifacts import ChunkArtifact
from backend.vision.detector import Detector, open_detector
from backend.workers import command
from backend.workers.chunk_artifacts import ChunkArtifacts
from backend.workers.loop import WorkerLoop


class ChunkWorker:
    """Works on one chunk at a time. Bytes that several chunks of a video share are read once a process.

    `takes_next`: whoever finishes a chunk claims the next with the same statement, while the loop goes on.
    """

    def __init__(
        self,
        queue: Queue,
        store: ObjectStore,
        detector: Detector,
        settings: Settings,
        *,
        deep_mode: DeepMode = DeepMode.GPU,
        only_job: UUID | None = None,
        takes_next: bool = True,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._queue = queue
        self._store = store
        self._detector = detector
        self._settings = settings
        self._deep_mode = deep_mode
        self._only_job = only_job
        self._takes_next = takes_next
        self._surroundings = surroundings or Surroundings(store)
        self._artifacts = ChunkArtifacts(queue, store, detector, settings)
        self._cache = BlockCache()

    def work_once(self, loop: WorkerLoop) -> bool:
        """Claims and works on a chunk, and on those it gets by finishing one. False when none was due.

        Raises Drain after giving the chunk in hand back.
        """
        claim = self._queue.claim_chunk(self._deep_mode, self._only_job)
        if claim is None:
            return False
        while claim is not None:
            claim = self._work_on(claim, loop)
        return True

    def _work_on(self, claim: ChunkClaim, loop: WorkerLoop) -> ChunkClaim | None:
        """The next chunk, when finishing this one brought one. What goes wrong is written under the claim."""
        following: ChunkClaim | None = None
        ends = ends_of_chunk(self._queue, claim)
        emit(Event.CHUNK_CLAIMED, **ends.ids)
        with (
            outcome(ends, self._surroundings),
            telemetry.working("chunk", claim.trace_context, **ends.ids),
            loop.holding(ends.give_back),
            LeaseKeeper(
                lambda progress: self._queue.heartbeat_chunk(claim, progress),
                self._settings.lease_seconds,
                watch_of(self._settings, lambda failure: loop.end_stuck(ends, failure)),
            ) as lease,
        ):
            following = self._work(claim, lease, loop)
        return following

    def _work(self, claim: ChunkClaim, lease: LeaseKeeper, loop: WorkerLoop) -> ChunkClaim | None:
        key = artifact_key(claim.job_id, claim.chunk_index)
        lease.watch.begin(Step.ADOPT)
        sha256 = self._artifacts.adopted(claim)
        bytes_read = 0
        if sha256 is None:
            source = open_job_source(claim.job_id, claim.input_uri, claim.source_etag, self._store, self._settings)
            reader = RangeReader(source, self._cache)
            lease.watch.begin(Step.ANALYSE)
            lease.watch.follow(lambda: reader.bytes_fetched)
            artifact = self._analyse(claim, reader, lease, loop)
            lease.check()
            lease.watch.begin(Step.STORE)
            sha256 = self._artifacts.store(claim, artifact)
            bytes_read = reader.bytes_fetched
        goes_on = self._takes_next and loop.goes_on()
        lease.check()
        finished = (claim, key, sha256, self._detector.describe(), bytes_read)
        following: ChunkClaim | None = None
        if goes_on:
            loop.let_go()
            status, following = self._queue.complete_and_claim(
                *finished, deep_mode=self._deep_mode, job_id=self._only_job
            )
        else:
            status = self._queue.complete_chunk(*finished)
        ids = {"job_id": str(claim.job_id), "chunk_index": claim.chunk_index, "attempt": claim.attempts}
        emit(Event.CHUNK_COMPLETED, **ids, bytes_read=bytes_read, job_status=status)
        return following

    def _analyse(self, claim: ChunkClaim, reader: RangeReader, lease: LeaseKeeper, loop: WorkerLoop) -> ChunkArtifact:
        kind = kind_named(claim.kind)

        def report(share: float) -> None:
            lease.report(share)
            loop.check_drain()

        return kind.analyse_chunk(
            ChunkWork(
                job_id=str(claim.job_id),
                chunk_index=claim.chunk_index,
                interval=(claim.start_pts, claim.end_pts),
                start_pts=None if claim.is_first else claim.start_pts,
                end_pts=None if claim.is_last else claim.end_pts,
                source={"etag": claim.source_etag, "size": claim.source_size},
                facts=claim.facts,
                params=kind.parse_params(claim.params),
                reader=reader,
                detector=self._detector,
                settings=self._settings,
                report=report,
            )
        )


@command.worker("gpu_chunk_worker")
def main(place: command.Workplace) -> int:
    """Claims chunks, detects and tracks the people in them, writes each chunk's artifact once."""
    settings, options = place.settings, place.options
    try:
        detector = open_detector(settings)
    except ModelMissing as missing:
        command.complain(missing)
        return command.EXIT_BAD_SETUP
    queue = Queue(place.database, settings)
    worker = ChunkWorker(queue, place.store, detector, settings, only_job=options.job, surroundings=place.surroundings)
    loop = WorkerLoop(
        "gpu_chunk_worker",
        lambda: worker.work_once(loop),
        queue.tend,
        settings,
        has_work=lambda: queue.has_queued(DeepMode.GPU),
        surroundings=place.surroundings,
    )
    return loop.run(once=options.once, idle_exit_sec=options.idle_exit_sec)


if __name__ == "__main__":
    sys.exit(main())

"""Claims chunks of whatever kind and works on them: `python -m backend.workers.gpu_chunk_worker`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from backend.errors import ModelMissing
from backend.events import Event, emit
from backend.jobs.chunk_place import step_of
from backend.kinds import kind_named
from backend.kinds.base import Chunks
from backend.kinds.context import ChunkContext
from backend.kinds.tools import Need, Tools
from backend.queue.chunk_queue import ChunkQueue
from backend.queue.claims import ChunkClaim
from backend.queue.executor import Executor, Hold
from backend.queue.queue import Queue
from backend.queue.stall import Step
from backend.queue.surroundings import Surroundings
from backend.states import DeepMode
from backend.storage.base import ObjectStore
from backend.storage.block_cache import BlockCache
from backend.storage.range_reader import RangeReader
from backend.vision.detector import open_detector
from backend.workers import command
from backend.workers.chunk_artifacts import ChunkArtifact
from backend.workers.chunk_files import ChunkFiles, FilesOf, stored_files
from backend.workers.chunk_previews import keep_preview
from backend.workers.earlier import EarlierOfChunk
from backend.workers.lazy_reader import LazyReader, further_inputs
from backend.workers.leftovers import work_folder
from backend.workers.loop import WorkerLoop
from backend.workers.needs import needs_ahead, needs_of_all


class ChunkWork:
    """Works on one chunk at a time, wherever queue and store are. Bytes that several chunks of a video share are read
    once a process.

    `takes_next`: whoever finishes a chunk claims the next with the same statement, while the loop goes on.
    """

    def __init__(
        self,
        queue: ChunkQueue,
        files_of: FilesOf,
        tools: Tools,
        surroundings: Surroundings,
        *,
        deep_mode: DeepMode = DeepMode.GPU,
        only_job: UUID | None = None,
        takes_next: bool = True,
    ) -> None:
        self._queue = queue
        self._files_of = files_of
        self._tools = tools
        self._deep_mode = deep_mode
        self._only_job = only_job
        self._takes_next = takes_next
        self._executor = Executor(surroundings, tools.settings)
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
        emit(Event.CHUNK_CLAIMED, **claim.ids)
        with self._executor.chunk(self._queue, claim, loop) as hold:
            following = self._work(claim, hold, loop)
        return following

    def _work(self, claim: ChunkClaim, hold: Hold, loop: WorkerLoop) -> ChunkClaim | None:
        hold.begin(Step.ADOPT)
        step = step_of(claim)
        files = self._files_of(claim, hold)
        source = LazyReader(lambda: RangeReader(files.source(), self._cache))
        with work_folder() as folder:
            context = self._context(claim, files, source, folder, hold)
            artifact = ChunkArtifact(files, claim, step, context)
            sha256 = artifact.adopted()
            if sha256 is None:
                hold.begin(step.words)
                hold.watch.follow(lambda: source.bytes_fetched)
                data = step.work(context)
                hold.check_claim()
                hold.begin(Step.STORE)
                sha256 = artifact.store(data)
        return self._finish(claim, step, (artifact.key, sha256, source.bytes_fetched), hold, loop)

    def _finish(
        self, claim: ChunkClaim, step: Chunks[Any], found: tuple[str, str, int], hold: Hold, loop: WorkerLoop
    ) -> ChunkClaim | None:
        key, sha256, bytes_read = found
        goes_on = self._takes_next and loop.goes_on()
        hold.check_claim()
        detector = self._tools.described(step.needs)
        finished = (claim, key, sha256, detector, bytes_read)
        following: ChunkClaim | None = None
        if goes_on:
            loop.let_go()
            status, following = self._queue.complete_and_claim(
                *finished, deep_mode=self._deep_mode, job_id=self._only_job
            )
        else:
            status = self._queue.complete_chunk(*finished)
        emit(Event.CHUNK_COMPLETED, **claim.ids, bytes_read=bytes_read, job_status=status)
        return following

    def _context(
        self, claim: ChunkClaim, files: ChunkFiles, source: LazyReader, folder: Path, hold: Hold
    ) -> ChunkContext[Any]:
        params = kind_named(claim.kind).parse_params(claim.params)
        return ChunkContext(
            job_id=str(claim.job_id),
            chunk_index=claim.chunk_index,
            interval=(claim.start_pts, claim.end_pts),
            start_pts=None if claim.is_first else claim.start_pts,
            end_pts=None if claim.is_last else claim.end_pts,
            source={"etag": claim.source_etag, "size": claim.source_size},
            probed=claim.probed,
            params=params,
            reader=source,
            folder=folder,
            tools=self._tools,
            earlier=EarlierOfChunk(files, claim.plan),
            report=hold.report,
            open_input=further_inputs(lambda uri: files.further_input(params, uri), hold),
            keep_preview=partial(keep_preview, files, claim) if self._tools.settings.previews else None,
        )


class ChunkWorker(ChunkWork):
    """One with a connection to the database and the store's credentials."""

    def __init__(
        self,
        queue: Queue,
        store: ObjectStore,
        tools: Tools,
        *,
        deep_mode: DeepMode = DeepMode.GPU,
        only_job: UUID | None = None,
        takes_next: bool = True,
        surroundings: Surroundings | None = None,
    ) -> None:
        super().__init__(
            queue,
            stored_files(queue, store, tools.settings),
            tools,
            surroundings or Surroundings(store),
            deep_mode=deep_mode,
            only_job=only_job,
            takes_next=takes_next,
        )


def work_remotely(place: command.RemotePlace) -> int:
    """The same work, for a server that has the database and the store."""
    from backend.workers.remote.files import remote_files
    from backend.workers.remote.queue import RemoteQueue

    tools = _tools_of(place)
    if not _loads(tools, needs_of_all(tools)):
        return command.EXIT_BAD_SETUP
    queue = RemoteQueue(place.server, [*place.hardware, *tools.special])
    files_of = remote_files(place.server, place.settings)
    return _run(ChunkWork(queue, files_of, tools, place.surroundings, only_job=place.options.job), queue, place)


@command.worker("gpu_chunk_worker", encodes=True, remote=work_remotely)
def main(place: command.Workplace) -> int:
    """Claims chunks, works on them and writes each chunk's artifact once."""
    tools = _tools_of(place)
    if not _loads(tools, needs_ahead(place.database, tools, place.options.job)):
        return command.EXIT_BAD_SETUP
    queue = Queue(place.database, place.settings, [*place.hardware, *tools.special])
    worker = ChunkWorker(queue, place.store, tools, only_job=place.options.job, surroundings=place.surroundings)
    return _run(worker, queue, place)


def _tools_of(place: command.Place) -> Tools:
    return Tools(place.settings, lambda: open_detector(place.settings), hardware=frozenset(place.hardware))


def _loads(tools: Tools, needs: frozenset[Need]) -> bool:
    try:
        tools.load(needs)
    except ModelMissing as missing:
        command.complain(missing)
        return False
    return True


def _run(work: ChunkWork, queue: ChunkQueue, place: command.Place) -> int:
    loop = WorkerLoop(
        "gpu_chunk_worker",
        lambda: work.work_once(loop),
        queue.tend,
        place.settings,
        has_work=lambda: queue.has_queued(DeepMode.GPU),
        surroundings=place.surroundings,
    )
    return loop.run(once=place.options.once, idle_exit_sec=place.options.idle_exit_sec)


if __name__ == "__main__":
    sys.exit(main())

"""What stands around the work of every claim: its lease, its outcome, its trace, and whoever may end it early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from backend import telemetry
from backend.errors import FramefleetError
from backend.queue.chunk_queue import ChunkQueue
from backend.queue.claims import ChunkClaim, JobClaim
from backend.queue.lease import LeaseKeeper
from backend.queue.outcome import Ends, ends_of_chunk, ends_of_job, outcome
from backend.queue.queue import Queue
from backend.queue.stall import watch_of
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.states import JobStatus, Stage
from backend.storage.names import is_web

# A server of anybody's may keep a read waiting: whoever cancels the job is heard meanwhile.
BEAT_OF_WEB_SEC = 2.0


class Boss(Protocol):
    """Who may end work before it is done: a worker's loop."""

    def check_drain(self) -> None:
        """Raises Drain when the work in hand must be given back."""
        ...

    def holding(self, release: Callable[[], None]) -> AbstractContextManager[None]: ...

    def end_stuck(self, ends: Ends, failure: FramefleetError) -> None: ...


class Nobody:
    """Work in a process that has other things to do than to end it."""

    def check_drain(self) -> None:
        return

    def holding(self, release: Callable[[], None]) -> AbstractContextManager[None]:
        return nullcontext()

    def end_stuck(self, ends: Ends, failure: FramefleetError) -> None:
        return


NOBODY = Nobody()


class Hold:
    """A claim in work. All but `begin` raise ClaimLost, WorkStalled or Drain when the work must be dropped."""

    def __init__(self, lease: LeaseKeeper, boss: Boss) -> None:
        self.watch = lease.watch
        self.cutoff = lease.cutoff  # of reads for this claim, which end when it is gone
        self._lease = lease
        self._boss = boss

    def begin(self, step: str, patience: float = 1.0) -> None:
        """The work goes on with this step. See StallWatch."""
        self.watch.begin(step, patience)

    def report(self, share: float) -> None:
        self._lease.report(share)
        self._boss.check_drain()

    def check(self) -> None:
        """Often, and before anything is written."""
        self._lease.check()
        self._boss.check_drain()

    def check_claim(self) -> None:
        """`check` for work that is all but done: a worker that drains finishes it."""
        self._lease.check()


class Executor:
    """Holds claims while they are worked on, and writes under each what came of it when that was nothing good."""

    def __init__(self, surroundings: Surroundings, settings: Settings) -> None:
        self._surroundings = surroundings
        self._settings = settings

    def chunk(self, queue: ChunkQueue, claim: ChunkClaim, boss: Boss) -> AbstractContextManager[Hold]:
        """Around the work of a chunk. Raises Drain after giving it back, DatabaseUnavailable."""
        ends = ends_of_chunk(queue, claim)
        return self._held(
            ends,
            "chunk",
            claim.trace_context,
            lambda share: queue.heartbeat_chunk(claim, share),
            boss,
            claim.input_uri,
        )

    def job(
        self, queue: Queue, claim: JobClaim, boss: Boss, stage: Stage | None = None
    ) -> AbstractContextManager[Hold]:
        """Around the planning of a job, or a step that takes all of it; `stage` is said once there is progress. Raises
        as `chunk` does."""
        work: telemetry.Work = "plan" if claim.status is JobStatus.QUEUED else "aggregate"
        ends = ends_of_job(queue, claim)
        return self._held(
            ends,
            work,
            claim.trace_context,
            lambda share: queue.heartbeat_job(claim, share, stage if share else None),
            boss,
            claim.input_uri,
        )

    @contextmanager
    def _held(
        self,
        ends: Ends,
        work: telemetry.Work,
        trace: str | None,
        beat: Callable[[float], None],
        boss: Boss,
        input_uri: str,
    ) -> Iterator[Hold]:
        with (
            outcome(ends, self._surroundings),
            telemetry.working(work, trace, **ends.ids),
            boss.holding(ends.give_back),
            LeaseKeeper(
                beat,
                self._settings.lease_seconds,
                watch_of(self._settings, lambda failure: boss.end_stuck(ends, failure)),
                BEAT_OF_WEB_SEC if is_web(input_uri) else float("inf"),
            ) as lease,
        ):
            yield Hold(lease, boss)

"""How an analysis worker plans: in its loop; and what is behind URLs in threads beside it, since anybody's server may
keep a read waiting, while others wait for their films."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from uuid import UUID

from backend import telemetry
from backend.jobs.plan import Planner
from backend.jobs.planners import Planners, Turn
from backend.queue.claims import JobClaim
from backend.queue.outcome import Drain
from backend.queue.queue import Queue
from backend.states import JobStatus
from backend.storage.names import is_web
from backend.workers.loop import WorkerLoop


class Planning:
    """With `only_job`, or `in_loop`, nothing goes on beside."""

    def __init__(self, queue: Queue, planner: Planner, only_job: UUID | None, *, in_loop: bool) -> None:
        self._queue = queue
        self._planner = planner
        self._only_job = only_job
        self._threads = None if in_loop or only_job is not None else Planners()

    @property
    def threads(self) -> AbstractContextManager[object]:
        return self._threads or nullcontext()

    def plan_next(self, loop: WorkerLoop) -> bool:
        """False when nothing was due, or no thread is free for what may be. Raises Drain after giving it back."""
        if self._threads is None:
            return self._plan_in(loop, self._queue.claim_job(JobStatus.QUEUED, self._only_job))
        turn = self._threads.turn()
        if turn is None:
            return False
        is_handed_on = False
        try:
            claim = self._queue.claim_job(JobStatus.QUEUED)
            if claim is None or not is_web(claim.input_uri):
                return self._plan_in(loop, claim)
            self._hand_on(loop, claim, turn, self._threads)
            is_handed_on = True
        finally:
            if not is_handed_on:
                turn.give_back()
        return True

    def _plan_in(self, loop: WorkerLoop, claim: JobClaim | None) -> bool:
        if claim is None:
            return False
        self._planner.plan(claim, loop)
        return True

    def _hand_on(self, loop: WorkerLoop, claim: JobClaim, turn: Turn, threads: Planners) -> None:
        def plan() -> None:
            try:
                self._planner.plan(claim, loop.beside)
            except Drain:
                return
            except Exception as failure:  # noqa: BLE001 - a thread's error would vanish; the lease runs out
                telemetry.poll_failed(failure, **claim.ids)

        threads.use(turn, plan)

"""The loop every worker runs: tend, protect, claim, work under a lease, finish; drain when told to stop."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from backend.errors import AccessRevoked, DatabaseUnavailable, FramefleetError, ModelMissing
from backend.events import Event, emit
from backend.queue.outcome import Drain, Ends
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.telemetry import poll_failed
from backend.workers.drain import Stopper
from backend.workers.duties import Duties, Duty
from backend.workers.scale_in import Unprotected, protection_of
from backend.workers.spot import spot_watch

TEND_EVERY_SEC = 1.0


class WorkerLoop:
    """Calls `work_once` until told to stop. `work_once` returns whether there was anything to do.

    `tend` is called before every claim, and in a thread beside the work; it must be quick where nothing is due.
    `duties` run in that thread too. `has_work` looks without claiming; where tasks are protected from scale-in an idle
    worker asks it first. A worker that never claims needs no protection from scale-in. While its `surroundings` are not
    ready a worker claims nothing. `is_over` ends it too. One that does not listen for signals can run in
    any thread. `beside` are threads with claims of their own, whose boss is the loop's attribute of that name; the loop
    ends with them.
    """

    def __init__(
        self,
        name: str,
        work_once: Callable[[], bool],
        tend: Callable[[], None],
        settings: Settings,
        *,
        has_work: Callable[[], bool] = lambda: True,
        claims: bool = True,
        duties: Sequence[Duty] = (),
        surroundings: Surroundings | None = None,
        is_over: Callable[[], bool] = lambda: False,
        listens: bool = True,
        beside: AbstractContextManager[object] | None = None,
    ) -> None:
        self._name = name
        self._work_once = work_once
        self._tend = tend
        self._settings = settings
        self._has_work = has_work
        self._duties = Duties(Duty("tend", TEND_EVERY_SEC, tend), *duties)
        self._stopper = Stopper(name, settings.drain_seconds)
        self._protection = protection_of(settings) if claims else Unprotected()
        self._surroundings = surroundings
        self._is_over = is_over
        self._listens = listens
        self._threads = beside or nullcontext()
        self._once = False
        self._idle_since = time.monotonic()
        self.beside = Beside(self._stopper)

    @property
    def is_stopping(self) -> bool:
        """No more claims; what is in hand may go on until `check_drain` says otherwise."""
        return self._stopper.is_asked

    def goes_on(self) -> bool:
        """Asked by work that is about to finish: whether it may claim the next piece with the same statement."""
        self._idle_since = time.monotonic()
        if self._once or self.is_stopping:
            return False
        try:
            is_ready = self._protection.ready(self._has_work)
        except DatabaseUnavailable as failure:
            poll_failed(failure)
            return False
        return is_ready and not self.is_stopping  # the agent may have taken its time

    def check_drain(self) -> None:
        """Raises Drain when the work in hand must be given back. Called from within the work."""
        self._protection.renew_if_due()
        self._stopper.check()

    def holding(self, release: Callable[[], None]) -> AbstractContextManager[None]:
        """Around the work of a claim: `release` gives it back when the work itself does not get to do so."""
        return self._stopper.holding(release)

    def end_stuck(self, ends: Ends, failure: FramefleetError) -> None:
        """Ends the process, for its work lost its claim and does not notice; `failure` says why, and counts where the
        claim is still ours. Called from a thread beside the work. Does not return."""
        self._stopper.end_stuck(ends, failure)

    def let_go(self) -> None:
        """Just before a statement that finishes the work in hand and claims the next."""
        self._stopper.let_go()

    def run(self, *, once: bool = False, idle_exit_sec: float | None = None) -> int:
        """Returns the exit code. `once`: one piece of work, or none when none is due."""
        self._once = once
        with self._around():
            self._idle_since = time.monotonic()
            while not self.is_stopping and not self._is_over():
                worked = self._step()
                if worked:
                    self._idle_since = time.monotonic()
                if once:
                    break
                if idle_exit_sec is not None and time.monotonic() - self._idle_since >= idle_exit_sec:
                    break
                if not worked:
                    # Spread, so that a fleet does not ask in step.
                    self._stopper.wait(self._settings.poll_seconds * random.uniform(0.5, 1.0))
        return 0

    @contextmanager
    def _around(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self._listens:
                stack.enter_context(self._stopper.listening())
            stack.enter_context(spot_watch(self._settings, self._stopper.ask))
            stack.enter_context(self._duties.in_background())
            stack.callback(self._protection.drop)
            stack.enter_context(self._threads)
            emit(Event.WORKER_STARTED, worker=self._name, worker_id=self._settings.worker_id, pid=os.getpid())
            yield
            emit(Event.WORKER_STOPPED, worker=self._name, worker_id=self._settings.worker_id)

    def _step(self) -> bool:
        try:
            self._tend()
            return self._protected_work()
        except Drain:
            return False
        except (ModelMissing, AccessRevoked):
            raise
        except Exception as failure:  # noqa: BLE001 - one poisoned row must not end a worker that serves all the others
            poll_failed(failure)
            return False

    def _protected_work(self) -> bool:
        if self._surroundings is not None and not self._surroundings.ready():
            return False
        if not self._protection.ready(self._has_work) or self.is_stopping:
            return False
        worked = self._work_once()
        self._protection.note(worked)
        return worked


class Beside:
    """The boss of work in a thread beside the loop: protection from scale-in is the loop's alone."""

    def __init__(self, stopper: Stopper) -> None:
        self.check_drain = stopper.check
        self.holding = stopper.holding
        self.end_stuck = stopper.end_stuck


def exit_with_parent(parent_pid: int, poll_sec: float = 1.0) -> None:
    """Ends this process when the one that started it is gone: nobody would stop it otherwise."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(poll_sec)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()

"""The loop every worker runs: claim, work under a lease, finish; drain on SIGTERM."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from backend.errors import DatabaseUnavailable, ModelMissing
from backend.events import Event, emit, error, warn
from backend.settings import Settings

RESCUE_EVERY_SEC = 5.0


class Drain(Exception):
    """The worker must stop now: give the claim back and leave."""


class WorkerLoop:
    """Calls `work_once` until told to stop. `work_once` returns whether there was anything to do.

    The first SIGTERM or SIGINT: no more claims, what is in hand may take DRAIN_SECONDS; the second: at once.
    """

    def __init__(self, name: str, work_once: Callable[[], bool], rescue: Callable[[], int], settings: Settings) -> None:
        self._name = name
        self._work_once = work_once
        self._rescue = rescue
        self._settings = settings
        self._woken = threading.Event()
        self._drain_deadline: float | None = None
        self._rescued_at = 0.0

    def check_drain(self) -> None:
        """Raises Drain when the work in hand must be given back. Called from within the work."""
        if self._drain_deadline is not None and time.monotonic() >= self._drain_deadline:
            raise Drain

    def run(self, *, once: bool = False, idle_exit_sec: float | None = None) -> int:
        """Returns the exit code. `once`: one piece of work, or none when none is due."""
        self._listen()
        emit(Event.WORKER_STARTED, worker=self._name, worker_id=self._settings.worker_id, pid=os.getpid())
        idle_since = time.monotonic()
        while self._drain_deadline is None:
            worked = self._step()
            if worked:
                idle_since = time.monotonic()
            if once:
                break
            if idle_exit_sec is not None and time.monotonic() - idle_since >= idle_exit_sec:
                break
            if not worked:
                # Spread, so that a fleet does not ask in step.
                self._woken.wait(self._settings.poll_seconds * random.uniform(0.5, 1.0))
        emit(Event.WORKER_STOPPED, worker=self._name, worker_id=self._settings.worker_id)
        return 0

    def _step(self) -> bool:
        try:
            self._rescue_sometimes()
            return self._work_once()
        except DatabaseUnavailable as failure:
            warn(Event.WORKER_POLL_FAILED, error_code=failure.code, message=failure.message)
            return False
        except Drain:
            return False
        except ModelMissing:
            raise
        except Exception as failure:  # noqa: BLE001 - one poisoned row must not end a worker that serves all the others
            error(Event.WORKER_POLL_FAILED, exc_info=failure)
            return False

    def _rescue_sometimes(self) -> None:
        if time.monotonic() - self._rescued_at >= min(RESCUE_EVERY_SEC, self._settings.lease_seconds / 2):
            self._rescue()
            self._rescued_at = time.monotonic()

    def _listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        patience_sec = self._settings.drain_seconds if self._drain_deadline is None else 0.0
        self._drain_deadline = time.monotonic() + patience_sec
        self._woken.set()


def exit_with_parent(parent_pid: int, poll_sec: float = 1.0) -> None:
    """Ends this process when the one that started it is gone: nobody would stop it otherwise."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(poll_sec)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()

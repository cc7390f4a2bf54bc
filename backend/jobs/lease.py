"""Keeps a claim alive while its work runs, and tells the work when the claim is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from backend.errors import ClaimLost, DatabaseUnavailable
from backend.events import Event, warn

PROGRESS_EVERY_SEC = 1.0
VISIBLE_PROGRESS = 0.02
# A timer may fire a little early; without this the beat would slip to the next wake-up.
TIMER_SLACK_SEC = 0.05
LEAVE_TIMEOUT_SEC = 5.0


class LeaseKeeper:
    """A thread that beats at a third of the lease, and sooner when there is progress (0 to 1) that a person can see.

    A missed beat is no loss yet: the next may still come in time. When a whole lease has passed since the last one
    that was sent and answered, another worker may already be at it, so `check` raises.
    """

    def __init__(self, beat: Callable[[float], None], lease_seconds: float) -> None:
        self.progress = 0.0
        self._beat = beat
        self._lease_seconds = lease_seconds
        self._renewed_at = time.monotonic()
        self._told_progress = 0.0
        self._lost: ClaimLost | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def check(self) -> None:
        """Raises ClaimLost when the work must be dropped. Call often, and always before anything is written."""
        if self._lost is not None:
            raise self._lost
        if time.monotonic() - self._renewed_at > self._lease_seconds:
            raise ClaimLost("No heartbeat got through for a whole lease.")

    def report(self, progress: float) -> None:
        self.progress = progress
        self.check()

    def _run(self) -> None:
        while not self._stop.wait(min(self._lease_seconds / 3, PROGRESS_EVERY_SEC)):
            sent_at, progress = time.monotonic(), self.progress
            is_due = sent_at - self._renewed_at >= self._lease_seconds / 3 - TIMER_SLACK_SEC
            if not is_due and progress - self._told_progress < VISIBLE_PROGRESS:
                continue
            try:
                self._beat(progress)
            except ClaimLost as lost:
                self._lost = lost
                return
            except DatabaseUnavailable as error:
                warn(Event.HEARTBEAT_FAILED, error_code=error.code, message=error.message)
                continue
            self._renewed_at, self._told_progress = sent_at, progress

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # A beat that is late still is guarded by the claim: it does no harm to what comes after this one.
        self._thread.join(LEAVE_TIMEOUT_SEC)

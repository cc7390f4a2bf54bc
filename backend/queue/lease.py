"""Keeps a claim alive while its work runs, and tells the work when the claim is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from backend.errors import ClaimLost, DatabaseUnavailable, FramefleetError, LeaseLapsed
from backend.events import Event, warn
from backend.queue.stall import StallWatch
from backend.storage.pace import Cutoff

PROGRESS_EVERY_SEC = 1.0
VISIBLE_PROGRESS = 0.02
# A timer may fire a little early; without this the beat would slip to the next wake-up.
TIMER_SLACK_SEC = 0.05
# A beat that hangs in the database is guarded by the claim; the work's end does not wait for it.
JOIN_TIMEOUT_SEC = 5.0


class LeaseKeeper:
    """A thread that beats at a third of the lease, and sooner when there is progress (0 to 1) that a person can see.

    A missed beat is no loss yet: the next may still come in time. When a whole lease has passed since the last one
    that was sent and answered, another worker may already be at it, so `check` raises.

    Work that stands still is no reason to keep a claim: when its `watch` finds it stalled no beat follows and `check`
    raises WorkStalled. Reads that go on under a claim that is gone are ended through `cutoff`. Work that does not come
    to a `check` within the watch's grace, after that or after its claim was lost, hangs: the watch ends it.
    """

    def __init__(
        self,
        beat: Callable[[float], None],
        lease_seconds: float,
        watch: StallWatch | None = None,
        beat_every_sec: float = float("inf"),
    ) -> None:
        """`beat_every_sec`: sooner than the lease needs, for work that is to hear soon of its cancellation."""
        self.cutoff = Cutoff()
        self.progress = 0.0
        self.watch = watch or StallWatch()
        self._beat = beat
        self._lease_seconds = lease_seconds
        self._beat_every_sec = min(lease_seconds / 3, beat_every_sec)
        self._renewed_at = time.monotonic()
        self._told_progress = 0.0
        self._lost: FramefleetError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def check(self) -> None:
        """Raises ClaimLost or WorkStalled when the work must be dropped. Call often, and before anything is written."""
        if self._lost is not None:
            raise self._lost
        if time.monotonic() - self._renewed_at > self._lease_seconds:
            raise LeaseLapsed("No heartbeat got through for a whole lease.")

    def report(self, progress: float) -> None:
        if progress > self.progress:
            self.watch.moved()
        self.progress = progress
        self.check()

    def _run(self) -> None:
        self._beat_on()
        if self._lost is not None:
            self.cutoff.end(self._lost)
        # Half of the lease at most: a failure is written under the claim, while it is still ours.
        if self._lost is not None and not self._stop.wait(min(self.watch.grace_sec, self._lease_seconds / 2)):
            self.watch.end(self._lost)

    def _beat_on(self) -> None:
        """Until the work ends, or must end."""
        while not self._stop.wait(min(self._beat_every_sec, PROGRESS_EVERY_SEC)):
            self._lost = self.watch.stalled()
            if self._lost is not None:
                return
            sent_at, progress = time.monotonic(), self.progress
            is_due = sent_at - self._renewed_at >= self._beat_every_sec - TIMER_SLACK_SEC
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
        self._thread.join(JOIN_TIMEOUT_SEC)

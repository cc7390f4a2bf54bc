"""How long a step of work may go without progress, and what happens to work that does not end when it should."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum

from backend.errors import FramefleetError, WorkStalled
from backend.settings import Settings


class Step(StrEnum):
    """What a worker is at round the work of a kind. Each is a phrase that ends "no progress in …"."""

    PLAN = "looking at the source"
    ADOPT = "looking for an earlier result"
    STORE = "storing the result"
    UPLOAD = "uploading the film"


class StallWatch:
    """When the work last showed progress. Thread-safe: the work tells, the heartbeat's thread asks.

    `end` is called, from that thread, for work that was told to stop and did not within the grace.
    """

    def __init__(
        self,
        stall_sec: float = float("inf"),
        grace_sec: float = float("inf"),
        end: Callable[[FramefleetError], None] = lambda failure: None,
    ) -> None:
        self.grace_sec = grace_sec
        self.end = end
        self._stall_sec = stall_sec
        self._lock = threading.Lock()
        self._signs: Callable[[], object] = lambda: None
        self._last_signs: object = None
        self._step: str | None = None
        self._patience = 1.0
        self._moved_at = time.monotonic()

    def begin(self, step: str, patience: float = 1.0) -> None:
        """The work goes on with this step, which may stand still for `patience` times as long; that is progress."""
        with self._lock:
            self._step, self._patience = step, patience
            self._moved_at = time.monotonic()

    def follow(self, signs: Callable[[], object]) -> None:
        """Whatever changes what this returns is progress too, such as a count of bytes read."""
        self._signs = signs

    def moved(self) -> None:
        with self._lock:
            self._moved_at = time.monotonic()

    def stalled(self) -> WorkStalled | None:
        """What to fail the work with, when it has been still for too long."""
        signs = self._signs()
        with self._lock:
            if signs != self._last_signs:
                self._last_signs = signs
                self._moved_at = time.monotonic()
            still_sec = time.monotonic() - self._moved_at
            if self._step is None or still_sec <= self._stall_sec * self._patience:
                return None
            return WorkStalled(
                f"No progress in {self._step} for {still_sec:.0f} s: the work was given up. If the step "
                "only needs longer, raise STALL_SECONDS."
            )


def watch_of(settings: Settings, end: Callable[[FramefleetError], None] = lambda failure: None) -> StallWatch:
    return StallWatch(settings.stall_seconds, settings.stall_grace_seconds, end)

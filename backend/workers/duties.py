"""What a worker does every so often beside its work: rescue, clean up, report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from backend.errors import FramefleetError
from backend.events import Event, error, warn

BACKGROUND_POLL_SEC = 1.0
LEAVE_TIMEOUT_SEC = 5.0


@dataclass
class Duty:
    """Due at once, then `every_sec` after each try. Must be safe to run in many workers at a time."""

    name: str
    every_sec: float
    act: Callable[[], object]
    due_at: float = 0.0  # of the monotonic clock

    def delay(self, seconds: float) -> None:
        """Due first after this time instead of at once."""
        self.due_at = time.monotonic() + seconds


class Duties:
    """Runs what is due. A duty that fails is logged and tried again at its next time; it never stops the worker."""

    def __init__(self, *duties: Duty) -> None:
        self._duties = duties
        self._stop = threading.Event()

    def run_due(self) -> None:
        for duty in self._duties:
            if time.monotonic() >= duty.due_at and not self._stop.is_set():
                self._run(duty)
                duty.due_at = time.monotonic() + duty.every_sec

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """In a thread: a worker that renders for an hour still rescues, and still reports once a minute."""
        thread = threading.Thread(target=self._run_on, name="duties", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(LEAVE_TIMEOUT_SEC)  # each duty is safe to be cut off

    def _run_on(self) -> None:
        while not self._stop.is_set():
            self.run_due()
            self._stop.wait(BACKGROUND_POLL_SEC)

    def _run(self, duty: Duty) -> None:
        try:
            duty.act()
        except FramefleetError as failure:
            warn(Event.DUTY_FAILED, duty=duty.name, error_code=failure.code, message=failure.message)
        except Exception as failure:  # noqa: BLE001 - a fault in one duty must not end the others, nor the worker
            error(Event.DUTY_FAILED, duty=duty.name, exc_info=failure)

"""A thread that does one small duty again and again, beside work that may take an hour."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from backend.errors import DatabaseUnavailable
from backend.events import Event, error, warn


class Ticker:
    """Calls `duty` at once and then every `every_sec`, spread by a tenth so that a fleet does not ask in step.

    A duty that fails is tried again at the next tick.
    """

    def __init__(self, name: str, duty: Callable[[], object], every_sec: float) -> None:
        self._duty = duty
        self._every_sec = every_sec
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        while True:
            self._tick()
            if self._stop.wait(self._every_sec * random.uniform(0.9, 1.0)):
                return

    def _tick(self) -> None:
        try:
            self._duty()
        except DatabaseUnavailable as failure:
            warn(Event.WORKER_POLL_FAILED, duty=self._thread.name, error_code=failure.code, message=failure.message)
        except Exception as failure:  # noqa: BLE001 - a thread's error would vanish; the next tick tries again
            error(Event.WORKER_POLL_FAILED, duty=self._thread.name, exc_info=failure)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

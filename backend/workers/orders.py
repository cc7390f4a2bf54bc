"""What operators ask of this worker: to stop."""

from __future__ import annotations

import os
import signal

from backend.events import Event, emit


class StopOrders:
    """Whoever hears that it is to stop sends SIGTERM to its own process, once, as ECS would."""

    def __init__(self) -> None:
        self._is_told = False

    def obey(self) -> None:
        if not self._is_told:
            self._is_told = True  # a second signal would be impatience
            emit(Event.WORKER_ASKED_TO_STOP)
            os.kill(os.getpid(), signal.SIGTERM)

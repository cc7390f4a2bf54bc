"""What operators ask of this worker through its row: to stop."""

from __future__ import annotations

import os
import signal

from backend.db.engine import Database
from backend.events import Event, emit


class StopOrders:
    """Whoever finds in its row that it is to stop sends SIGTERM to its own process, once, as ECS would."""

    def __init__(self, database: Database, worker_id: str) -> None:
        self._database = database
        self._worker_id = worker_id
        self._begins = True
        self._is_told = False

    def obey(self) -> None:
        """Call it every few seconds, after the row is written. Raises DatabaseUnavailable."""
        if self._begins:
            self._database.ask("forget_stop_order", worker_id=self._worker_id)
            self._begins = False
        elif not self._is_told and self._database.ask("stop_order", worker_id=self._worker_id) is not None:
            self._is_told = True  # a second signal would be impatience
            emit(Event.WORKER_ASKED_TO_STOP)
            os.kill(os.getpid(), signal.SIGTERM)

"""Writes down once a minute how the queue stands, for the chart of the last day: one analysis worker does, for all."""

from __future__ import annotations

from backend.db.engine import Database
from backend.db.sql import statement
from backend.queue.figures import READ_TIMEOUT, SILENT_SECONDS

SINK = "samples"
EVERY_SEC = 60
ASK_EVERY_SEC = 15.0
KEPT_HOURS = 48
_LOCK_KEY = 0x66727370  # any constant


class Sampler:
    def __init__(self, database: Database, worker_id: str) -> None:
        self._database = database
        self._worker_id = worker_id

    def sample_if_due(self) -> bool:
        """Whether this call wrote. The turn is taken in the sample's own transaction: whoever dies in between leaves it
        to the next one. Raises DatabaseUnavailable."""
        turn = {"sink": SINK, "worker_id": self._worker_id, "lock_key": _LOCK_KEY, "turn_seconds": EVERY_SEC}
        with self._database.transaction() as connection:
            connection.execute(READ_TIMEOUT)
            if connection.execute(statement("take_metrics_turn"), turn).one_or_none() is None:
                return False
            connection.execute(statement("add_fleet_sample"), {"silent_seconds": SILENT_SECONDS})
        return True


def delete_old_samples(database: Database) -> int:
    """How many went. Raises DatabaseUnavailable."""
    with database.transaction() as connection:
        return connection.execute(statement("delete_fleet_samples"), {"kept_hours": KEPT_HOURS}).rowcount

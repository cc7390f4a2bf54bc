"""What the verbs of the queue share: the database, who asks, and on what terms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backend.db.engine import Database
from backend.errors import FramefleetError
from backend.kinds import KINDS
from backend.settings import Settings
from backend.versions import SCHEMA_VERSION

LOST = "The claim was lost: rescued from this worker, cancelled or finished."
# What the surroundings ended comes back after a pause that grows to half a minute, so many times as make a day.
PUT_BACK = {"base_seconds": 1.0, "cap_seconds": 30.0, "max_put_backs": 2880}


class Verbs:
    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._worker_id = settings.worker_id
        self._lease = {"lease_seconds": settings.lease_seconds}
        # What this version can work on; all else is left to newer workers.
        self.known: dict[str, Any] = {"kinds": as_array(KINDS), "schema_version": SCHEMA_VERSION}
        self._backoff = {
            "max_attempts": settings.max_attempts,
            "base_seconds": settings.retry_base_seconds,
            "cap_seconds": settings.retry_cap_seconds,
        }

    def knows(self, kinds: Iterable[str], schema_version: int) -> None:
        """Asks on behalf of a worker of another version, which cannot do more than both know."""
        self.known = {
            "kinds": as_array(set(kinds) & set(KINDS)),
            "schema_version": min(schema_version, SCHEMA_VERSION),
        }


def as_array(names: Iterable[str]) -> str:
    """Names that need no quoting (our own, or as messages.Name has them), as PostgreSQL writes an array."""
    return "{" + ",".join(sorted(names)) + "}"


def told(error: FramefleetError) -> dict[str, str]:
    return {"error_code": error.code, "error_message": error.message}

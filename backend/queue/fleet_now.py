"""The fleet at a glance, for answers that are asked for again and again: is it paused, and who is there to work."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from backend.db.engine import Database
from backend.queue.figures import SILENT_SECONDS

ANALYSIS_WORKER = "analysis_worker"
RECENT_SEC = 1.0

_recent: dict[str, tuple[FleetNow, float]] = {}  # by database, and since when


@dataclass(frozen=True)
class Crew:
    """Living workers that can do the same."""

    kind: str  # of worker
    knows: frozenset[str]  # kinds of job
    hardware: frozenset[str]  # its encoders and decoders
    schema_version: int
    is_well: bool
    is_leaving: bool
    workers: int


@dataclass(frozen=True)
class FleetNow:
    paused_at: datetime | None
    reason: str | None
    paused_by: str | None
    crews: tuple[Crew, ...]

    def living(self, kind: str) -> int:
        return sum(crew.workers for crew in self.crews if crew.kind == kind)

    def able(self, worker: str, job_kind: str, schema_version: int) -> list[Crew]:
        """Who may claim such work; whether they are well is another question."""
        return [
            crew
            for crew in self.crews
            if crew.kind == worker
            and job_kind in crew.knows
            and schema_version <= crew.schema_version
            and not crew.is_leaving
        ]


def fleet_now(database: Database) -> FleetNow:
    """Raises DatabaseUnavailable."""
    row = database.fleet.ask("fleet_now", silent_seconds=SILENT_SECONDS)
    assert row is not None, "the fleet's row is made with its table"
    sets = ("knows", "hardware")
    crews = tuple(Crew(**{**crew, **{name: frozenset(crew[name]) for name in sets}}) for crew in row["crews"])
    return FleetNow(row["paused_at"], row["reason"], row["paused_by"], crews)


def recent_fleet(database: Database) -> FleetNow:
    """As it was a second ago at most: all who poll share one question. Raises DatabaseUnavailable."""
    now = time.monotonic()
    known = _recent.get(database.url)
    if known is None or now - known[1] > RECENT_SEC:
        known = _recent[database.url] = fleet_now(database), now
    return known[0]


def forget_recent(database: Database) -> None:
    """Whoever changed it in this process is answered by what it is now."""
    _recent.pop(database.url, None)

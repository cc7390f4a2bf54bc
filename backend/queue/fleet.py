"""Pause and resume of the whole fleet: while it is paused nothing is claimed; heartbeats and finishes go on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from backend.db.engine import Database
from backend.db.models import Fleet
from backend.db.sql import statement
from backend.events import Event, emit
from backend.queue.fleet_now import forget_recent

FLEET_ID = 1


@dataclass(frozen=True)
class FleetState:
    paused_at: datetime | None
    reason: str | None
    paused_by: str | None = None  # a key's name, or who ran the command

    @property
    def paused(self) -> bool:
        return self.paused_at is not None


def fleet_state(database: Database) -> FleetState:
    with database.session() as session:
        row = session.get_one(Fleet, FLEET_ID)
        return FleetState(row.paused_at, row.reason, row.paused_by)


def pause_fleet(database: Database, reason: str | None = None, paused_by: str | None = None) -> FleetState:
    """Pausing twice keeps the time, and the reason and its author where no other is given."""
    state = _write(database, "pause_fleet", reason=reason, paused_by=paused_by)
    emit(Event.FLEET_PAUSED, reason=state.reason, paused_by=state.paused_by)
    return state


def resume_fleet(database: Database) -> FleetState:
    state = _write(database, "resume_fleet")
    emit(Event.FLEET_RESUMED)
    return state


def _write(database: Database, name: str, **params: str | None) -> FleetState:
    with database.transaction() as connection:
        row = connection.execute(statement(name), params).one()
    forget_recent(database)
    return FleetState(row.paused_at, row.reason, row.paused_by)

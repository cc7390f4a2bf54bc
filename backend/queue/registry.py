"""Where a worker says that it lives, what it knows and what it suffers from, and hears what operators ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from backend.db.engine import Database
from backend.db.sql import statement
from backend.queue.figures import SILENT_SECONDS


@dataclass(frozen=True)
class Presence:
    """What a worker tells of itself. `begins`: the first time that this process does."""

    worker_id: str
    kind: str
    knows: Sequence[str]  # kinds of job
    schema_version: int
    encoders: Sequence[str]
    trouble: str | None
    begins: bool
    machine: str | None = None  # its host's name
    device: str | None = None  # what it detects on, in words


@dataclass(frozen=True)
class Told:
    """`others_are_well`: it suffers alone."""

    others_are_well: bool
    stop: bool


class Registry(Protocol):
    """Both raise DatabaseUnavailable."""

    def seen(self, presence: Presence) -> Told: ...

    def gone(self, worker_id: str) -> None: ...


class WorkerRows:
    """The table `workers`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self, presence: Presence) -> Told:
        row = {
            "worker_id": presence.worker_id,
            "kind": presence.kind,
            "knows": list(presence.knows),
            "schema_version": presence.schema_version,
            "encoders": list(presence.encoders),
            "trouble": presence.trouble,
            "machine": presence.machine,
            "device": presence.device,
            "silent_seconds": SILENT_SECONDS,
        }
        with self._database.transaction() as connection:
            others_are_well = connection.execute(statement("worker_seen"), row).scalar_one()
        return Told(others_are_well, self._is_told_to_stop(presence))

    def _is_told_to_stop(self, presence: Presence) -> bool:
        if presence.begins:
            self._database.ask("forget_stop_order", worker_id=presence.worker_id)
            return False
        return self._database.ask("stop_order", worker_id=presence.worker_id) is not None

    def gone(self, worker_id: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(statement("worker_gone"), {"worker_id": worker_id})

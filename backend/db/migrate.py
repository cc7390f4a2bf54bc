"""Brings a database to the newest schema, as `alembic upgrade head` does."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from backend.db.engine import Database

# Any constant: processes that start together take turns.
_LOCK_KEY = 0x66726D66

PROJECT = Path(__file__).resolve().parents[2]


def upgrade(database: Database, revision: str = "head") -> None:
    _run(database, lambda config: command.upgrade(config, revision))


def downgrade(database: Database, revision: str = "base") -> None:
    _run(database, lambda config: command.downgrade(config, revision))


def take_turn(connection: Connection) -> None:
    """Waits until no other process migrates this database; until the transaction ends nobody else does."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})


def _run(database: Database, action) -> None:  # type: ignore[no-untyped-def]
    config = Config(str(PROJECT / "alembic.ini"))
    with database.transaction() as connection:
        take_turn(connection)
        config.attributes["connection"] = connection
        action(config)

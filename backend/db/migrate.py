"""Brings a database to the newest schema, as `alembic upgrade head` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from backend.db.engine import Database
from backend.errors import DatabaseUnavailable

# Any constant: processes that start together take turns.
_LOCK_KEY = 0x66726D66
# A table of years may be rewritten; whoever runs it by hand sees that it works.
MIGRATION_SEC = 6 * 3600.0

PROJECT = Path(__file__).resolve().parents[2]


def upgrade(database: Database, revision: str = "head") -> None:
    _run(database, lambda config: command.upgrade(config, revision))


def downgrade(database: Database, revision: str = "base") -> None:
    _run(database, lambda config: command.downgrade(config, revision))


@contextmanager
def migrating(database: Database) -> Iterator[Connection]:
    """A transaction in which nobody else migrates this database; it waits until no other process does."""
    with database.transaction(patience_sec=MIGRATION_SEC) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        yield connection


def check_schema(database: Database) -> None:
    """Raises DatabaseUnavailable, which says what to do, when the tables are missing or older than this version."""
    with database.transaction() as connection:
        complaint = schema_complaint(connection)
    if complaint is not None:
        raise DatabaseUnavailable(complaint)


def schema_complaint(connection: Connection) -> str | None:
    """What to do when the database's tables are older than this version, or not there; None when they serve.

    Newer ones serve: a migration goes before the new images (docs/operations.md).
    """
    if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
        return "The database has no tables yet: run `alembic upgrade head`."
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    newest, *older = _revisions()
    if found is not None and found not in older:
        return None
    return f"The database is at revision {found}, this version needs {newest}: run `alembic upgrade head`."


@cache  # newest first
def _revisions() -> tuple[str, ...]:
    return tuple(revision.revision for revision in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    return Config(str(PROJECT / "alembic.ini"))


def _run(database: Database, action: Callable[[Config], None]) -> None:
    config = _config()
    with migrating(database) as connection:
        config.attributes["connection"] = connection
        action(config)

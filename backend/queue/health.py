"""What an operator should know of the database that runs the queue."""

from __future__ import annotations

from dataclasses import dataclass

from backend.db.engine import Database
from backend.db.sql import statement


@dataclass(frozen=True)
class OpenTransaction:
    """`pid` is None for a prepared one. `state` is PostgreSQL's word: active, idle in transaction, …"""

    seconds: float
    pid: int | None
    state: str | None
    application: str | None


def oldest_transaction(database: Database) -> OpenTransaction | None:
    """The oldest open transaction in this database, ours excepted; None when there is none that we may see."""
    with database.transaction() as connection:
        row = connection.execute(statement("oldest_transaction")).one_or_none()
    if row is None:
        return None
    return OpenTransaction(float(row.seconds), row.pid, row.state, row.application_name)

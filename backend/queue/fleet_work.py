"""What the fleet has to do, how that was over the last hours, and which chunks failed: for its operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backend.db.engine import Database
from backend.db.models import Chunk
from backend.db.sql import statement
from backend.queue.figures import READ_TIMEOUT

MAX_LANES = 100
MAX_POINTS = 300
SAMPLE_SECONDS = 60  # backend/workers/samples.py writes one a minute
MAX_FAILED = 100
FAILED_DAYS = 7


def lanes_now(database: Database) -> list[dict[str, Any]]:
    """JSON objects: the lanes that have work, the fullest first. Raises DatabaseUnavailable."""
    with database.transaction() as connection:
        connection.execute(READ_TIMEOUT)
        rows = connection.execute(statement("lanes_now"), {"limit": MAX_LANES}).mappings().all()
    return [{**row, "oldest_queued_seconds": round(float(row["oldest_queued_seconds"] or 0))} for row in rows]


def fleet_history(database: Database, hours: int) -> list[dict[str, Any]]:
    """JSON objects, oldest first, MAX_POINTS at most: what stood on average, and the chunks completed in that time.
    Raises DatabaseUnavailable."""
    asked = {"hours": hours, "step_seconds": step_seconds(hours)}
    with database.transaction() as connection:
        rows = connection.execute(statement("fleet_history"), asked).mappings().all()
    return [{**row, "at": row["at"].isoformat()} for row in rows][-MAX_POINTS:]


def step_seconds(hours: int) -> int:
    """A whole number of samples."""
    return SAMPLE_SECONDS * -(-hours * 3600 // (SAMPLE_SECONDS * MAX_POINTS))


@dataclass(frozen=True)
class FailedChunk:
    chunk: Chunk
    job_name: str
    tenant: str


def failed_chunks(database: Database) -> list[FailedChunk]:
    """Of the jobs that failed within a week, the last ones first. Raises DatabaseUnavailable."""
    columns = Chunk.__table__.columns.keys()
    with database.transaction() as connection:
        connection.execute(READ_TIMEOUT)
        asked = {"days": FAILED_DAYS, "limit": MAX_FAILED}
        rows = connection.execute(statement("failed_chunks"), asked).mappings().all()
    return [FailedChunk(Chunk(**{n: row[n] for n in columns}), row["input_name"], row["job_tenant"]) for row in rows]

"""Rows as the planner and the workers leave them, for tests of what is read from them."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from backend.db.engine import Database
from backend.db.models import Chunk, Job
from backend.states import JobStatus, Stage

CHUNK_SEC = 30.0


def add_job(database: Database, chunks: list[dict[str, Any]], **job: Any) -> UUID:
    """A job of 30-second chunks; each dictionary sets columns of one chunk."""
    job_id = uuid4()
    values = {"kind": "crop", "status": JobStatus.PROCESSING, "stage": Stage.PROCESSING, "total_chunks": len(chunks)}
    values |= {"input_uri": "https://h/film.mp4", "input_name": "film.mp4", "duration_seconds": CHUNK_SEC * len(chunks)}
    with database.session() as session:
        session.add(Job(id=job_id, **{**values, **job}))
        session.flush()
        for index, columns in enumerate(chunks):
            place = {"start_pts": index * 30_000, "end_pts": (index + 1) * 30_000}
            place |= {"start_sec": index * CHUNK_SEC, "end_sec": (index + 1) * CHUNK_SEC}
            mode = {"deep_mode": job.get("deep_mode", "gpu")}
            session.add(Chunk(job_id=job_id, chunk_index=index, **place, **mode, **columns))
    return job_id


def sql(database: Database, query: str, **params: object) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        result = connection.execute(text(query), params)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []


def ago(database: Database, seconds: float) -> Any:
    """A moment of the past, by the database's clock."""
    return sql(database, "SELECT now() - make_interval(secs => :seconds) AS at", seconds=seconds)[0]["at"]

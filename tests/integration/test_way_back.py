"""`alembic downgrade -1` and `upgrade +1`, step by step, with rows in every table and in every state."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import uuid4

from alembic.script import ScriptDirectory
from sqlalchemy import Table, insert, select
from sqlalchemy.types import JSON, Boolean, DateTime, Double, Integer, Text, TypeEngine

from backend.db.engine import Database
from backend.db.migrate import PROJECT, downgrade, upgrade
from backend.db.models import Base
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import ChunkStatus, DeepMode, JobStatus, Stage
from tests.integration.queue.helpers import assert_floor, claim_of, complete, planned_job, sql
from tests.integration.test_migration import differences, tables

JOBS, CHUNKS = "video_analysis_jobs", "video_analysis_chunks"
TENANTS = ("default", "other")
# Where a table's own rules ask for more than a type.
RULES: Mapping[str, Mapping[str, Any]] = {"sweeps": {"id": 1}, "fleet": {"id": 1}, "uploads": {"state": "open"}}
# Of every table at every step: what no migration may change.
KEPT = {
    JOBS: "id, tenant, kind, status, stage, deep_mode, priority, params, input_uri, source_etag, probe, total_chunks,"
    " attempts, failures, idempotency_key, callback_url, warnings, error_code, created_at, completed_at, expires_at",
    CHUNKS: "id, job_id, phase, chunk_index, priority, start_sec, end_sec, start_pts, end_pts, status, attempts,"
    " failures, available_at, lease_expires_at, claimed_by, artifact_s3_key, artifact_sha256, error_code, created_at",
}


def revisions() -> list[str]:
    """Newest first."""
    return [script.revision for script in ScriptDirectory(str(PROJECT / "alembic")).walk_revisions()]


def a_value(type_: TypeEngine[Any], number: int) -> Any:
    """Any value of the type, another for each number where there are many."""
    values: dict[type, Any] = {
        Boolean: True, Integer: number + 1, Double: 0.5, DateTime: datetime.now(UTC), JSON: {"number": number},
        Text: f"text {number}",
    }  # fmt: skip
    found = [value for kind, value in values.items() if isinstance(type_, kind)]
    if found:
        return found[0]
    return uuid4() if type_.python_type.__name__ == "UUID" else [f"text {number}"]


def a_row(table: Table, number: int, *, whole: bool) -> dict[str, Any]:
    """With all columns but those that the server counts, or with the fewest."""
    named = [c for c in table.columns if not c.identity and c is not table.autoincrement_column]
    return {
        c.name: a_value(c.type, number)
        for c in named
        if whole or not (c.nullable or c.server_default is not None) or c.primary_key
    } | dict(RULES.get(table.name, {}))


def fill(database: Database) -> None:
    """Jobs in every status, stage and mode, each with a chunk in every state; half of them with every column. A row in
    every other table."""
    for tenant, mode in product(TENANTS, DeepMode):
        planned_job(database, 1, tenant=tenant, deep_mode=mode)  # which makes their lanes
    jobs, chunks = (Base.metadata.tables[name] for name in (JOBS, CHUNKS))
    with database.transaction() as connection:
        for number, (status, stage, mode) in enumerate(product(JobStatus, Stage, DeepMode)):
            whole, lane = number % 2 == 0, {"deep_mode": mode, "tenant": TENANTS[number % 3 % 2]}
            job = a_row(jobs, number, whole=whole) | lane | {"status": status, "stage": stage, "total_chunks": 100}
            job |= {"completed_chunks": 1, "id": uuid4()}
            connection.execute(insert(jobs).values(job))
            for index, state in enumerate(ChunkStatus):
                chunk = a_row(chunks, index, whole=whole) | lane | {"job_id": job["id"], "status": state}
                span = {"start_pts": index, "end_pts": index + 1}
                connection.execute(insert(chunks).values(chunk | span | {"phase": "detect", "chunk_index": index}))
        for table in Base.metadata.sorted_tables:
            if connection.execute(table.select().limit(1)).first() is None:
                named = {key.parent.name: connection.scalar(select(key.column).limit(1)) for key in table.foreign_keys}
                connection.execute(insert(table).values(a_row(table, 0, whole=True) | named))


def kept(database: Database) -> dict[str, list[dict[str, Any]]]:
    return {table: sql(database, f"SELECT {columns} FROM {table} ORDER BY id") for table, columns in KEPT.items()}


def test_every_step_down_and_up_again_keeps_the_jobs_and_their_chunks(empty: Database, settings: Settings) -> None:
    upgrade(empty)
    fill(empty)
    filled = tables(empty) - {"alembic_version"}
    assert [table for table in filled if not sql(empty, f"SELECT 1 AS is_there FROM {table} LIMIT 1")] == []
    before, newest_first = kept(empty), revisions()
    assert {row["status"] for row in before[JOBS]} == {*JobStatus}
    assert {row["status"] for row in before[CHUNKS]} == {*ChunkStatus}
    for older in newest_first[1:]:
        downgrade(empty, "-1")
        assert sql(empty, "SELECT version_num FROM alembic_version") == [{"version_num": older}]
        assert kept(empty) == before, f"down to {older}"
    for newer in reversed(newest_first[:-1]):
        upgrade(empty, "+1")
        assert kept(empty) == before, f"up to {newer}"
    assert differences(empty) == []
    sql(empty, f"UPDATE {CHUNKS} SET available_at = now(), lease_expires_at = NULL, needs = NULL")
    queue = Queue(empty, settings)
    complete(queue, claim_of(queue))
    assert_floor(empty)
    downgrade(empty)
    assert tables(empty) == {"alembic_version"}

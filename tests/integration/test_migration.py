"""The migration makes what the models say, in PostgreSQL's own catalogue, whoever runs it and how often."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from backend.db.engine import Database
from backend.db.migrate import PROJECT, downgrade, upgrade
from backend.db.models import Base
from backend.db.models_keys import ApiKey, ApiSession, Tenant
from backend.db.models_requests import RequestInFlight
from backend.db.models_uploads import Upload, UploadPart
from backend.db.models_webhooks import WebhookMessage, WebhookSecret
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import ChunkStatus, DeepMode, JobStatus, Stage
from tests.integration.queue.helpers import FACTS, planned_job

JOBS, CHUNKS = "video_analysis_jobs", "video_analysis_chunks"
LANES, FLEET = "queue_lanes", "fleet"
OTHERS = {"fleet_samples", "workers", "remote_workers", "metrics_turns", "sweeps"}
TABLES = (RequestInFlight, Tenant, ApiKey, ApiSession, Upload, UploadPart, WebhookMessage, WebhookSecret)
OTHERS |= {each.__tablename__ for each in TABLES}


def rows(database: Database, query: str, **params: object) -> list[Any]:
    with database.transaction() as connection:
        return list(connection.execute(text(query), params))


def tables(database: Database) -> set[str]:
    return {row[0] for row in rows(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def differences(database: Database) -> list[Any]:
    with database.transaction() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))


def start_alembic(url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=PROJECT,
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_upgrade_from_an_empty_database_makes_what_the_models_say(empty: Database) -> None:
    upgrade(empty)
    assert tables(empty) == {JOBS, CHUNKS, LANES, FLEET, "alembic_version"} | OTHERS
    assert differences(empty) == []


def test_alembic_command_without_a_database_says_which_variable_to_set() -> None:
    command = start_alembic("", "upgrade", "head")
    output, _ = command.communicate(timeout=60)
    assert command.returncode != 0
    assert "DATABASE_URL" in output
    assert "Traceback" not in output


def test_upgrade_twice_changes_nothing_and_keeps_the_rows(empty: Database) -> None:
    upgrade(empty)
    rows(empty, f"INSERT INTO {JOBS} (id, kind, input_uri, input_name)"
                " VALUES (gen_random_uuid(), 'crop', 'file:///a', 'a') RETURNING id")  # fmt: skip
    upgrade(empty)
    assert differences(empty) == []
    assert rows(empty, f"SELECT count(*) FROM {JOBS}") == [(1,)]


def test_downgrade_to_base_leaves_nothing(empty: Database) -> None:
    upgrade(empty)
    downgrade(empty)
    assert tables(empty) <= {"alembic_version"}
    left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic%'"
    assert rows(empty, left) == []
    assert rows(empty, "SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace "
                       "AND typname NOT LIKE '%alembic%'") == []  # fmt: skip
    upgrade(empty)
    assert differences(empty) == []


def test_threads_that_upgrade_at_once_all_succeed(empty: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(upgrade, empty) for _ in range(4)]:
            done.result(timeout=60)
    assert differences(empty) == []


def start_upgrade(url: str) -> subprocess.Popen[str]:
    script = "import sys; from backend.db.engine import Database; from backend.db.migrate import upgrade; "
    script += "upgrade(Database(sys.argv[1]))"
    command = [sys.executable, "-c", script, url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=PROJECT)


def test_commands_and_processes_that_upgrade_at_once_all_succeed(empty: Database, empty_url: str) -> None:
    processes = [start_alembic(empty_url, "upgrade", "head") for _ in range(2)]
    processes += [start_upgrade(empty_url) for _ in range(2)]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    assert differences(empty) == []


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        (JOBS, "status", JobStatus),
        (JOBS, "stage", Stage),
        (JOBS, "deep_mode", DeepMode),
        (LANES, "deep_mode", DeepMode),
    ],
)
def test_check_constraint_holds_exactly_the_states(database: Database, table: str, column: str, values: Any) -> None:
    query = """SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint
               WHERE conrelid = CAST(:table AS regclass) AND contype = 'c' AND conname = :name AND convalidated"""
    ((expression,),) = rows(database, query, table=table, name=f"{column}_known")
    assert expression.split("'")[1::2] == [value.value for value in values]


def test_domain_of_a_chunks_status_holds_exactly_the_states(database: Database) -> None:
    query = """SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_attribute a ON a.atttypid = c.contypid
               WHERE a.attrelid = CAST(:table AS regclass) AND a.attname = 'status' AND c.convalidated"""
    ((definition,),) = rows(database, query, table=CHUNKS)
    assert definition.split("'")[1::2] == [value.value for value in ChunkStatus]


def test_chunks_have_no_checks_which_every_claim_and_finish_would_plan(database: Database) -> None:
    query = "SELECT conname FROM pg_constraint WHERE conrelid = CAST(:table AS regclass) AND contype = 'c'"
    assert rows(database, query, table=CHUNKS) == []


def test_a_chunk_with_an_unknown_state_is_refused(database: Database) -> None:
    job_id = planned_job(database, 1)
    with pytest.raises(IntegrityError, match="status_known"):
        rows(database, f"UPDATE {CHUNKS} SET status = 'finished' WHERE job_id = :job_id", job_id=job_id)


def test_a_row_with_an_unknown_state_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError, match="status_known"):
        rows(database, f"INSERT INTO {JOBS} (id, kind, status, input_uri, input_name)"
                       " VALUES (gen_random_uuid(), 'crop', 'finished', 'a', 'a')")  # fmt: skip


def test_a_chunk_is_in_a_lane_and_so_of_a_known_mode(database: Database) -> None:
    job_id = planned_job(database, 1)
    with pytest.raises(IntegrityError, match="deep_mode_tenant_fkey"):
        rows(database, f"UPDATE {CHUNKS} SET deep_mode = 'abacus' WHERE job_id = :job_id", job_id=job_id)


@pytest.mark.parametrize(
    ("table", "name", "words"),
    [
        (JOBS, "completed_within_total", ["completed_chunks <= total_chunks"]),
        (JOBS, "uq_jobs_idempotency", ["UNIQUE", "tenant, idempotency_key"]),
        (CHUNKS, "uq_chunks_position", ["UNIQUE", "job_id, phase, chunk_index"]),
        (CHUNKS, "video_analysis_chunks_job_id_fkey", ["REFERENCES video_analysis_jobs(id)", "ON DELETE CASCADE"]),
    ],
)
def test_constraint_exists_in_the_catalogue(database: Database, table: str, name: str, words: list[str]) -> None:
    query = """SELECT pg_get_constraintdef(oid) FROM pg_constraint
               WHERE conrelid = CAST(:table AS regclass) AND conname = :name"""
    ((definition,),) = rows(database, query, table=table, name=name)
    assert all(word in definition for word in words), definition


@pytest.mark.parametrize(
    ("name", "columns", "predicate"),
    [
        ("ix_chunks_claim", "(deep_mode, tenant, claim_rank, id)",
         "(((status)::text = 'queued'::text) AND (NOT on_hold))"),
        ("ix_chunks_processing", "(deep_mode, tenant)", "((status)::text = 'processing'::text)"),
        ("ix_chunks_unfinished", "(job_id, chunk_index)", "((status)::text <> 'completed'::text)"),
        ("ix_jobs_live", "(tenant, deep_mode)", "(status = ANY (ARRAY['queued'::text, 'processing'::text]))"),
        ("ix_jobs_over", "(completed_at)",
         "(status = ANY (ARRAY['done'::text, 'failed'::text, 'cancelled'::text]))"),
        ("ix_jobs_waiting", "(priority DESC, created_at)",
         "(status = ANY (ARRAY['queued'::text, 'aggregating'::text]))"),
        ("ix_jobs_newest", "(created_at DESC, id DESC)", None),
    ],
)  # fmt: skip
def test_index_exists_with_its_order_and_predicate(
    database: Database, name: str, columns: str, predicate: str | None
) -> None:
    query = """SELECT pg_get_indexdef(indexrelid), pg_get_expr(indpred, indrelid) FROM pg_index
               WHERE indexrelid = CAST(:name AS regclass) AND indisvalid"""
    ((definition, found),) = rows(database, query, name=name)
    assert columns in definition
    assert found == predicate


@pytest.mark.parametrize("table", [JOBS, CHUNKS])
def test_queue_tables_leave_room_for_updates_in_place(database: Database, table: str) -> None:
    ((options,),) = rows(database, "SELECT reloptions FROM pg_class WHERE oid = CAST(:table AS regclass)", table=table)
    assert set(options) == {
        "fillfactor=70",
        "autovacuum_vacuum_scale_factor=0.02",
        "autovacuum_vacuum_threshold=200",
    }


def test_nothing_that_a_chunk_heartbeat_changes_is_indexed(database: Database) -> None:
    query = """SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
               AND a.attnum = ANY (i.indkey) WHERE i.indrelid = CAST(:table AS regclass)"""
    indexed = {row[0] for row in rows(database, query, table=CHUNKS)}
    assert indexed.isdisjoint({"lease_expires_at", "progress", "claimed_by", "last_event"})


LIVE_JOBS = f"""
INSERT INTO {JOBS} (id, tenant, deep_mode, kind, status, input_uri, input_name, total_chunks, source_etag, source_size,
                    probe, priority)
SELECT gen_random_uuid(), tenant, mode, 'crop', status, 'file:///a', name, 3, 'etag', 1, CAST(:probe AS jsonb), priority
FROM (VALUES ('a', 'gpu', 'processing', 'old', 0), ('b', 'gpu', 'queued', 'new', 0),
             ('b', 'gpu', 'queued', 'urgent', 3), ('c', 'cpu', 'queued', 'cpu', 0), ('c', 'gpu', 'done', 'done', 0))
     AS j (tenant, mode, status, name, priority)
"""
LIVE_CHUNKS = f"""
INSERT INTO {CHUNKS} (job_id, chunk_index, priority, start_sec, end_sec, start_pts, end_pts, status)
SELECT id, n, priority, n, n + 1, n, n + 1, CASE WHEN status = 'done' OR input_name = 'old' AND n = 0 THEN 'completed'
       ELSE 'queued' END
FROM {JOBS}, generate_series(0, 2) n ORDER BY input_name DESC, n
"""


def test_live_rows_are_claimed_in_their_old_order_after_the_upgrade_and_survive_a_downgrade(
    empty: Database, settings: Settings
) -> None:
    upgrade(empty, "0001")
    rows(empty, LIVE_JOBS + " RETURNING 1", probe=FACTS.model_dump_json())
    rows(empty, LIVE_CHUNKS + " RETURNING 1")
    before = rows(empty, f"SELECT count(*), sum(id) FROM {CHUNKS}")
    upgrade(empty)
    assert differences(empty) == []
    queue = Queue(empty, settings)
    names = {row[0]: row[1] for row in rows(empty, f"SELECT id, input_name FROM {JOBS}")}
    claimed = []
    while (claim := queue.claim_chunk(DeepMode.GPU)) is not None:
        claimed.append((names[claim.job_id], claim.chunk_index))
    assert claimed == [
        ("urgent", 0), ("urgent", 1), ("urgent", 2), ("new", 0), ("old", 1), ("new", 1), ("old", 2), ("new", 2),
    ]  # fmt: skip
    cpu = queue.claim_chunk(DeepMode.CPU)
    assert cpu is not None and names[cpu.job_id] == "cpu"
    downgrade(empty, "0001")
    assert rows(empty, f"SELECT count(*), sum(id) FROM {CHUNKS}") == before
    upgrade(empty)
    assert differences(empty) == []

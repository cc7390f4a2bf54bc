"""What the page asks again and again, of a database with many jobs: `python -m benchmarks.lists [--jobs 1000]`.

Jobs in every state with ten chunks each and fifty workers, at last one of 10,000 chunks; embedded PostgreSQL, no server
between. Of each question through Flask's test client: the median of --rounds, the least, and the least that its
statements took, for machines that do other work beside. Asserts nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from rich.console import Console
from sqlalchemy import text

from backend.api.app import create_app
from backend.db.embedded import EmbeddedPostgres
from backend.db.engine import Database
from backend.db.migrate import upgrade
from backend.jobs.progress import shown_job
from backend.settings import Settings
from backend.versions import SCHEMA_VERSION

LONG_JOB_CHUNKS = 10_000
WORKERS = 50
# A fifth of them is under way.
JOBS = """
INSERT INTO video_analysis_jobs (id, kind, status, stage, input_uri, input_name, total_chunks, duration_seconds,
    schema_version, created_at, completed_at)
SELECT gen_random_uuid(), 'crop', s, CASE s WHEN 'done' THEN 'DONE' ELSE 'PROCESSING' END, 'https://h/' || n || '.mp4',
    'film ' || n || '.mp4', 10, 300, :version, now() - make_interval(mins => n),
    CASE WHEN s IN ('done', 'failed', 'cancelled') THEN now() - make_interval(mins => n) END
FROM generate_series(1, :jobs) n,
    LATERAL (SELECT (ARRAY['done', 'done', 'failed', 'cancelled', 'processing'])[1 + n % 5]) s(s)
"""
CHUNKS = """
INSERT INTO video_analysis_chunks (job_id, chunk_index, start_sec, end_sec, start_pts, end_pts, status, attempts,
    progress, runtime_ms, started_at, completed_at, lease_expires_at, claimed_by, error_code)
SELECT j.id, i, 30 * i, 30 * i + 30, 0, 1, s, 1, CASE s WHEN 'completed' THEN 1 WHEN 'processing' THEN 0.4 ELSE 0 END,
    9000, now() - interval '9 s', CASE s WHEN 'completed' THEN now() END,
    CASE s WHEN 'processing' THEN now() + interval '1 h' END, 'w' || i, CASE s WHEN 'failed' THEN 'decode_failed' END
FROM video_analysis_jobs j, generate_series(0, 9) i, LATERAL (SELECT CASE
    WHEN j.status = 'failed' AND i = 9 THEN 'failed'
    WHEN j.status = 'processing' AND i = 5 THEN 'processing'
    WHEN j.status = 'processing' AND i > 5 THEN 'queued' ELSE 'completed' END) s(s)
"""
CREW = """
INSERT INTO workers (worker_id, kind, schema_version, machine, device)
SELECT 'w' || n, CASE WHEN n % 5 = 0 THEN 'analysis_worker' ELSE 'gpu_chunk_worker' END, :version, 'host', 'CPU'
FROM generate_series(1, :workers) n
"""
LONG_JOB = """
INSERT INTO video_analysis_jobs (id, kind, status, stage, input_uri, input_name, total_chunks, duration_seconds,
    schema_version)
VALUES (:id, 'crop', 'processing', 'PROCESSING', 'https://h/l.mp4', 'long.mp4', :chunks, 300000, :version)
"""
LONG_JOBS_CHUNKS = """
INSERT INTO video_analysis_chunks (job_id, chunk_index, start_sec, end_sec, start_pts, end_pts)
SELECT :id, i, 30 * i, 30 * i + 30, 0, 1 FROM generate_series(0, :chunks - 1) i
"""
SAMPLES = """
INSERT INTO fleet_samples SELECT now() - make_interval(mins => n), n % 50, 5, 5, 9 FROM generate_series(1, 2880) n
"""
QUESTIONS = {
    "list, 50 jobs": "/api/v1/jobs?limit=50",
    "list, 50 under way": "/api/v1/jobs?limit=50&status=processing",
    "counts": "/api/v1/jobs/counts",
    "counts, found by name": "/api/v1/jobs/counts?q=film%207",
    "status": "/api/v1/status",
    "workers": "/api/v1/workers",
    "fleet's queue, 24 h": "/api/v1/fleet/queue",
    "failed chunks": "/api/v1/fleet/failed-chunks",
}


def fill(database: Database, jobs: int) -> None:
    with database.transaction(patience_sec=120) as connection:
        connection.execute(text(JOBS), {"jobs": jobs, "version": SCHEMA_VERSION})
        connection.execute(text(CHUNKS))
        connection.execute(text(CREW), {"workers": WORKERS, "version": SCHEMA_VERSION})
        connection.execute(text(SAMPLES))
    with database.transaction(patience_sec=120) as connection:
        connection.exec_driver_sql("ANALYZE")


def add_long_job(database: Database) -> UUID:
    long_job = uuid4()
    with database.transaction(patience_sec=120) as connection:
        connection.execute(text(LONG_JOB), {"id": long_job, "version": SCHEMA_VERSION, "chunks": LONG_JOB_CHUNKS})
        connection.execute(text(LONG_JOBS_CHUNKS), {"id": long_job, "chunks": LONG_JOB_CHUNKS})
    return long_job


class Watch:
    """How long each statement was at the database, by the driver's clock."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, executes: Callable[..., Any]) -> Callable[..., Any]:
        def execute(*args: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                return executes(*args, **more)
            finally:
                self.seconds += time.perf_counter() - began

        return execute


def taken_ms(act: Callable[[], object], watch: Watch, rounds: int) -> tuple[float, float, float]:
    """Of the whole its median and the least, and the least of what the database took."""
    act(), act(), act()  # statements are prepared the second time
    whole, database = [], []
    for _ in range(rounds):
        watch.seconds = 0
        began = time.perf_counter()
        act()
        whole.append(time.perf_counter() - began)
        database.append(watch.seconds)
    return 1000 * statistics.median(whole), 1000 * min(whole), 1000 * min(database)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="framefleet-bench-") as name, EmbeddedPostgres(Path(name) / "db") as server:
        database = Database(server.url)
        upgrade(database)
        fill(database, options.jobs)
        folder = Path(name)
        given = {"database_url": server.url, "storage_url": (folder / "o").as_uri(), "data_dir": folder / "data"}
        app = create_app(Settings.model_validate(given))
        client = app.test_client()
        watch = Watch()
        psycopg.Cursor.execute = watch.wrap(psycopg.Cursor.execute)  # type: ignore[method-assign]
        console.print(f"{'':24} {'median':>7} {'least':>7} {'at the database':>16}")

        def tell(what: str, act: Callable[[], object]) -> None:
            median, least, at_database = taken_ms(act, watch, options.rounds)
            console.print(f"{what:24} {median:7.1f} {least:7.1f} {at_database:16.1f} ms")

        for what, path in QUESTIONS.items():
            tell(what, partial(client.get, path))
        tell("one job of 10,000 chunks", partial(shown_job, database, add_long_job(database)))
        app.extensions["framefleet"].planners.shutdown()
        app.extensions["framefleet"].database.close()
        database.close()


if __name__ == "__main__":
    main()

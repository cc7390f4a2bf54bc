"""What row-level security costs a request: `python -m benchmarks.tenants`.

One job is asked for again and again through the application, without HTTP, by turns as its tenant and as the fleet, as
it was before requests had tenants; then a page of jobs of a tenant that has few among many.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self
from uuid import UUID

from flask import Flask
from sqlalchemy import text

from backend.api.app import create_app
from backend.api.context import Context
from backend.db.embedded import EmbeddedPostgres
from backend.db.engine import Database
from backend.db.migrate import upgrade
from backend.jobs.service import JobService, NewJob
from backend.settings import Settings

ROUNDS, PER_ROUND = 10, 100
OTHERS = 100_000


class Undivided(Database):
    """As before: everybody is the fleet."""

    def as_tenant(self, tenant: str) -> Self:
        return self


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="framefleet-bench-") as name, EmbeddedPostgres(Path(name)) as server:
        database = Database(server.url)
        upgrade(database)
        job = JobService(database).create(NewJob("crop", "https://films.example/a.mp4", "a.mp4"))
        settings = Settings.model_validate({"database_url": server.url, "data_dir": Path(name) / "data"})
        app = create_app(settings)
        context: Context = app.extensions["framefleet"]
        ways = {"as the fleet": Undivided(server.url), "as its tenant": context.database}
        compare(app, context, ways, f"/api/v1/jobs/{job.id}")
        fill(database, job.id)
        compare(app, context, {"its tenant's, of 100,000": context.database}, "/api/v1/jobs?limit=20")


def compare(app: Flask, context: Context, ways: dict[str, Database], path: str) -> None:
    """The median and the 99th percentile of each, in ms, in alternating bouts."""
    client = app.test_client()

    def ask() -> None:
        assert client.get(path).status_code == 200

    taken: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(ROUNDS + 1):
        for way, database in ways.items():
            context.database = database
            bout = [timed(ask) for _ in range(PER_ROUND)]
            taken[way] += bout if round_ else []  # the first one warms up
    for way, times in taken.items():
        print(f"{path.partition('?')[0][:13]:14}{way:26}p50 {statistics.median(times):6.2f} ms"
              f"   p99 {statistics.quantiles(times, n=100)[98]:6.2f} ms")  # fmt: skip


def timed(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def fill(database: Database, like: UUID) -> None:
    """Jobs of another tenant, all newer than the one."""
    copies = """INSERT INTO video_analysis_jobs (id, tenant, kind, input_uri, input_name, status, stage, completed_at)
                SELECT gen_random_uuid(), 'other', kind, input_uri, input_name, 'done', 'DONE', now()
                FROM video_analysis_jobs, generate_series(1, :others) WHERE id = :like"""
    with database.transaction(patience_sec=600) as connection:
        connection.execute(text(copies), {"others": OTHERS, "like": like})
        connection.execute(text("ANALYZE video_analysis_jobs"))


if __name__ == "__main__":
    main()

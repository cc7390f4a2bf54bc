"""Whoever waits for a job in a terminal reads why nothing moves."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from backend.db.engine import Database
from backend.local.run import follow
from tests.integration.queue.helpers import planned_job, sql


class Enough(Exception):
    pass


def test_what_the_workers_suffer_from_is_said_once(database: Database) -> None:
    job_id = planned_job(database, 1)
    sql(database, "INSERT INTO workers (worker_id, kind, trouble) VALUES ('w', 'any', 'The disk is full.')")
    sql(database, "INSERT INTO workers (worker_id, kind, trouble, seen_at)"
                  " VALUES ('dead', 'gpu_chunk_worker', 'Long ago.', now() - interval '1 hour')")  # fmt: skip
    shown = io.StringIO()
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise Enough

    with pytest.raises(Enough):
        follow(job_id, database, Console(file=shown, width=200), check)
    assert shown.getvalue().count("Waiting: The disk is full.") == 1
    assert "Long ago" not in shown.getvalue()

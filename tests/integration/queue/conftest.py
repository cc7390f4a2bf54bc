"""Two workers' views of one queue. With QUEUE_THROUGH_PGBOUNCER=1 every test of the folder goes through a pooler."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.queue.queue import Queue
from backend.settings import Settings
from tests.integration.queue.pooler import through_pooler

# Races hold several transactions open at once.
TOGETHER = 20


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    if os.environ.get("QUEUE_THROUGH_PGBOUNCER"):
        with through_pooler(database_url, tmp_path, TOGETHER) as pooled:
            yield pooled
        return
    direct = Database(database_url, pool_size=TOGETHER)
    yield direct
    direct.close()


@pytest.fixture
def queue(database: Database, settings: Settings) -> Queue:
    return Queue(database, settings.model_copy(update={"worker_id": "first"}))


@pytest.fixture
def other(database: Database, settings: Settings) -> Queue:
    """The same queue, seen by another worker."""
    return Queue(database, settings.model_copy(update={"worker_id": "second"}))


@pytest.fixture
def service(database: Database) -> JobService:
    return JobService(database)

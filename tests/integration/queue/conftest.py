"""Two workers' views of one queue."""

from __future__ import annotations

import pytest

from backend.db.engine import Database
from backend.jobs.queue import Queue
from backend.jobs.service import JobService
from backend.settings import Settings


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

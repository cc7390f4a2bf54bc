"""Two workers' views of one queue: with a database connection and, where a test is of a chunk worker's verbs, through
the API. With QUEUE_THROUGH_PGBOUNCER=1 every test of the folder goes through a pooler."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from flask import Flask

from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.queue.queue import Queue
from backend.settings import Settings
from tests.integration.queue.pooler import through_pooler
from tests.integration.remote.over_http import RemoteHands, make_app, serve

# Races hold several transactions open at once.
TOGETHER = 20
# Modules whose tests are of what any chunk worker does. Tests that look at the direct one's statements are `direct`.
OF_ANY_WORKER = {"test_claim", "test_lease", "test_failure", "test_going_on"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "via" not in metafunc.fixturenames:
        return
    module = metafunc.module.__name__.rpartition(".")[2]
    is_direct = module not in OF_ANY_WORKER or any(metafunc.definition.iter_markers("direct"))
    # Where one act is asked of several states, the fence is the same; `make test-slow` asks them all.
    again = [pytest.mark.slow] if any(metafunc.definition.iter_markers("fence")) else []
    via = ["database"] if is_direct else ["database", pytest.param("https", marks=again)]
    metafunc.parametrize("via", via, indirect=True)


@pytest.fixture
def via(request: pytest.FixtureRequest) -> str:
    """How the workers of the test reach the queue."""
    return str(request.param)


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    if os.environ.get("QUEUE_THROUGH_PGBOUNCER"):
        with through_pooler(database_url, tmp_path, TOGETHER) as pooled:
            yield pooled
        return
    direct = Database(database_url, pool_size=TOGETHER)
    yield direct
    direct.close()


@pytest.fixture(scope="session")
def app() -> Flask:
    return make_app()


@pytest.fixture
def worker(request: pytest.FixtureRequest, via: str, database: Database, settings: Settings) -> Callable[[str], Queue]:
    """The queue as the worker of that name sees it."""
    if via == "database":
        return lambda name: Queue(database, settings.model_copy(update={"worker_id": name}))
    transport = serve(request.getfixturevalue("app"), database, settings)
    return lambda name: cast(Queue, RemoteHands(transport, database, settings, name))


@pytest.fixture
def queue(worker: Callable[[str], Queue]) -> Queue:
    return worker("first")


@pytest.fixture
def other(worker: Callable[[str], Queue]) -> Queue:
    """The same queue, seen by another worker."""
    return worker("second")


@pytest.fixture
def service(database: Database) -> JobService:
    return JobService(database)

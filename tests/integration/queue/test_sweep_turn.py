"""Every worker tends the queue between two pieces of work; one of them sweeps for all."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from backend.db.engine import Database
from backend.errors import DatabaseUnavailable
from backend.queue.queue import Queue
from backend.settings import Settings
from tests.integration.queue.helpers import chunk_row, claim_of, expire_chunk, planned_job, sql, together


@pytest.fixture
def worker(database: Database, settings: Settings) -> Callable[[str], Queue]:
    return lambda name: Queue(database, settings.model_copy(update={"worker_id": name}))


def swept_by(database: Database) -> str:
    name: str = sql(database, "SELECT swept_by FROM sweeps")[0]["swept_by"]
    return name


def shift_clock(database: Database, interval: str) -> None:
    sql(database, f"UPDATE sweeps SET swept_at = swept_at + interval '{interval}'")


def test_the_first_to_come_sweeps_and_the_others_leave_it_at_that(
    database: Database, worker: Callable[[str], Queue]
) -> None:
    first, second = worker("first"), worker("second")
    planned_job(database, 2)
    lost, also_lost = claim_of(first), claim_of(first)
    expire_chunk(database, lost)
    first.tend()
    assert chunk_row(database, lost)["status"] == "queued"
    expire_chunk(database, also_lost)
    second.tend()
    assert chunk_row(database, also_lost)["status"] == "processing"
    shift_clock(database, "-5 seconds")
    worker("third").tend()
    assert chunk_row(database, also_lost)["status"] == "queued"
    assert swept_by(database) == "third"


def test_one_of_many_that_come_at_once_sweeps(
    database: Database, worker: Callable[[str], Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps: list[Queue] = []
    monkeypatch.setattr(Queue, "rescue_expired", lambda self: sweeps.append(self) or 0)
    for already in (1, 2, 3):
        together(*(worker(f"w{number}").tend for number in range(12)))
        assert len(sweeps) == already
        shift_clock(database, "-1 minute")


def test_a_clock_that_was_set_back_does_not_stop_the_sweeps(database: Database, worker: Callable[[str], Queue]) -> None:
    worker("first").tend()
    shift_clock(database, "1 hour")
    worker("second").tend()
    assert swept_by(database) == "second"


def test_a_worker_alone_sweeps_at_every_turn_of_its_own(
    database: Database, worker: Callable[[str], Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn must not be lost to a clock that runs a little ahead: its own interval is the longer one."""
    alone = worker("alone")
    planned_job(database, 1)
    alone.tend()
    claim = claim_of(alone)
    expire_chunk(database, claim)
    shift_clock(database, f"-{alone._sweep_every_sec * 0.99} seconds")
    alone._sweep_at = 0.0  # as after five seconds
    alone.tend()
    assert chunk_row(database, claim)["status"] == "queued"


def test_a_worker_whose_sweep_fails_leaves_the_next_turns_to_others(
    database: Database, worker: Callable[[str], Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    sick, healthy = worker("sick"), worker("healthy")
    planned_job(database, 1)
    claim = claim_of(healthy)
    expire_chunk(database, claim)
    with monkeypatch.context() as patched, pytest.raises(DatabaseUnavailable):
        patched.setattr(Queue, "rescue_expired", fails)
        sick.tend()
    assert sick._sweep_at - time.monotonic() > 2 * sick._sweep_every_sec
    shift_clock(database, "-5 seconds")
    sick.tend()
    assert chunk_row(database, claim)["status"] == "processing"
    healthy.tend()
    assert chunk_row(database, claim)["status"] == "queued"


def fails(queue: Queue) -> int:
    raise DatabaseUnavailable("gone")

"""A server process that is frozen answers nothing and runs no timer: whoever waits for it gives up by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from backend.db.engine import Database
from backend.db.models import Job
from backend.errors import ClaimLost, DatabaseUnavailable
from backend.jobs.service import JobService
from backend.queue.lease import LeaseKeeper
from backend.queue.queue import Queue
from backend.settings import Settings
from tests.integration.conftest import Workers, wait_until
from tests.integration.frozen import backends_of, frozen
from tests.integration.queue.helpers import chunk_row, claim_of, complete, finish, job_claim_of, job_row, planned_job
from tests.integration.test_workers import submit
from tests.samples import make_sample

# Without its bound each of these would wait until pytest ends it.
pytestmark = pytest.mark.timeout(60)
ANSWER_SEC = 1.0
SLACK_SEC = 3.0  # for a busy machine


@pytest.fixture
def hasty(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_timeout_seconds": ANSWER_SEC, "worker_id": "w1"})


@pytest.fixture
def mine(hasty: Settings) -> Iterator[Database]:
    """As a worker opens it."""
    database = Database.of(hasty, "mine", pool_size=1, burst=0)
    yield database
    database.close()


def ask(database: Database) -> None:
    database.ask("any_queued", deep_mode="gpu", kinds=["crop"], schema_version=1, has=[])


def transact(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("SELECT 1"))


def read(database: Database) -> None:
    with database.session() as session:
        session.execute(select(Job)).all()


@pytest.mark.parametrize("act", [ask, transact, read])
@pytest.mark.parametrize("used_just_now", [True, False])
def test_whoever_asks_a_frozen_server_process_goes_on_with_another(
    mine: Database, database: Database, act: Callable[[Database], None], used_just_now: bool
) -> None:
    act(mine)
    if not used_just_now:  # then the connection is first asked whether it lives
        time.sleep(1.1)
    with frozen(database, "framefleet:mine") as pids:
        began = time.monotonic()
        if used_just_now:
            with pytest.raises(DatabaseUnavailable, match="no answer within 1 s"):
                act(mine)
        act(mine)
        assert time.monotonic() - began < ANSWER_SEC + SLACK_SEC
        assert set(backends_of(database, "framefleet:mine")) - set(pids)


def test_a_statement_that_takes_too_long_is_ended_by_the_server_and_the_connection_stays(mine: Database) -> None:
    with mine.transaction() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with pytest.raises(DatabaseUnavailable, match="statement timeout"), mine.transaction() as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    with mine.transaction() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() == pid


def test_a_transaction_that_may_take_its_time_does_and_the_next_one_may_not(mine: Database) -> None:
    with mine.transaction(patience_sec=30) as connection:
        connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": 1.5 * ANSWER_SEC})
    with pytest.raises(DatabaseUnavailable), mine.transaction() as connection:
        connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": 1.5 * ANSWER_SEC})


def test_work_whose_heartbeat_met_a_frozen_process_keeps_its_claim_and_completes(
    mine: Database, database: Database, hasty: Settings
) -> None:
    queue = Queue(mine, hasty.model_copy(update={"lease_seconds": 6.0}))
    planned_job(database, 1)
    claim = claim_of(queue)
    renewed_at = chunk_row(database, claim)["lease_expires_at"]
    with frozen(database, "framefleet:mine"):
        with LeaseKeeper(lambda progress: queue.heartbeat_chunk(claim, progress), 6.0) as lease:
            lease.progress = 0.5

            def renewed() -> bool:
                lease.check()
                return bool(chunk_row(database, claim)["lease_expires_at"] > renewed_at)

            wait_until(renewed, 60, "a heartbeat over another connection")
        complete(queue, claim)
    row = chunk_row(database, claim)
    assert (row["status"], row["attempts"], row["failures"]) == ("completed", 1, 0)


@pytest.mark.parametrize("what", ["chunk", "film"])
def test_a_finish_that_met_a_frozen_process_is_said_again_over_another_connection(
    mine: Database, database: Database, hasty: Settings, what: str
) -> None:
    queue = Queue(mine, hasty)
    job_id = planned_job(database, 1)
    claim = claim_of(queue)
    if what == "chunk":
        with frozen(database, "framefleet:mine"):
            complete(queue, claim)
        assert chunk_row(database, claim)["status"] == "completed"
        return
    complete(queue, claim)
    film = job_claim_of(queue)
    with frozen(database, "framefleet:mine"):
        finish(queue, film)
    assert job_row(database, job_id)["status"] == "done"
    with pytest.raises(ClaimLost):
        finish(queue, film)


def test_work_does_not_wait_for_a_heartbeat_that_hangs() -> None:
    answer = threading.Event()
    began = time.monotonic()
    with LeaseKeeper(lambda progress: (answer.wait(50), None)[1], 0.3):
        time.sleep(0.3)
    took_sec = time.monotonic() - began
    answer.set()
    assert took_sec < 5 + SLACK_SEC


@pytest.mark.timeout(180)
def test_a_worker_whose_connections_freeze_finishes_the_chunk_in_hand(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_TIMEOUT_SECONDS", "1")
    monkeypatch.setenv("LEASE_SECONDS", "15")
    workers.start_chunk_worker()
    job = submit(database, settings, make_sample(tmp_path / "clip.mp4", seconds=8).as_uri(), sample_fps=25)
    workers.wait_for_work(job)
    with frozen(database, "framefleet:gpu_chunk_worker"):
        wait_until(lambda: JobService(database).get(job.id).status == "aggregating", 90, "the chunk's end")
    (chunk,) = JobService(database).chunks(job.id)
    assert (chunk.status, chunk.attempts, chunk.failures) == ("completed", 1, 0)
    # Those that were frozen find their client gone, and end.
    wait_until(lambda: len(backends_of(database, "framefleet:gpu_chunk_worker")) <= 2, 60, "the end of old connections")

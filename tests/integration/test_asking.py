"""Database.ask: one statement, past SQLAlchemy, on a connection that lives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select, text

from backend.db import engine
from backend.db.engine import Database
from backend.db.models import Job
from backend.errors import DatabaseUnavailable
from backend.settings import Settings
from tests.integration.conftest import wait_until
from tests.integration.frozen import backends_of
from tests.integration.queue.helpers import planned_job, together
from tests.integration.rows import sql


@pytest.fixture
def asked(database_url: str) -> Iterator[Database]:
    database = Database(database_url, pool_size=1)
    yield database
    database.close()


def backend_pid(database: Database) -> int:
    asker = database._asker()
    database._askers.append((asker, 0.0))  # idle for long
    row = asker.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def kill(database: Database, pid: int) -> None:
    sql(database, "SELECT pg_terminate_backend(:pid, 5000)", pid=pid)


def test_a_connection_that_died_while_idle_is_replaced(asked: Database, database: Database) -> None:
    died = backend_pid(asked)
    kill(database, died)
    assert asked.ask("any_queued", deep_mode="gpu", kinds=["crop"], schema_version=1, has=[]) is None
    assert backend_pid(asked) != died


def test_a_connection_that_died_since_its_last_use_is_said_and_not_used_again(
    asked: Database, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PING_AFTER_IDLE_SEC", float("inf"))
    kill(database, backend_pid(asked))
    with pytest.raises(DatabaseUnavailable):
        asked.ask("any_queued", deep_mode="gpu", kinds=["crop"], schema_version=1, has=[])
    assert asked.ask("any_queued", deep_mode="gpu", kinds=["crop"], schema_version=1, has=[]) is None


def test_an_error_of_ours_is_raised_with_its_trace_and_the_connection_stays(asked: Database) -> None:
    pid = backend_pid(asked)
    with pytest.raises(engine.psycopg.ProgrammingError):
        asked.ask("any_queued")  # without its parameter
    assert backend_pid(asked) == pid


def change_a_type(database: Database) -> None:
    """As a migration does under workers that run."""
    with database.transaction() as connection:
        connection.execute(text("ALTER TABLE video_analysis_jobs ALTER COLUMN input_uri TYPE varchar"))


def test_a_statement_whose_columns_were_migrated_is_said_once_and_prepared_anew(
    asked: Database, database: Database
) -> None:
    job_id = planned_job(database, 1)
    for _ in range(2 * engine.PREPARE_AFTER):
        asked.ask("job_of_chunks", job_id=job_id)
    change_a_type(database)
    with pytest.raises(DatabaseUnavailable, match="migrated"):
        asked.ask("job_of_chunks", job_id=job_id)
    row = asked.ask("job_of_chunks", job_id=job_id)
    assert row is not None and row["input_uri"]


def test_a_query_whose_columns_were_migrated_is_said_once_and_prepared_anew(
    asked: Database, database: Database
) -> None:
    job_id = planned_job(database, 1)

    def input_uri() -> str | None:
        with asked.session() as session:
            return session.scalar(select(Job.input_uri).where(Job.id == job_id))

    for _ in range(2 * engine.PREPARE_AFTER):
        input_uri()
    change_a_type(database)
    with pytest.raises(DatabaseUnavailable, match="migrated"):
        input_uri()
    assert input_uri()


def test_threads_that_ask_at_once_share_the_connections_that_there_may_be(
    database_url: str, database: Database, settings: Settings
) -> None:
    job_id = planned_job(database, 1)
    crowd = Database.of(settings, "crowd", pool_size=2, burst=0)

    def ask() -> None:
        for _ in range(20):
            row = crowd.ask("job_of_chunks", job_id=job_id)
            assert row is not None and row["kind"] == "crop"
            with crowd.transaction() as connection:
                assert connection.execute(text("SELECT 1")).scalar_one() == 1

    together(*[ask] * 8)
    assert 1 <= len(backends_of(database, "framefleet:crowd")) <= 2 + 2
    crowd.close()
    wait_until(lambda: not backends_of(database, "framefleet:crowd"), 60, "the end of its connections")


def test_who_finds_every_connection_in_use_is_told_so_in_bounded_time(database_url: str) -> None:
    busy = Database(database_url, pool_size=1, burst=0, answer_sec=0.3)
    asker = busy._asker()
    with pytest.raises(DatabaseUnavailable, match="were in use"):
        busy.ask("any_queued", deep_mode="gpu", kinds=["crop"], schema_version=1, has=[])
    with busy.transaction(), pytest.raises(DatabaseUnavailable, match="were in use"), busy.transaction():
        pass
    busy._give_back(asker)
    assert busy.ask("any_queued", deep_mode="gpu", kinds=["crop"], schema_version=1, has=[]) is None
    busy.close()

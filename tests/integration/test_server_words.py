"""What goes wrong with the database is said in the server's own words, with what to do, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from backend.api.app import create_app
from backend.db.driver import application_name
from backend.db.embedded import POSTGRES_BIN_PATH
from backend.db.engine import Database
from backend.db.migrate import downgrade, upgrade
from backend.errors import DatabaseUnavailable
from backend.jobs.service import JobService
from backend.local.doctor import examine
from backend.settings import Settings
from tests.integration.rows import sql
from tests.servers import PASSWORD, started_server

CONNECTIONS = 6  # of which 3 are the superuser's


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with started_server(POSTGRES_BIN_PATH, max_connections=str(CONNECTIONS)) as url:
        yield url


def complaint(url: str) -> str:
    database = Database(url, pool_size=1, burst=0, answer_sec=5)
    with pytest.raises(DatabaseUnavailable) as caught:
        database.ask("any_queued", deep_mode="gpu", kinds=["crop"], schema_version=1)
    with pytest.raises(DatabaseUnavailable) as again:
        JobService(database).list()
    database.close()
    assert again.value.message == caught.value.message
    return caught.value.message


def test_a_wrong_password_a_full_server_and_one_that_is_down_read_differently(server: str) -> None:
    wrong = complaint(server.replace(PASSWORD, "h%40lf:wr0ng"))
    assert "password authentication failed" in wrong and "Check user and password" in wrong
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(psycopg.connect(server))
        full = complaint(server)
    assert "too many clients" in full and "max_connections" in full
    down = complaint("postgresql://framefleet:s3cr3t@127.0.0.1:1/postgres")
    assert "refused" in down and "Is the server up" in down
    missing = complaint(server.replace("/postgres?", "/nowhere?"))
    assert 'database "nowhere" does not exist' in missing
    for message in (wrong, full, down, missing):
        assert PASSWORD not in message and "wr0ng" not in message and len(message) < 600


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://framefleet:p@ss@host/films",
        "postgresql://framefleet:ss@host:p0rt/films",
        "mysql://framefleet:ss@host/films",
        "ss",
    ],
)
def test_an_address_that_cannot_be_one_is_said_without_a_piece_of_its_password(url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="must be like postgresql://user:password@host") as malformed:
        Database(url)
    assert "ss@host" not in malformed.value.message


@pytest.mark.parametrize("password", ["pa:ss", "pa/ss", "pa%40ss"])
def test_a_password_is_never_said_however_it_is_written(password: str) -> None:
    message = complaint(f"postgresql://framefleet:{password}@no.such.host.invalid/films?sslpassword=hush")
    assert "no.such.host.invalid" in message and "Check the host" in message
    assert "pa" not in message.replace("password", "") and "hush" not in message


def test_connections_say_whose_they_are(settings: Settings, database: Database) -> None:
    named = settings.model_copy(update={"worker_id": "röntgen-" + "x" * 80 + "-17-a1b2c3"})
    worker = Database.of(named, "gpu_chunk_worker", pool_size=1, burst=0)
    worker.ask("any_queued", deep_mode="gpu", kinds=["crop"], schema_version=1, has=[])
    with worker.transaction():
        rows = sql(database, "SELECT application_name AS a FROM pg_stat_activity WHERE application_name ~ 'gpu_chunk'")
    worker.close()
    assert rows
    for row in rows:
        assert row["a"].startswith("framefleet:gpu_chunk_worker:") and row["a"].endswith("-17-a1b2c3")
        assert len(row["a"].encode()) <= 63
    assert application_name("api", "röntgen") == "framefleet:api:r?ntgen"


def findings(settings: Settings) -> tuple[bool, str]:
    found = next(finding for finding in examine(settings) if finding.name == "database")
    return found.ok, found.says


def test_a_database_without_tables_or_with_old_ones_is_not_ready(settings: Settings, database: Database) -> None:
    client = create_app(settings).test_client()
    assert client.get("/ready").status_code == 200
    assert findings(settings)[0]
    for revision in ("0006", "base"):
        downgrade(database, revision)
        answer = client.get("/ready")
        assert answer.status_code == 503
        assert "alembic upgrade head" in json.loads(answer.data)["detail"]
        ok, says = findings(settings)
        assert not ok and "alembic upgrade head" in says
    upgrade(database)
    assert client.get("/ready").status_code == 200
    sql(database, "UPDATE alembic_version SET version_num = 'newer'")
    assert client.get("/ready").status_code == 200, "a migration goes before the images of its version"


def test_the_doctor_makes_no_tables_in_a_database_that_has_none(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    sql(database, "DROP SCHEMA public CASCADE")
    sql(database, "CREATE SCHEMA public")
    ok, says = findings(settings)
    assert (ok, says) == (False, "The database has no tables yet: run `alembic upgrade head`.")
    assert sql(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []

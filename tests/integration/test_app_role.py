"""The role that services log in as, on a real server: it reads and writes rows, and changes no table."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from backend.db.app_role import provide_app_role
from backend.db.embedded import POSTGRES_BIN_PATH
from backend.db.engine import Database
from backend.errors import DatabaseUnavailable
from deploy.ecs.sources import read
from tests.servers import PASSWORD as OWNERS
from tests.servers import started_server

PASSWORD = "f00d" * 12


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A name of its own: roles are the server's, not a database's."""
    name = f"app_{os.urandom(4).hex()}"
    yield name
    with database.transaction() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        if driver.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone():
            driver.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(name)))
            driver.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(name)))


def app_url(database_url: str, role: str, password: str = PASSWORD) -> str:
    url = make_url(database_url).set(drivername="postgresql", username=role, password=password)
    return url.render_as_string(hide_password=False)


def as_role(database_url: str, role: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database_url) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        answer = connection.execute(statement)
        return answer.fetchall() if answer.description else []


def test_it_reads_and_writes_rows(database: Database, database_url: str, role: str) -> None:
    assert provide_app_role(database, app_url(database_url, role))
    as_role(database_url, role, "INSERT INTO queue_lanes (deep_mode, tenant) SELECT 'gpu', 't' WHERE false")
    as_role(database_url, role, "SELECT count(*) FROM video_analysis_jobs")
    as_role(database_url, role, "UPDATE video_analysis_chunks SET status = status")
    as_role(database_url, role, "DELETE FROM video_analysis_chunks")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE video_analysis_jobs",
        "ALTER TABLE video_analysis_jobs ADD COLUMN x int",
        "CREATE TABLE more (x int)",
        "UPDATE alembic_version SET version_num = 'x'",
        "CREATE ROLE another",
    ],
)
def test_it_changes_no_table_and_makes_nothing(
    database: Database, database_url: str, role: str, statement: str
) -> None:
    provide_app_role(database, app_url(database_url, role))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(database_url, role, statement)


def test_it_opens_what_a_later_migration_adds(database: Database, database_url: str, role: str) -> None:
    provide_app_role(database, app_url(database_url, role))
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE added_later (id serial PRIMARY KEY)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(database_url, role, "INSERT INTO added_later DEFAULT VALUES")
    provide_app_role(database, app_url(database_url, role))
    as_role(database_url, role, "INSERT INTO added_later DEFAULT VALUES")


def test_the_server_keeps_a_verifier_of_the_newest_password(database: Database, database_url: str, role: str) -> None:
    for password in ("first" * 9, PASSWORD):
        provide_app_role(database, app_url(database_url, role, password))
        with psycopg.connect(database_url) as connection:
            found = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (role,)).fetchone()
        assert found is not None and password not in found[0]
        assert opens(found[0], password) and not opens(found[0], "another")


def opens(verifier: str, password: str) -> bool:
    """As the server looks at a password (RFC 5803)."""
    method, rounds_and_salt, keys = verifier.split("$")
    rounds, salt = rounds_and_salt.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return method == "SCRAM-SHA-256" and base64.b64encode(stored).decode() == keys.split(":")[0]


@pytest.mark.parametrize("bad", ["postgresql://nobody@host/db", "postgresql://host/db", "rubbish s3cr3t"])
def test_a_url_without_user_or_password_is_refused_and_not_repeated(database: Database, bad: str) -> None:
    with pytest.raises(DatabaseUnavailable) as refused:
        provide_app_role(database, bad)
    assert "APP_DATABASE_URL must be like" in str(refused.value) and "s3cr3t" not in str(refused.value)


def test_the_owner_is_no_role_for_services(database: Database, database_url: str) -> None:
    owner = make_url(database_url).username or ""
    with pytest.raises(DatabaseUnavailable, match="take another role"):
        provide_app_role(database, app_url(database_url, owner))


def test_the_command_needs_both_urls_and_ends_with_0(database: Database, database_url: str, role: str) -> None:
    def command(**more: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DATABASE_URL": database_url, **more}
        return subprocess.run(
            [sys.executable, "-m", "backend.db.app_role"], env=environment, capture_output=True, text=True
        )

    without = command()
    assert without.returncode == 1 and "APP_DATABASE_URL" in without.stderr
    done = command(APP_DATABASE_URL=app_url(database_url, role))
    assert (done.returncode, done.stderr) == (0, "The services' role is ready.\n")


@pytest.mark.slow
def test_the_migration_task_prepares_a_database_in_which_a_film_is_made(tmp_path: Path) -> None:
    """The containers of task_definitions/migrate.json, one after the other, as the owner whose password is not in the
    URL; then a whole job by workers that know the services' URL alone."""
    containers = read("task_definitions/migrate.json")["containerDefinitions"]
    assert containers[1]["dependsOn"] == [{"containerName": containers[0]["name"], "condition": "SUCCESS"}]
    with started_server(POSTGRES_BIN_PATH) as url:
        parts = make_url(url)
        place = f"{parts.host}:{parts.port}/{parts.database}?sslmode=disable"
        services = f"postgresql://services:{PASSWORD}@{place}"
        given = {
            "DATABASE_URL": f"postgresql://{parts.username}@{place}",
            "PGPASSWORD": OWNERS,
            "APP_DATABASE_URL": services,
        }
        for container in containers:
            names = {entry["name"] for entry in [*container["environment"], *container["secrets"]]}
            done = run(container["command"], {name: value for name, value in given.items() if name in names})
            assert done.returncode == 0, done.stderr
        film = run(
            [
                "python",
                "-m",
                "backend",
                "run",
                "crop",
                "deploy/smoke.mp4",
                "--workers",
                "1",
                "--data-dir",
                str(tmp_path),
            ],
            {"DATABASE_URL": services, "STORAGE_URL": (tmp_path / "objects").as_uri(), "DETECTOR": "hog"},
        )
        assert film.returncode == 0, film.stderr
        assert (list((tmp_path / "results").glob("*/smoke_cropped.mp4"))) != []


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = (
        [sys.executable, "-m", "alembic", *command[1:]] if command[0] == "alembic" else [sys.executable, *command[1:]]
    )
    return subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True)

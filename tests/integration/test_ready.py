"""/ready: a process that cannot serve says which of its surroundings is wrong; /health is about the process alone."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.settings import Settings
from tests.conftest import empty_database

Make = Callable[..., FlaskClient]


@pytest.fixture(scope="module")
def url(postgres: str) -> Iterator[str]:
    with empty_database(postgres) as url:
        yield url


@pytest.fixture
def client_with(url: str, s3_server: str, tmp_path: Path) -> Iterator[Make]:
    apps = []
    given = {
        "database_url": url,
        "database_timeout_seconds": 2,
        "storage_url": (tmp_path / "objects").as_uri(),
        "data_dir": tmp_path,
        "s3_endpoint_url": s3_server,
        "s3_region": "us-east-1",
        "s3_access_key_id": "testing-key",
        "s3_secret_access_key": "testing-secret",
    }

    def make(**changes: Any) -> FlaskClient:
        app = create_app(Settings.model_validate(given | changes))
        apps.append(app)
        return app.test_client()

    yield make
    for app in apps:
        app.extensions["framefleet"].planners.shutdown()
        app.extensions["framefleet"].database.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refused(client: FlaskClient, code: str) -> str:
    answer = client.get("/ready")
    assert (answer.status_code, answer.get_json()["code"]) == (503, code)
    assert answer.mimetype == "application/problem+json" and answer.get_json()["retryable"] is True
    assert client.get("/health").get_json() == {"ok": True}
    return str(answer.get_json()["detail"])


def test_it_is_ready_when_all_is_there(client_with: Make) -> None:
    answer = client_with().get("/ready")
    assert (answer.status_code, answer.get_json()) == (200, {"ok": True})


def test_a_bucket_that_is_not_there_is_named(client_with: Make) -> None:
    assert "never-made" in refused(client_with(storage_url="s3://never-made/fleet"), "storage_error")


def test_a_store_that_does_not_answer_is_named(client_with: Make) -> None:
    away = {"storage_url": "s3://some-bucket", "s3_endpoint_url": f"http://127.0.0.1:{closed_port()}"}
    assert "S3_ENDPOINT_URL" in refused(client_with(**away), "storage_error")


def test_a_database_that_does_not_answer_is_named(client_with: Make) -> None:
    away = f"postgresql://somebody:s3cr3t@127.0.0.1:{closed_port()}/postgres"
    words = refused(client_with(database_url=away), "database_unavailable")
    assert "database" in words and "s3cr3t" not in words


def test_a_database_of_an_older_version_is_told_apart(postgres: str, client_with: Make) -> None:
    import psycopg

    with empty_database(postgres) as older:
        with psycopg.connect(older, autocommit=True) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0014'")
        client = client_with(database_url=older)
        assert "alembic upgrade head" in refused(client, "database_unavailable")
        client.application.extensions["framefleet"].database.close()

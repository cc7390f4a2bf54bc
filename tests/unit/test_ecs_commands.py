"""The steps between Terraform and a running fleet: the database's secret, and the first migration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from moto.server import ThreadedMotoServer
from sqlalchemy import make_url

from deploy.ecs import database_url, migrate
from tests.fake_ecs import Ecs, ecs_on_loopback

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def secrets(aws: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return boto3.client("secretsmanager", region_name=REGION)


@pytest.fixture
def outputs(secrets: Any, tmp_path: Path) -> Path:
    """As `terraform output -json` prints them."""
    arn = secrets.create_secret(Name=f"framefleet/{tmp_path.name}/database-url")["ARN"]
    found = {"region": REGION, "database_url_secret_arn": arn, "database_host": "db.internal", "database_name": "films"}
    path = tmp_path / "outputs.json"
    path.write_text(
        json.dumps({name: {"sensitive": False, "type": "string", "value": value} for name, value in found.items()})
    )
    return path


def provide(outputs: Path, *more: str) -> Result:
    return CliRunner().invoke(database_url.main, ["--outputs", str(outputs), *more])


def value(secrets: Any, outputs: Path) -> str:
    arn = json.loads(outputs.read_text())["database_url_secret_arn"]["value"]
    return str(secrets.get_secret_value(SecretId=arn)["SecretString"])


def test_the_secret_gets_a_url_that_works_with_a_password_that_nobody_saw(secrets: Any, outputs: Path) -> None:
    answer = provide(outputs)
    assert answer.exit_code == 0, answer.output
    url = make_url(value(secrets, outputs))
    assert (url.username, url.host, url.port, url.database) == ("framefleet", "db.internal", 5432, "films")
    assert url.query == {"sslmode": "require"}
    assert len(str(url.password)) == 48
    assert str(url.password) not in answer.output


def test_a_value_stays_unless_another_is_asked_for(secrets: Any, outputs: Path) -> None:
    assert provide(outputs).exit_code == 0
    first = value(secrets, outputs)
    assert "it stays" in provide(outputs).stderr
    assert value(secrets, outputs) == first
    assert provide(outputs, "--renew").exit_code == 0
    assert value(secrets, outputs) != first


def test_what_the_outputs_lack_is_named(secrets: Any, tmp_path: Path) -> None:
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps({"region": {"value": REGION}}))
    answer = provide(path)
    assert answer.exit_code == 1
    assert "database_url_secret_arn, database_host, database_name" in answer.stderr
    path.write_text("No outputs found")
    assert "make it with terraform output -json" in provide(path).stderr


def test_a_secret_that_is_not_there_is_said(secrets: Any, outputs: Path) -> None:
    outputs.write_text(outputs.read_text().replace("database-url", "another"))
    answer = provide(outputs)
    assert answer.exit_code == 1
    assert "ResourceNotFoundException" in answer.stderr


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ecs]:
    ecs = Ecs()
    with ecs_on_loopback(ecs, monkeypatch):
        yield ecs


def run_migration(name: str = "fleet") -> Result:
    return CliRunner().invoke(migrate.main, ["--name", name, "--region", REGION, "--poll", "0"])


def test_the_migration_runs_to_its_end(ecs: Ecs) -> None:
    answer = run_migration()
    assert answer.exit_code == 0, answer.output
    assert ecs.events == ["migrate 0.1.0", "migrated"]


def test_a_migration_that_fails_says_where_its_log_is(ecs: Ecs) -> None:
    ecs.migration_exit = 1
    answer = run_migration()
    assert answer.exit_code == 1
    assert "exit codes {'api': 1}" in answer.stderr
    assert "group /fleet/migrate" in answer.stderr and "No service was touched." in answer.stderr

"""Pause and resume as people ask for them: over HTTP and on the command line."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.cli import cli
from backend.db.engine import Database
from backend.queue.fleet import fleet_state
from backend.queue.queue import Queue
from backend.settings import Settings, get_settings
from backend.states import DeepMode
from tests.integration.queue.helpers import claim_of, planned_job

FLEET = "/api/v1/fleet"
TOO_LONG = b'{"reason": "%s"}' % (b"x" * 501)
WRONG_BODIES = [b"[1]", b'"x"', b'{"reason": 1}', b'{"why": "x"}', b"{", b'{"reason": "a\\u0000"}', TOO_LONG]


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


def test_a_job_is_paused_and_resumed_over_http(client: FlaskClient, database: Database, queue: Queue) -> None:
    job_id = planned_job(database, 2)
    links = client.get(f"/api/v1/jobs/{job_id}").get_json()["links"]
    answer = client.post(links["pause"])
    assert (answer.status_code, answer.get_json()["paused"]) == (200, True)
    assert queue.claim_chunk(DeepMode.GPU) is None
    answer = client.post(links["resume"])
    assert (answer.status_code, answer.get_json()["paused"]) == (200, False)
    assert claim_of(queue).job_id == job_id
    client.post(links["cancel"])
    for link in ("pause", "resume"):
        refused = client.post(links[link])
        assert (refused.status_code, refused.get_json()["code"]) == (409, "invalid_state")
        missing = client.post(f"/api/v1/jobs/{uuid4()}/{link}")
        assert (missing.status_code, missing.get_json()["code"]) == (404, "job_not_found")


def test_the_fleet_is_paused_and_resumed_over_http(client: FlaskClient, database: Database, queue: Queue) -> None:
    planned_job(database, 1)
    assert client.get(FLEET).get_json() == {
        "paused": False,
        "paused_at": None,
        "paused_by": None,
        "reason": None,
    }
    paused = client.post(f"{FLEET}/pause", json={"reason": "store is away"}).get_json()
    assert (paused["paused"], paused["paused_by"], paused["reason"]) == (True, "this machine", "store is away")
    assert client.get(FLEET).get_json() == client.post(f"{FLEET}/pause").get_json() == paused
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert client.post(f"{FLEET}/resume").get_json()["paused"] is False
    claim_of(queue)


@pytest.mark.parametrize("body", WRONG_BODIES)
def test_a_pause_with_a_wrong_body_changes_nothing(client: FlaskClient, database: Database, body: Any) -> None:
    answer = client.post(f"{FLEET}/pause", data=body, content_type="application/json")
    is_read = body != b"{"
    assert answer.status_code == (422 if is_read else 400)
    assert answer.get_json()["code"] == ("invalid_value" if is_read else "invalid_request")
    assert not fleet_state(database).paused


def test_job_and_fleet_are_paused_and_resumed_on_the_command_line(
    database: Database, database_url: str, settings: Settings, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("STORAGE_URL", settings.storage_root_url)
    get_settings.cache_clear()
    job_id = planned_job(database, 2)

    def framefleet(*arguments: str) -> dict[str, Any]:
        result = CliRunner().invoke(cli, [*arguments, "--json"])
        assert result.exit_code == 0, result.output
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    assert framefleet("pause", str(job_id))["paused"] is True
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert framefleet("resume", str(job_id))["paused"] is False
    assert framefleet("pause", "--reason", "moving") == {"paused": True, "reason": "moving"}
    assert (fleet_state(database).paused_by or "").endswith("@" + socket.gethostname())
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert framefleet("resume") == {"paused": False, "reason": None}
    claim_of(queue)
    get_settings.cache_clear()

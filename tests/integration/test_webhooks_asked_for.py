"""Webhooks as people ask for them and look at them: the API, the command line, metrics, the doctor."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from backend.api.app import create_app
from backend.db.engine import Database
from backend.jobs.webhooks import Webhooks
from backend.local import doctor
from backend.settings import Settings
from backend.storage import open_store
from tests.integration.commands import framefleet_here
from tests.integration.receiver import execute, move, receiving, watched_job

JOBS = "/api/v1/jobs"
INPUT = "http://127.0.0.1:9/a.mp4"


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


def test_a_job_of_the_api_is_told_of_and_shows_its_deliveries(
    client: FlaskClient, database: Database, settings: Settings
) -> None:
    with receiving() as receiver:
        asked = {"input": INPUT, "webhook_url": receiver.url, "webhook_events": ["job.cancelled"]}
        answer = client.post(JOBS, json=asked)
        assert answer.status_code == 202 and "hunter" not in answer.get_data(as_text=True)
        job = answer.get_json()
        client.application.extensions["framefleet"].planners.shutdown()
        execute(database, "UPDATE video_analysis_jobs SET status = 'queued'")
        assert client.post(job["links"]["cancel"]).status_code == 200
        webhooks = Webhooks(database, settings)
        webhooks.send_due()
        webhooks.settle()
        assert receiver.types == ["job.cancelled"]
        described = client.get("/openapi.json").get_json()
        message = "#/webhooks/job/post/requestBody/content/application~1json/schema"
        Draft202012Validator({**described, "$ref": message}).validate(receiver.bodies[0])
    shown = client.get(job["links"]["deliveries"])
    (delivery,) = shown.get_json()["deliveries"]
    assert delivery["id"] == receiver.got[0].headers["webhook-id"]
    assert (delivery["webhook"], delivery["status"]) == (receiver.address.removeprefix("http://"), "delivered")
    assert [(each["status"], each["error"]) for each in delivery["attempts"]] == [(200, None)]
    assert client.get(job["links"]["deliveries"], headers={"If-None-Match": shown.headers["ETag"]}).status_code == 304
    unknown = client.get(f"{JOBS}/00000000-0000-0000-0000-000000000000/deliveries")
    assert (unknown.status_code, unknown.get_json()["code"]) == (404, "job_not_found")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"webhook_url": "ftp://h/x"}, 422, "unsupported_input"),
        ({"webhook_url": "http://user:word@h/x"}, 422, "unsupported_input"),
        ({"webhook_events": ["job.failed"]}, 422, "invalid_value"),
        ({"webhook_url": "https://h/", "webhook_events": ["job.exploded"]}, 422, "invalid_value"),
        ({"webhook_url": "https://h/", "webhook_events": []}, 422, "invalid_value"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_job(
    client: FlaskClient, database: Database, settings: Settings, fields: dict[str, object], status: int, code: str
) -> None:
    answer = client.post(JOBS, json={"input": INPUT, **fields})
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)
    assert "webhook" in answer.get_json()["detail"]
    form = {name: ",".join(value) if isinstance(value, list) else value for name, value in fields.items()}
    answer = client.post(JOBS, data={"file": (io.BytesIO(b"x"), "a.mp4"), **form})
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)
    assert execute(database, "SELECT count(*) FROM video_analysis_jobs") == [(0,)]
    assert list(open_store(settings).list("jobs/")) == []


def test_a_form_names_events_with_commas(client: FlaskClient, database: Database) -> None:
    form = {"webhook_url": "https://h/", "webhook_events": "job.failed, job.progress"}
    answer = client.post(JOBS, data={"file": (io.BytesIO(b"x"), "a.mp4"), **form})
    assert answer.status_code == 202
    assert execute(database, "SELECT webhook_events FROM video_analysis_jobs") == [(["job.failed", "job.progress"],)]


def test_operators_see_what_nobody_took_and_send_it_again(
    client: FlaskClient, database: Database, database_url: str, settings: Settings, tmp_path: Path
) -> None:
    def framefleet(*arguments: str) -> str:
        done = framefleet_here(*arguments, cwd=tmp_path, DATABASE_URL=database_url)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert "framefleet_dead_webhooks 0.0" in client.get("/metrics").get_data(as_text=True)
    assert "webhooks" not in framefleet("list")
    with receiving() as receiver:
        job_id = watched_job(database, receiver.url)
        receiver.status = 410
        move(database, job_id, status="failed")
        webhooks = Webhooks(database, settings)
        webhooks.send_due()
        webhooks.settle()
        assert "framefleet_dead_webhooks 1.0" in client.get("/metrics").get_data(as_text=True)
        assert "nobody took: 1, see framefleet webhooks list --dead" in framefleet("list")
        assert "nobody took: 1" in doctor._database(settings)
        shown = framefleet("webhooks", "list", "--dead")
        assert str(job_id) in shown and "status 410" in shown and "hunter" not in shown
        (listed,) = json.loads(framefleet("webhooks", "list", str(job_id), "--json"))["deliveries"]
        assert (listed["status"], listed["job_id"]) == ("dead", str(job_id))
        receiver.status = 200
        assert json.loads(framefleet("webhooks", "resend", str(job_id), "--json"))["messages"] == 1
        webhooks.send_due()
        webhooks.settle()
    assert len(receiver.got) == 2
    assert json.loads(framefleet("webhooks", "list", "--dead", "--json"))["deliveries"] == []


def test_the_command_shows_the_secret_and_rotates_it(database: Database, database_url: str, tmp_path: Path) -> None:
    def secret(*arguments: str) -> str:
        done = framefleet_here("webhooks", "secret", *arguments, cwd=tmp_path, DATABASE_URL=database_url)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    first = secret()
    assert first.startswith("whsec_") and secret() == first
    assert secret("--tenant", "acme") != first
    second = secret("--rotate")
    assert secret() == second != first
    assert len(json.loads(secret("--json"))["others_sign_until"]) == 1
    assert json.loads(secret("--rotate", "--overlap-hours", "0", "--json"))["others_sign_until"] == []

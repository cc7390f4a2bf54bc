"""A job that is polled: one statement tells of it what the many of a list tell, in every state that it may be in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.db.engine import Database
from backend.errors import JobNotFound
from backend.jobs.progress import shown_job
from backend.jobs.resource import job_resource, job_resources
from backend.jobs.service import JobService
from backend.settings import Settings
from tests.integration.queue.helpers import planned_job
from tests.integration.rows import sql

# In this order, each on top of those before it.
CHANGES = (
    "UPDATE video_analysis_jobs SET paused_at = now()",
    "UPDATE video_analysis_jobs SET paused_at = NULL, status = 'processing', stage = 'PROCESSING', "
    "duration_seconds = 60",
    "UPDATE video_analysis_chunks SET status = 'processing', attempts = 1, progress = 0.5, claimed_by = 'w', "
    "started_at = now() - interval '9 s', lease_expires_at = now() + interval '1 h' WHERE chunk_index = 0",
    "UPDATE video_analysis_chunks SET progress = 0.9 WHERE chunk_index = 0",
    "UPDATE video_analysis_chunks SET status = 'completed', progress = 1, runtime_ms = 8000, completed_at = now(), "
    "lease_expires_at = NULL WHERE chunk_index = 0",
    "UPDATE video_analysis_jobs SET warnings = '[\"dark\"]'",
    "UPDATE video_analysis_chunks SET status = 'completed', progress = 1, runtime_ms = 8000, completed_at = now()",
    "UPDATE video_analysis_jobs SET status = 'aggregating', stage = 'AGGREGATING', progress = 0.2",
    "UPDATE video_analysis_jobs SET stage = 'RENDERING', progress = 0.6",
    "UPDATE video_analysis_jobs SET status = 'failed', error_code = 'storage_error', error_message = 'a', "
    "error_retryable = true, completed_at = now()",
    "UPDATE video_analysis_jobs SET status = 'done', stage = 'DONE', error_code = NULL, output_size = 5",
)


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


def without_eta(resource: dict[str, Any]) -> dict[str, Any]:
    """It counts down by itself between two questions."""
    return {name: value for name, value in resource.items() if name != "eta_seconds"}


def test_one_statement_tells_what_the_others_tell_in_every_state(database: Database) -> None:
    job_id = planned_job(database, 3)
    for change in ("SELECT 1", *CHANGES):
        sql(database, change)
        (other,) = job_resources(database, [JobService(database).get(job_id)])
        one = job_resource(*shown_job(database, job_id))
        assert without_eta(one) == without_eta(other), change
        assert (one["eta_seconds"] is None) == (other["eta_seconds"] is None), change


def test_it_is_the_tenants_own_or_not_found(database: Database) -> None:
    job_id = planned_job(database, 1, tenant="ours")
    assert shown_job(database.as_tenant("ours"), job_id)[0].tenant == "ours"
    with pytest.raises(JobNotFound):
        shown_job(database.as_tenant("theirs"), job_id)
    with pytest.raises(JobNotFound):
        shown_job(database, uuid4())


def test_every_change_that_shows_ends_the_304(client: FlaskClient, database: Database) -> None:
    job_id = planned_job(database, 3)
    path = f"/api/v1/jobs/{job_id}"
    known = client.get(path)
    for change in CHANGES:
        sql(database, change)
        asked = client.get(path, headers={"If-None-Match": known.headers["ETag"]})
        whole = client.get(path)
        assert asked.status_code == 200, change
        assert without_eta(asked.get_json()) == without_eta(whole.get_json()) != without_eta(known.get_json())
        again = client.get(path, headers={"If-None-Match": whole.headers["ETag"]})
        # The time that is left counts down by itself, also between these two.
        now = client.get(path).get_json() if again.status_code == 304 else again.get_json()
        assert without_eta(now) == without_eta(whole.get_json()), change
        assert again.status_code == 304 or now["eta_seconds"] != whole.get_json()["eta_seconds"], change
        known = whole

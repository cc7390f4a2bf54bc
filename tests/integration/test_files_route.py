"""The files that a kind leaves beside its film are served by their names, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.db.engine import Database
from backend.jobs.layout import result_key
from backend.jobs.service import JobService, NewJob
from backend.kinds import KINDS
from backend.settings import Settings
from backend.storage import open_store

JOBS = "/api/v1/jobs"


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


@pytest.mark.parametrize("kind", ["crop", "annotate"])
def test_each_file_of_a_kind_is_at_its_link(
    client: FlaskClient, settings: Settings, database: Database, kind: str
) -> None:
    job = JobService(database).create(NewJob(kind, "https://example.com/a.mp4", "a.mp4", {"pose": True}))
    links, store = client.get(f"{JOBS}/{job.id}").get_json()["links"], open_store(settings)
    for file in KINDS[kind].files.values():
        assert client.get(links[file.name]).get_json()["code"] == "object_not_found"
        store.put(result_key(job.id, file.name), file.name.encode(), content_type=file.content_type)
        answer = client.get(links[file.name], headers={"Range": "bytes=2-5"})
        assert (answer.status_code, answer.data) == (206, file.name.encode()[2:6])
        assert answer.content_type == file.content_type


@pytest.mark.parametrize(
    ("kind", "params", "views"),
    [
        ("crop", {}, {"tracks", "camera-path", "plot", "contact-sheet"}),
        ("annotate", {}, {"tracks"}),
        ("overlay", {"highlight_regions": [{"track_id": 1}]}, {"tracks", "contact-sheet"}),
        ("overlay", {"highlight_regions": [{"x": 1, "y": 1, "radius_x": 1, "radius_y": 1}]}, {"contact-sheet"}),
        ("downsample", {"resolution": 360}, set()),
        ("stage", {}, set()),
    ],
)
def test_a_job_has_no_link_to_what_it_will_not_leave(
    client: FlaskClient, database: Database, kind: str, params: dict[str, Any], views: set[str]
) -> None:
    job = JobService(database).create(NewJob(kind, "https://example.com/a.mp4", "a.mp4", params))
    links = client.get(f"{JOBS}/{job.id}").get_json()["links"]
    assert {"tracks", "camera-path", "plot", "contact-sheet"} & set(links) == views
    assert ("tracks.json" in links) == ("tracks" in views)
    for view in {"tracks", "camera-path", "plot", "contact-sheet"} - views:
        answer = client.get(f"{JOBS}/{job.id}/{view}")
        assert (answer.status_code, answer.get_json()["code"]) == (404, "object_not_found")
        assert f"its kind is {kind}" in answer.get_json()["detail"]


def test_nothing_else_of_the_job_s_folder_is_served(
    client: FlaskClient, settings: Settings, database: Database
) -> None:
    job = JobService(database).create(NewJob("crop", "https://example.com/a.mp4", "a.mp4"))
    open_store(settings).put(result_key(job.id, "secret.bin"), b"secret", content_type="text/plain")
    for name in ("secret.bin", "..", "%2e%2e%2fsource", "chunks%2fchunk_0000.json", "<b>"):
        answer = client.get(f"{JOBS}/{job.id}/files/{name}")
        assert answer.status_code == {"secret.bin": 404, "<b>": 422}.get(name, 400)
        assert b"secret" not in answer.data and b"<b>" not in answer.data

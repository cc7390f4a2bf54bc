"""The HTTP API, against a real database and store. No workers run: what they do is tested with them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.db.engine import Database
from backend.jobs.service import JobService, NewJob
from backend.settings import Settings
from backend.storage import open_store
from tests.integration.conftest import wait_until
from tests.samples import make_sample

JOBS = "/api/v1/jobs"
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings.model_copy(update={"allowed_prefixes": "s3://bkt/, gs://bkt/"}))
    yield app.test_client()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_sample(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=3).read_bytes()


def upload(client: FlaskClient, data: bytes, name: str = "clip.mp4", **fields: str) -> Any:
    return client.post(JOBS, data={"file": (io.BytesIO(data), name), **fields})


def planned(client: FlaskClient, job_id: str) -> dict[str, Any]:
    def job() -> dict[str, Any] | None:
        found = client.get(f"{JOBS}/{job_id}").get_json()
        return found if found["total_chunks"] or found["status"] == "failed" else None

    return dict(wait_until(job, 60, "the plan"))


def test_an_upload_becomes_a_planned_job(client: FlaskClient, clip: bytes, database: Database) -> None:
    answer = upload(client, clip, "my talk.mp4", params='{"aspect": "9:16"}')
    assert answer.status_code == 202
    job = answer.get_json()
    assert answer.headers["Location"] == f"{JOBS}/{job['id']}"
    job = planned(client, job["id"])
    assert (job["status"], job["stage"], job["total_chunks"]) == ("queued", "DEEP_QUEUED", 1)
    assert job["input"]["name"] == "my talk.mp4"
    assert job["params"]["aspect"] == "9:16"
    assert job["video"] == {
        "duration_seconds": 3.0,
        "fps": "25/1",
        "width": 1280,
        "height": 720,
        "rotation": 0,
        "frame_count": 75,
        "has_audio": True,
    }
    assert 0 < job["progress_pct"] < 100
    manifest = client.get(f"{JOBS}/{job['id']}/manifest").get_json()
    assert [segment["segment_number"] for segment in manifest["segments"]] == [0]
    chunks = client.get(f"{JOBS}/{job['id']}/chunks").get_json()["chunks"]
    assert [chunk["status"] for chunk in chunks] == ["queued"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_request"),
        (b"nonsense", 400, "invalid_request"),
        (b'"{\\"input\\": \\"https://example.com/a.mp4\\"}"', 422, "invalid_value"),
        (b"[" * 100_000, 400, "invalid_request"),
        (b"{}", 422, "invalid_value"),
        (b'{"input": 7}', 422, "invalid_value"),
        (b'{"input": "https://h/a.mp4", "priority": true}', 422, "invalid_value"),
        (b'{"input": "https://h/a.mp4", "callback": "x"}', 422, "invalid_value"),
        (b'{"input": "https://h/a.mp4", "kind": "knit"}', 422, "invalid_params"),
        (b'{"input": "https://h/a.mp4", "params": {"aspect": "0:1"}}', 422, "invalid_params"),
        (b'{"input": "https://h/a.mp4", "params": {"crf": 1e999}}', 422, "invalid_params"),
        (b'{"input": "file:///etc/passwd"}', 422, "unsupported_input"),
        (b'{"input": "gopher://h/a"}', 422, "unsupported_input"),
        (b'{"input": "https://h/a.mp4", "output_uri": "file:///tmp/x"}', 422, "unsupported_input"),
        (b'{"input": "s3://bkt/a.mp4", "output_uri": "gs://bkt/a.mp4"}', 422, "invalid_value"),
        (b'{"input": "s3://bkt/a.mp4", "output_uri": "s3://bkt/b.mkv"}', 422, "invalid_value"),
        (b'{"input": "s3://bkt/a.mp4", "output_uri": "s3://bkt/folder/"}', 422, "unsupported_input"),
        (b'{"input": "s3://bkt/a\\ud800.mp4"}', 422, "invalid_value"),
        (b'{"input": "s3://bkt/../a.mp4"}', 422, "unsupported_input"),
    ],
)
def test_a_bad_request_is_a_problem_with_a_code(client: FlaskClient, body: bytes, status: int, code: str) -> None:
    answer = client.post(JOBS, data=body, content_type="application/json")
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json()["code"] == code
    assert client.get(JOBS).get_json()["jobs"] == []


def test_an_upload_with_bad_params_stores_nothing(client: FlaskClient, clip: bytes, settings: Settings) -> None:
    for params, status in (('{"aspect": "wide"}', 422), ("not json", 422), ("[]", 422)):
        assert upload(client, clip, params=params).status_code == status
    assert list(open_store(settings).list("jobs/")) == []


def test_a_repeated_request_with_the_same_key_makes_one_job(
    client: FlaskClient, clip: bytes, settings: Settings
) -> None:
    key = {"Idempotency-Key": "abc"}
    ids = {
        client.post(JOBS, data={"file": (io.BytesIO(clip), "a.mp4")}, headers=key).get_json()["id"] for _ in range(3)
    }
    assert len(ids) == 1
    planned(client, ids.pop())
    sources = [name for name in open_store(settings).list("jobs/") if name.endswith("/source")]
    assert len(sources) == 1


@pytest.mark.parametrize("path", ["", "/chunks", "/tracks", "/camera-path", "/output", "/manifest"])
def test_an_unknown_job_is_a_404_problem(client: FlaskClient, path: str) -> None:
    answer = client.get(f"{JOBS}/{NOBODY}{path}")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "job_not_found")


def test_cancel_twice_is_harmless_and_retry_of_a_cancelled_job_is_refused(client: FlaskClient, clip: bytes) -> None:
    job = planned(client, upload(client, clip).get_json()["id"])
    for _ in range(2):
        assert client.post(f"{JOBS}/{job['id']}/cancel").get_json()["status"] == "cancelled"
    answer = client.post(f"{JOBS}/{job['id']}/retry")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "invalid_state")


def test_a_broken_upload_fails_typed_and_its_retry_plans_again(client: FlaskClient) -> None:
    job = planned(client, upload(client, b"no video at all" * 100, "x.mp4").get_json()["id"])
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "not_a_video", False)
    assert client.post(f"{JOBS}/{job['id']}/retry").status_code == 202
    again = wait_until(lambda: planned(client, job["id"]), 60, "the second plan")
    assert again["error"]["code"] == "not_a_video"


def test_the_list_pages_through_every_job_newest_first(client: FlaskClient, database: Database) -> None:
    from backend.jobs.service import NewJob

    service = JobService(database)
    made = [str(service.create(NewJob("crop", "https://h/a.mp4", f"{n}.mp4")).id) for n in range(5)]
    seen: list[str] = []
    query = "?limit=2"
    while True:
        page = client.get(JOBS + query).get_json()
        seen += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            break
        query = f"?limit=2&before={page['next']}"
    assert seen == made[::-1]
    assert client.get(f"{JOBS}?limit=0").status_code == 422
    assert client.get(f"{JOBS}?colour=red").status_code == 422


def test_the_film_is_served_in_ranges_and_as_a_download(
    client: FlaskClient, clip: bytes, settings: Settings, database: Database
) -> None:
    job = planned(client, upload(client, clip, 'a "b"\n.mp4').get_json()["id"])
    assert client.get(f"{JOBS}/{job['id']}/output").status_code == 409
    key = f"jobs/{job['id']}/output/film.mp4"
    open_store(settings).put(key, bytes(range(256)))
    with database.transaction() as connection:
        done = "UPDATE video_analysis_jobs SET status = 'done', stage = 'DONE', output_uri = 'x', output_key = %(key)s"
        connection.exec_driver_sql(done, {"key": key})
    whole = client.get(f"{JOBS}/{job['id']}/output")
    assert (whole.status_code, whole.data, whole.mimetype) == (200, bytes(range(256)), "video/mp4")
    part = client.get(f"{JOBS}/{job['id']}/output", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.data) == (206, bytes(range(10, 20)))
    assert part.headers["Content-Range"] == "bytes 10-19/256"
    assert client.get(f"{JOBS}/{job['id']}/output", headers={"Range": "bytes=999-"}).status_code == 416
    disposition = client.get(f"{JOBS}/{job['id']}/output?download=true").headers["Content-Disposition"]
    assert disposition.startswith("attachment")
    assert "\n" not in disposition


def test_an_upload_over_the_limit_is_refused(settings: Settings, clip: bytes) -> None:
    app = create_app(settings.model_copy(update={"max_upload_bytes": 1000}))
    answer = upload(app.test_client(), clip)
    assert (answer.status_code, answer.get_json()["code"]) == (413, "upload_too_large")


def test_the_description_names_every_route_and_both_bodies(client: FlaskClient) -> None:
    spec = client.get("/openapi.json").get_json()
    assert spec["openapi"] == "3.1.0"
    assert {f"{JOBS}", f"{JOBS}/{{job_id}}", f"{JOBS}/{{job_id}}/output", "/health", "/ready"} <= set(spec["paths"])
    bodies = spec["paths"][JOBS]["post"]["requestBody"]["content"]
    assert set(bodies) == {"application/json", "multipart/form-data"}
    assert client.get("/docs").status_code == 200
    assert json.loads(json.dumps(spec)) == spec


def test_a_url_that_answers_404_fails_the_job_typed(client: FlaskClient, tmp_path: Path) -> None:
    import functools
    import http.server
    import threading

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}/missing.mp4?signature=secret"
        job = planned(client, client.post(JOBS, json={"input": uri}).get_json()["id"])
        server.shutdown()
    assert job["error"]["code"] == "input_not_found"
    assert "secret" not in json.dumps(job)


def test_a_page_of_another_site_cannot_make_a_job(client: FlaskClient) -> None:
    body = {"input": "https://example.com/a.mp4"}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert client.post(JOBS, json=body, headers=headers).status_code == 403
    assert client.get(JOBS).get_json()["jobs"] == []


def test_a_json_body_as_large_as_an_upload_is_refused(client: FlaskClient) -> None:
    answer = client.post(JOBS, data=b'{"input": "' + b"x" * 2_000_000 + b'"}', content_type="application/json")
    assert answer.status_code == 413


def test_places_that_are_not_open_to_clients_are_refused(settings: Settings) -> None:
    changed = {"storage_url": "s3://films/store", "allowed_prefixes": "s3://open/in/, gs://other/"}
    client = create_app(settings.model_copy(update=changed)).test_client()
    closed = (
        "s3://films/store/jobs/x/source",
        "S3://films/store/jobs/x/source",
        "s3://secret/a.mp4",
        "s3://open/inner/a.mp4",
    )
    for uri in closed:
        answer = client.post(JOBS, json={"input": uri})
        assert (answer.status_code, answer.get_json()["code"]) == (422, "unsupported_input"), uri
        answer = client.post(JOBS, json={"input": "https://example.com/a.mp4", "output_uri": uri})
        assert answer.status_code == 422, uri


@pytest.mark.parametrize("host", ["exa\u2100mple.com", "[::1", "h]"])
def test_a_url_that_cannot_be_taken_apart_is_refused(client: FlaskClient, host: str) -> None:
    answer = client.post(JOBS, json={"input": f"https://{host}/a.mp4"})
    assert (answer.status_code, answer.get_json()["code"]) == (422, "unsupported_input")


def test_our_own_store_is_closed_however_its_scheme_is_spelt(settings: Settings) -> None:
    client = create_app(settings.model_copy(update={"storage_url": "s3://films/store"})).test_client()
    for scheme in ("s3", "S3", "gs", "Gs"):  # with S3_ENDPOINT_URL, gs:// leads to the same store
        uri = f"{scheme}://films/store/jobs/x/source"
        assert client.post(JOBS, json={"input": uri}).status_code == 422, uri
        answer = client.post(JOBS, json={"input": "https://example.com/a.mp4", "output_uri": uri})
        assert answer.status_code == 422, uri


def test_the_longest_page_says_that_there_is_another(client: FlaskClient, database: Database) -> None:
    service = JobService(database)
    for number in range(201):
        service.create(NewJob("crop", f"https://h/{number}.mp4", f"{number}.mp4"))
    first = client.get(f"{JOBS}?limit=200").get_json()
    assert len(first["jobs"]) == 200
    for after in (f"cursor={first['next']}", f"before={first['next']}", f"before={first['jobs'][-1]['id']}"):
        assert len(client.get(f"{JOBS}?limit=200&{after}").get_json()["jobs"]) == 1

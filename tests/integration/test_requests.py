"""What the API makes of requests that are malformed, doubtful, repeated or from elsewhere."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.api.pages import WEB
from backend.settings import Settings
from backend.storage import open_store
from tests.conftest import empty_database

JOBS = "/api/v1/jobs"
JSON = "application/json"
INPUT = "https://example.com/a.mp4"

Make = Callable[..., FlaskClient]


@pytest.fixture(scope="module")
def client_with(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Applications on one database and one store."""
    folder, apps = tmp_path_factory.mktemp("requests"), []
    with empty_database(postgres) as url:
        given = {"database_url": url, "storage_url": (folder / "objects").as_uri(), "data_dir": folder / "data"}

        def make(**changes: Any) -> FlaskClient:
            app = create_app(Settings.model_validate({**given, "http_allow_private": True, **changes}))
            app.extensions["framefleet"].plan_soon = lambda job_id: None  # nothing of these jobs is ever fetched
            apps.append(app)
            return app.test_client()

        yield make
        for app in apps:
            app.extensions["framefleet"].planners.shutdown()
            app.extensions["framefleet"].database.close()


@pytest.fixture(scope="module")
def client(client_with: Make) -> FlaskClient:
    return client_with()


def code_of(answer: Any) -> tuple[int, str]:
    assert answer.mimetype == "application/problem+json", answer.data
    told = answer.get_json()
    assert (told["type"], told["status"]) == ("about:blank", answer.status_code)
    assert told["title"] and told["detail"]
    return answer.status_code, told["code"]


def count(client: FlaskClient) -> int:
    return len(client.get(f"{JOBS}?limit=200").get_json()["jobs"])


# Bodies


def nested(depth: int) -> bytes:
    return b'{"input": "https://h/a", "params": ' + b'{"a": ' * depth + b"1" + b"}" * (depth + 1)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (400, "invalid_request")),
        (b'{"input": "\xff"}', (400, "invalid_request")),
        ('{"input": "https://h/a"}'.encode("utf-16"), (400, "invalid_request")),
        (nested(5_000), (400, "invalid_request")),
        (nested(100), (400, "invalid_request")),
        (b"[" * 100_000, (400, "invalid_request")),
        (b'{"input": "https://h/a", "priority": NaN}', (400, "invalid_request")),
        (b'{"input": "https://h/a", "params": {"crf": -Infinity}}', (400, "invalid_request")),
        (b'{"input": "https://h/a", "input": "https://h/b"}', (400, "invalid_request")),
        (b'{"input": "https://h/a", "priority": ' + b"9" * 5_000 + b"}", (400, "invalid_request")),
        (b'{"input": "https://h/a", "priority": ' + b"9" * 4_000 + b"}", (422, "invalid_value")),
        (b"null", (422, "invalid_value")),
        (b'[{"input": "https://h/a"}]', (422, "invalid_value")),
        (b'"{\\"input\\": \\"https://h/a\\"}"', (422, "invalid_value")),
        (b'{"input": "https://h/a", "priority": true}', (422, "invalid_value")),
        (b'{"input": "https://h/a", "priority": "5"}', (422, "invalid_value")),
        (b'{"input": "https://h/a\\u0000"}', (422, "invalid_value")),
        (b'{"input": "https://h/a", "params": {"\\ud800": 1}}', (422, "invalid_value")),
        (b'{"input": "https://h/a", "params": {"crf": true}}', (422, "invalid_params")),
        (b'{"input": "https://h/a", "params": {"crf": "20"}}', (422, "invalid_params")),
        (b'{"input": "https://h/a", "params": {"zoom": 1}}', (422, "invalid_params")),
        (b'{"input": "https://h/a", "params": {"zoom": "true"}}', (422, "invalid_params")),
        (b'{"input": "https://h/a", "params": {"output_width": 640.5}}', (422, "invalid_params")),
        (b'{"input": "https://h/a", "params": {"crf": ' + b"9" * 4_000 + b"}}", (422, "invalid_params")),
        (b'{"input": "https://h/a", "params": {"aspect": "' + b"x" * 70_000 + b'"}}', (422, "invalid_params")),
        (b'{"input": "http://["}', (422, "unsupported_input")),
    ],
)
def test_a_body_that_two_readers_would_understand_differently_is_refused(
    client: FlaskClient, body: bytes, expected: tuple[int, str]
) -> None:
    assert code_of(client.post(JOBS, data=body, content_type=JSON)) == expected
    assert count(client) == 0


@pytest.mark.parametrize("route", [JOBS, "/submit", "/process", "/api/pipeline/segment", "/api/v1/fleet/pause"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_json_of_another_type_is_refused(client: FlaskClient, route: str, content_type: str | None) -> None:
    """A page of another site can send these without asking first."""
    body = json.dumps({"input": INPUT, "uri": INPUT, "job_id": "a"})
    assert code_of(client.post(route, data=body, content_type=content_type)) == (415, "unsupported_media_type")
    assert count(client) == 0


def test_parameters_as_text_are_taken_from_a_command_line_alone(client: FlaskClient) -> None:
    from backend.kinds import kind_named

    assert kind_named("crop").parse_params({"crf": "20", "zoom": "false"}).model_dump()["zoom"] is False
    form = {"file": (io.BytesIO(b"film"), "a.mp4"), "params": '{"crf": "20"}'}
    assert code_of(client.post(JOBS, data=form)) == (422, "invalid_params")


def test_each_value_that_is_wrong_is_named_and_none_is_repeated(client: FlaskClient) -> None:
    body = {"input": INPUT, "priority": 1000, "secret": "s3cr3t", **{f"f{number}": 1 for number in range(50)}}
    told = client.post(JOBS, json=body).get_json()
    fields = [each["field"] for each in told["errors"]]
    assert {"priority", "secret"} <= set(fields) and len(fields) == 20
    assert "s3cr3t" not in json.dumps(told)
    told = client.post(JOBS, json={"input": INPUT, "params": {"crf": -1, "preset": "x"}}).get_json()
    assert [each["field"] for each in told["errors"]] == ["params.crf", "params.preset"]


# Methods, paths and headers


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", JOBS, {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PUT", "/health", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/submit", {"OPTIONS", "POST"}),
    ],
)
def test_another_method_is_told_which_ones_there_are(
    client: FlaskClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = client.open(path, method=method)
    assert code_of(answer) == (405, "method_not_allowed")
    assert set(re.split(r", *", answer.headers["Allow"])) == allowed


@pytest.mark.parametrize("path", ["/nothing", f"{JOBS}/x", f"{JOBS}/{'a' * 5000}", "/<script>", "/api/v1/"])
def test_an_unknown_path_is_a_problem(client: FlaskClient, path: str) -> None:
    assert code_of(client.get(path)) == (404, "not_found")


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1%2Fjobs",
        "/api/v1/%2e%2e/v1/jobs",
        "/api/v1/../v1/jobs",
        "/api/v1/./jobs",
        "/api/v1/..;/jobs",
        "/api/v1\\jobs",
        "/api/v1/jobs%5C",
        "/api/v1/jobs%00",
        "/health/..%2fapi/v1/jobs",
        "http://other.example/api/v1/jobs",
    ],
)
def test_a_path_that_a_proxy_would_see_otherwise_is_refused(client: FlaskClient, target: str) -> None:
    answer = client.get(JOBS, environ_overrides={"RAW_URI": target, "REQUEST_URI": target})
    assert code_of(answer) == (400, "invalid_request")


def test_the_target_s_whole_form_is_taken(client: FlaskClient) -> None:
    target = f"http://localhost{JOBS}?limit=1"
    assert client.get(JOBS, environ_overrides={"RAW_URI": target, "REQUEST_URI": target}).status_code == 200


def test_a_header_shortens_no_path(client: FlaskClient) -> None:
    """gunicorn takes it from a header, and routes by the rest."""
    answer = client.get("/health", environ_overrides={"SCRIPT_NAME": "/public"})
    assert code_of(answer) == (400, "invalid_request")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://["},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_another_site_cannot_change_anything(client: FlaskClient, headers: dict[str, str]) -> None:
    assert code_of(client.post(JOBS, json={"input": INPUT}, headers=headers)) == (403, "forbidden")
    assert code_of(client.post("/api/v1/fleet/resume", headers=headers)) == (403, "forbidden")
    assert count(client) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=\x7f"},
        {"If-None-Match": '"' * 5000},
        {"If-Match": "W/W/,"},
        {"If-Modified-Since": "Thu, 99 Foo 99999 25:61:61 GMT"},
        {"Accept": "*/*;q=nan, a/b;q=1e999"},
        {"Content-Type": "multipart/form-data; boundary="},
        {"Authorization": "Basic !!!"},
        {"traceparent": "00-\xff"},
        {"Cookie": "a=\xff; ;="},
    ],
)
def test_strange_headers_are_no_fault_of_ours(client: FlaskClient, headers: dict[str, str]) -> None:
    for path in (JOBS, "/openapi.json", "/static/app.js"):
        assert client.get(path, headers=headers).status_code < 500, path
    assert client.post(JOBS, data=b"{}", headers={"Content-Type": JSON, **headers}).status_code in (400, 401, 422)


# Hosts and origins


@pytest.mark.parametrize("host", ["rebound.example", "rebound.example:8080", "localhost.evil.example", "[", "a@b", ""])
def test_a_foreign_host_reaches_nothing_but_health(client: FlaskClient, host: str) -> None:
    for path in (JOBS, "/", "/docs", "/openapi.json", "/metrics", "/nothing"):
        assert code_of(client.get(path, headers={"Host": host})) == (400, "host_not_allowed")
    assert code_of(client.post("/api/v1/fleet/resume", headers={"Host": host})) == (400, "host_not_allowed")
    assert client.get("/health", headers={"Host": host}).status_code == 200
    assert client.get("/ready", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("allowed", "host", "is_allowed"),
    [
        ("", "localhost:8080", True),
        ("", "127.0.0.1", True),
        ("", "[::1]:8080", True),
        ("", "10.0.0.7:8080", True),  # an address is nobody's name
        ("api.example.com", "API.example.com.:443", True),
        ("api.example.com", "localhost", True),
        ("api.example.com", "10.0.0.7", True),
        ("api.example.com", "10.0.0.7.evil.example", False),
        ("api.example.com", "xapi.example.com", False),
        ("*.example.com", "api.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com, b", "b", True),
        ("*", "anything.example", True),
    ],
)
def test_hosts_are_taken_by_name(client_with: Make, allowed: str, host: str, is_allowed: bool) -> None:
    answer = client_with(allowed_hosts=allowed).get("/static/app.js", headers={"Host": host})
    assert answer.status_code == (200 if is_allowed else 400)


def test_pages_of_an_origin_that_is_named_may_call(client_with: Make) -> None:
    app = "https://app.example.com"
    client = client_with(cors_origins=f"{app}, https://b.example.com:8443")
    asked = {"Origin": app, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    preflight = client.options(JOBS, headers=asked)
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, app)
    assert "Idempotency-Key" in preflight.headers["Access-Control-Allow-Headers"]
    answer = client.get(JOBS, headers={"Origin": app, "Sec-Fetch-Site": "cross-site"})
    assert answer.headers["Access-Control-Allow-Origin"] == app
    assert {"ETag", "Location", "Retry-After"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    refused = client.post(JOBS, json={}, headers={"Origin": app, "Sec-Fetch-Site": "cross-site"})
    assert code_of(refused) == (422, "invalid_value")  # let in, and told what is missing
    assert refused.headers["Access-Control-Allow-Origin"] == app
    for other in ("https://app.example.com.evil.example", "http://app.example.com", "null"):
        assert "Access-Control-Allow-Origin" not in client.get(JOBS, headers={"Origin": other}).headers
        assert code_of(client.options(JOBS, headers={**asked, "Origin": other})) == (403, "forbidden")


def test_origins_that_are_none_are_refused_at_start() -> None:
    for origins in ("*", "app.example.com", "https://app.example.com/", "https://a.example, *"):
        with pytest.raises(ValueError, match="CORS_ORIGINS"):
            Settings.model_validate({"cors_origins": origins})


# Pages


def test_scripts_run_by_a_nonce_that_is_new_each_time(client: FlaskClient) -> None:
    for path in ("/", "/docs"):
        seen = set()
        for _ in range(2):
            answer = client.get(path)
            (nonce,) = re.findall(r"script-src 'nonce-([\w-]{20,})'", answer.headers["Content-Security-Policy"])
            scripts = re.findall(r"<script[^>]*>", answer.text)
            assert scripts and all(f'nonce="{nonce}"' in script for script in scripts)
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["Cache-Control"] == "no-store"
            seen.add(nonce)
        assert len(seen) == 2


def test_pages_have_no_inline_handlers_or_styles_and_ask_nobody_else(client: FlaskClient) -> None:
    pages = [client.get("/").text, client.get("/docs").text]
    for text in pages:
        assert re.findall(r"<[^>]*\son\w+\s*=", text) == []
        assert re.findall(r"<style|<[^>]*\sstyle\s*=|javascript:", text) == []
        assert re.findall(r"""(?:src|href|action)\s*=\s*["'](?:https?:)?//""", text) == []
    for script in [*(WEB / "static").glob("*.js"), *(WEB / "static").glob("*.css")]:
        found = re.findall(r"https?://(?!www\.w3\.org/)[\w.-]+", script.read_text())
        assert found == [], script
        assert (
            re.findall(r"\.(?:innerHTML|outerHTML|insertAdjacentHTML)|document\.write|eval\(", script.read_text()) == []
        )


def test_every_answer_says_how_browsers_may_use_it(client: FlaskClient) -> None:
    for path in ("/", "/docs", JOBS, "/nothing", "/static/app.js", "/openapi.json"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"


# Idempotency-Key


def test_a_key_with_another_body_is_told_and_makes_nothing(client_with: Make) -> None:
    client, key = client_with(), {"Idempotency-Key": "one"}
    first = client.post(JOBS, json={"input": INPUT, "params": {"crf": 20}}, headers=key)
    again = client.post(
        JOBS, data=b'{"params":{"crf":20},\n"input":"%s"}' % INPUT.encode(), headers=key, content_type=JSON
    )
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.get_json() == first.get_json()
    assert again.headers["Location"] == first.headers["Location"]
    before = count(client)
    for other in (
        {"input": INPUT},
        {"input": INPUT, "params": {"crf": 21}},
        {"input": f"{INPUT}?", "params": {"crf": 20}},
    ):
        answer = client.post(JOBS, json=other, headers=key)
        assert code_of(answer) == (422, "idempotency_key_reused")
    assert count(client) == before


def test_a_key_with_another_file_is_told_and_stores_nothing(client_with: Make, tmp_path: Path) -> None:
    client = client_with(storage_url=tmp_path.as_uri())
    store = open_store(client.application.extensions["framefleet"].settings)

    def send(data: bytes, name: str = "a.mp4", **fields: str) -> Any:
        form = {"file": (io.BytesIO(data), name), **fields}
        return client.post(JOBS, data=form, headers={"Idempotency-Key": "film"})

    first = send(b"film")
    assert first.status_code == 202
    assert send(b"film").get_json() == first.get_json()
    for other in (send(b"mlif"), send(b"film!"), send(b"film", "b.mp4"), send(b"film", priority="1")):
        assert code_of(other) == (422, "idempotency_key_reused")
    assert len(list(store.list("jobs/"))) == 1


class Slow(io.RawIOBase):
    """A body whose end comes when it may."""

    def __init__(self, data: bytes, begun: Event, may_end: Event) -> None:
        self._data, self.begun, self.may_end = io.BytesIO(data), begun, may_end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.begun.set()
        assert self.may_end.wait(20)
        return self._data.readinto(buffer)


def test_a_repeat_while_the_first_is_answered_is_told_to_wait(client_with: Make) -> None:
    client, key = client_with(), {"Idempotency-Key": "slow"}
    body = json.dumps({"input": INPUT}).encode()
    begun, may_end = Event(), Event()
    with ThreadPoolExecutor(1) as pool:
        slow = {"wsgi.input": Slow(body, begun, may_end), "CONTENT_LENGTH": str(len(body))}
        other = client.application.test_client()
        first = pool.submit(other.post, JOBS, content_type=JSON, headers=key, environ_overrides=slow)
        assert begun.wait(20)
        try:
            answer = client.post(JOBS, data=body, content_type=JSON, headers=key)
            assert code_of(answer) == (409, "idempotency_in_flight")
            assert answer.get_json()["retryable"] is True
            assert int(answer.headers["Retry-After"]) >= 1
        finally:
            may_end.set()
        made = first.result()
    assert made.status_code == 202
    assert client.post(JOBS, data=body, content_type=JSON, headers=key).get_json()["id"] == made.get_json()["id"]


def test_of_requests_that_race_with_one_key_one_makes_the_job(client_with: Make) -> None:
    client = client_with()
    before = count(client)

    def send(number: int) -> Any:
        return client.application.test_client().post(JOBS, json={"input": INPUT}, headers={"Idempotency-Key": "race"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(24)))
    made = {answer.get_json()["id"] for answer in answers if answer.status_code == 202}
    assert len(made) == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert count(client) == before + 1


def test_a_request_that_failed_leaves_its_key_free(client: FlaskClient) -> None:
    key = {"Idempotency-Key": "free"}
    for _ in range(2):
        assert code_of(client.post(JOBS, json={"input": "nothing"}, headers=key)) == (422, "unsupported_input")
    assert client.post(JOBS, json={"input": INPUT}, headers=key).status_code == 202


@pytest.mark.parametrize("key", ["x" * 256, "a\x7fb" * 100])
def test_a_key_that_is_too_long_is_refused(client: FlaskClient, key: str) -> None:
    answer = client.post(JOBS, json={"input": INPUT}, headers={"Idempotency-Key": key})
    assert code_of(answer) == (422, "invalid_value")


def test_a_reason_of_the_longest_allowed_text_is_taken_however_it_is_escaped(client: FlaskClient) -> None:
    body = json.dumps({"reason": "\U0001f3ac" * 500})
    assert client.post("/api/v1/fleet/pause", data=body, content_type=JSON).status_code == 200
    assert client.post("/api/v1/fleet/resume").status_code == 200

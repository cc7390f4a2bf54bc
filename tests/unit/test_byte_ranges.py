"""Preconditions and ranges of a served file, as RFC 9110 has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from backend.api import errors
from backend.api.files import send_source
from backend.storage.base import ObjectInfo

BYTES = bytes(range(100))
ETAG = '"abc"'


@dataclass
class Held:
    uri: str = "memory:"
    info: ObjectInfo = field(default_factory=lambda: ObjectInfo(len(BYTES), "abc"))

    def read_at(self, offset: int, length: int) -> bytes:
        return BYTES[offset : offset + length]


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    app = Flask(__name__)
    errors.register(app)

    @app.get("/file")
    def file() -> Response:
        return send_source(Held(), "video/mp4")

    @app.get("/empty")
    def empty() -> Response:
        return send_source(Held(info=ObjectInfo(0, "abc")), "video/mp4")

    yield app.test_client()


@pytest.mark.parametrize(
    ("asked", "expected", "content_range"),
    [
        ("bytes=10-19", BYTES[10:20], "bytes 10-19/100"),
        ("BYTES = 10-19", BYTES[10:20], "bytes 10-19/100"),
        ("bytes=90-", BYTES[90:], "bytes 90-99/100"),
        ("bytes=90-1000", BYTES[90:], "bytes 90-99/100"),
        ("bytes=-10", BYTES[90:], "bytes 90-99/100"),
        ("bytes=-1000", BYTES, "bytes 0-99/100"),
        (f"bytes=0-{10**25}", BYTES, "bytes 0-99/100"),
        ("bytes=0-4,500-", BYTES[:5], "bytes 0-4/100"),  # the one that can be had
        (",bytes", None, None),
        ("bytes=,0-4,", BYTES[:5], "bytes 0-4/100"),
    ],
)
def test_a_range_is_a_part(client: FlaskClient, asked: str, expected: bytes | None, content_range: str | None) -> None:
    answer = client.get("/file", headers={"Range": asked})
    assert answer.status_code == (206 if content_range else 200)
    assert answer.data == (BYTES if expected is None else expected)
    assert answer.headers.get("Content-Range") == content_range
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert (answer.headers["ETag"], answer.headers["Accept-Ranges"]) == (ETAG, "bytes")


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,5-6",
        "lines=1-2",
        "bytes=5-1",
        "bytes=x-",
        "bytes=--5",
        "bytes=",
        "bytes",
        "=",
        "bytes=1",
        "bytes=²-3",
    ],
)
def test_several_ranges_and_what_is_none_get_the_whole(client: FlaskClient, asked: str) -> None:
    answer = client.get("/file", headers={"Range": asked.encode().decode("latin-1")})
    assert (answer.status_code, answer.data) == (200, BYTES)
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=-0", "bytes=200-300,-0", f"bytes={10**25}-"])
def test_a_range_behind_the_end_is_416_and_says_how_long_the_file_is(client: FlaskClient, asked: str) -> None:
    answer = client.get("/file", headers={"Range": asked})
    assert (answer.status_code, answer.get_json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == "bytes */100"
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        (ETAG, 206),
        ('"other"', 200),
        ('W/"abc"', 200),  # a weak one never matches here
        ("abc", 200),
        ("Wed, 21 Oct 2045 07:28:00 GMT", 200),
        ("\x7f,,", 200),
    ],
)
def test_if_range_gives_the_part_of_the_same_file_alone(client: FlaskClient, if_range: str, status: int) -> None:
    answer = client.get("/file", headers={"Range": "bytes=0-4", "If-Range": if_range})
    assert (answer.status_code, answer.data) == (status, BYTES[:5] if status == 206 else BYTES)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": ETAG}, 304),
        ({"If-None-Match": f'"other", W/{ETAG}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": ETAG, "Range": "bytes=500-"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Modified-Since": "Wed, 21 Oct 2045 07:28:00 GMT"}, 200),
        ({"If-Match": ETAG}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": f"W/{ETAG}"}, 412),  # compared strongly
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": '"other"', "If-None-Match": ETAG}, 412),
        ({"If-Match": '"other"', "Range": "bytes=500-"}, 412),
    ],
)
def test_a_precondition_comes_before_the_range(client: FlaskClient, headers: dict[str, str], status: int) -> None:
    answer = client.get("/file", headers=headers)
    assert answer.status_code == status
    if status == 304:
        assert (answer.data, answer.headers["ETag"]) == (b"", ETAG)
        assert "Content-Type" not in answer.headers
    if status == 412:
        assert answer.get_json()["code"] == "precondition_failed"


def test_head_says_what_get_would_and_knows_no_ranges(client: FlaskClient) -> None:
    answer = client.head("/file", headers={"Range": "bytes=500-"})
    assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (200, b"", "100")
    assert client.head("/file", headers={"If-None-Match": ETAG}).status_code == 304


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=-5"])
def test_an_empty_file_is_given_whole(client: FlaskClient, asked: str) -> None:
    answer = client.get("/empty", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (200, b"")

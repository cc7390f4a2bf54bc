"""The same bytes behind servers that say different things of them; links that run out; servers that trickle."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from backend.errors import SourceChanged, SourceExpired, SourceForbidden, SourceUnreachable
from backend.settings import Settings
from backend.storage import open_source
from backend.storage.http import HttpSource
from backend.storage.signed_links import expires_at
from tests.unit.test_http_source import DATA, Answer, Handler, Server, in_turn, ranged, server, status

__all__ = ["server"]
SETTINGS = Settings(http_allow_private=True)
CHANGED = [DATA + b"!", b"!" + DATA[1:], DATA[:150_000] + b"!" + DATA[150_001:], DATA[:-1] + b"!"]
STALL_SEC = 1.0
GIVEN_UP_SEC = 6.0  # with room for a machine that is busy; the old bounds were minutes


def replicas(*headers: dict[str, str], data: bytes = DATA) -> Answer:
    """Servers that answer in turn, for ever."""
    turn = iter(range(10**9))
    answers = [ranged(data, **each) for each in headers]
    return lambda handler: answers[next(turn) % len(answers)](handler)


@pytest.mark.parametrize(
    "headers",
    [
        [{"ETag": '"node-a"'}, {"ETag": '"node-b"'}, {"ETag": '"node-c"'}],
        [{"Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, {"Last_Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}],
        [{"ETag": 'W/"a"'}, {"ETag": 'W/"b"'}],
        [{"ETag": '"a"'}, {}],
        [{}],
    ],
)
def test_replicas_that_name_the_same_bytes_differently_are_one_source(
    server: Server, headers: list[dict[str, str]]
) -> None:
    server.answers["/v.mp4"] = replicas(*headers)
    planned = open_source(server.url("/v.mp4"), SETTINGS)
    for _ in range(3):  # as each chunk does
        source = open_source(server.url("/v.mp4"), SETTINGS, etag=planned.info.etag)
        assert source.info == planned.info
        assert b"".join(source.read_at(at, 30_000) for at in range(0, len(DATA), 30_000)) == DATA


@pytest.mark.parametrize("headers", [{"ETag": '"b"'}, {"ETag": 'W/"a"'}, {"Last_Modified": "Mon"}, {}])
@pytest.mark.parametrize("changed", CHANGED)
def test_other_bytes_are_another_version_whatever_the_server_says(
    server: Server, headers: dict[str, str], changed: bytes
) -> None:
    server.answers["/v.mp4"] = ranged(**({"ETag": '"a"'} if headers.get("ETag") == '"b"' else headers))
    planned = open_source(server.url("/v.mp4"), SETTINGS)
    server.answers["/v.mp4"] = ranged(changed, **headers)
    with pytest.raises(SourceChanged):
        open_source(server.url("/v.mp4"), SETTINGS, etag=planned.info.etag)


def test_a_strong_etag_costs_a_chunk_no_samples(server: Server) -> None:
    server.answers["/v.mp4"] = ranged(ETag='"v1"')
    planned = open_source(server.url("/v.mp4"), SETTINGS)
    asked = len(server.requests)
    open_source(server.url("/v.mp4"), SETTINGS, etag=planned.info.etag)
    assert len(server.requests) == asked + 1


def signed(**ago: float) -> str:
    """The query of a link that was signed so long ago, for a minute."""
    at = datetime.now(UTC) - timedelta(**ago)
    return f"/v.mp4?X-Amz-Date={at:%Y%m%dT%H%M%SZ}&X-Amz-Expires=60&X-Amz-Signature=hidden"


def test_a_link_that_runs_out_in_the_middle_says_so(server: Server) -> None:
    server.answers["/v.mp4"] = ranged()
    source = HttpSource(server.url(signed(minutes=5)), allow_private=True, max_bytes=10**9)
    server.answers["/v.mp4"] = status(403)
    with pytest.raises(SourceExpired, match="has expired") as caught:
        source.read_at(100_000, 10)
    assert not caught.value.retryable and "hidden" not in caught.value.message


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"),
        (400, b"<Error><Code>ExpiredToken</Code><Message>hidden</Message></Error>"),
    ],
)
def test_a_store_that_says_expired_is_believed(server: Server, code: int, said: bytes) -> None:
    server.answers["/v.mp4"] = lambda handler: handler.send(code, said)
    with pytest.raises(SourceExpired) as caught:
        open_source(server.url("/v.mp4"), SETTINGS)
    assert "hidden" not in caught.value.message


def test_a_link_in_force_that_is_refused_is_forbidden(server: Server) -> None:
    server.answers["/v.mp4"] = status(403)
    with pytest.raises(SourceForbidden) as caught:
        open_source(server.url(signed(seconds=5)), SETTINGS)
    assert caught.value.code == "source_forbidden"


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Date=20240102T030405Z&X-Amz-Expires=60",
        "X-Goog-Date=20240102T030405Z&X-Goog-Expires=60",
        "Expires=1704164705&Signature=x",
        "Expires=1704164705&Key-Pair-Id=x",
        "se=2024-01-02T03:05:05Z&sig=x",
    ],
)
def test_the_end_of_a_link_is_read_from_it(query: str) -> None:
    assert expires_at(f"https://h/v.mp4?{query}") == datetime(2024, 1, 2, 3, 5, 5, tzinfo=UTC)


@pytest.mark.parametrize("query", ["", "Expires=x&Signature=y", "X-Amz-Date=1&X-Amz-Expires=2", "se=soon&sig=x"])
def test_other_links_have_no_end(query: str) -> None:
    assert expires_at(f"https://h/v.mp4?{query}") is None


def trickle(handler: Handler, data: bytes) -> None:
    try:
        for number in range(len(data)):
            handler.wfile.write(data[number : number + 1])
            time.sleep(0.05)
    except OSError:
        handler.close_connection = True


def slow_head(handler: Handler) -> None:
    trickle(handler, b"HTTP/1.1 206 Partial Content\r\nX-Padding: " + b"x" * 10_000)


def trickling(data: bytes) -> Answer:
    """A ranged body, byte by byte."""

    def answer(handler: Handler) -> None:
        first, last = handler.wanted(len(data))
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        handler.send_header("Content-Length", str(last - first + 1))
        handler.end_headers()
        trickle(handler, data[first : last + 1])

    return answer


slow_body = trickling(DATA)


def slow_whole(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    trickle(handler, DATA)
    handler.close_connection = True


def slow_chunk_size(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    trickle(handler, b"1;" + b"x" * 10_000)


def silent(handler: Handler) -> None:
    time.sleep(20)
    handler.close_connection = True


def busy(handler: Handler) -> None:
    time.sleep(0.4)
    handler.send(503)


@pytest.mark.parametrize("answer", [slow_head, slow_body, slow_whole, slow_chunk_size, silent])
def test_a_source_that_trickles_is_given_up_in_time(server: Server, answer: Answer) -> None:
    server.answers["/v.mp4"] = answer
    began = time.monotonic()
    with pytest.raises(SourceUnreachable, match="too slowly"):
        HttpSource(server.url("/v.mp4"), allow_private=True, max_bytes=10**9, stall_sec=STALL_SEC)
    assert time.monotonic() - began < GIVEN_UP_SEC


@pytest.mark.parametrize("answer", [slow_head, slow_body, silent])
def test_many_reads_of_a_source_that_began_to_trickle_share_one_patience(server: Server, answer: Answer) -> None:
    server.answers["/v.mp4"] = ranged()
    source = HttpSource(server.url("/v.mp4"), allow_private=True, max_bytes=10**9, stall_sec=STALL_SEC)
    server.answers["/v.mp4"] = answer
    began = time.monotonic()
    for offset in range(100_000, 120_000, 1000):
        with pytest.raises(SourceUnreachable, match="too slowly"):
            source.read_at(offset, 1000)
    assert time.monotonic() - began < GIVEN_UP_SEC


def test_a_source_that_is_slow_for_a_moment_is_read(server: Server) -> None:
    server.answers["/v.mp4"] = in_turn(busy, ranged(), busy, ranged())
    source = HttpSource(server.url("/v.mp4"), allow_private=True, max_bytes=10**9, stall_sec=5.0)
    assert source.read_at(100_000, 1000) == DATA[100_000:101_000]

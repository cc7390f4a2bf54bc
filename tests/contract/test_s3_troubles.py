"""What stores answer that moto never does, over a real socket: refusals, missing features, broken bodies."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend.errors import ObjectExists, SourceExpired, SourceForbidden, SourceUnreachable, StorageError
from backend.settings import Settings
from backend.storage import open_destination, open_source, open_store

KEY = "jobs/7f/x"


class TroubledStore(ThreadingHTTPServer):
    """One object's worth of S3; `answers` are (status, code) given to the next PUTs and GETs before it works."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, str]] = []
        self.refuses_conditions = False
        self.broken_bodies = 0
        self.stored: bytes | None = None
        self.paths: list[str] = []
        self.pause_sec = 0.0  # between bytes


class _Handler(BaseHTTPRequestHandler):
    server: TroubledStore
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        if self.server.answers:
            return self.answer(self.server.answers.pop(0)[0])
        self.answer(404 if self.server.stored is None else 200, self.server.stored or b"")

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.paths.append(self.path)
        if self.server.refuses_conditions and "If-None-Match" in self.headers:
            return self.refuse(501, "NotImplemented")
        if self.server.answers:
            return self.refuse(*self.server.answers.pop(0))
        self.server.stored = data
        self.answer(200)

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        if self.server.answers:
            return self.refuse(*self.server.answers.pop(0))
        data = self.server.stored or b""
        if self.server.broken_bodies:
            self.server.broken_bodies -= 1
            self.answer(206, data, sent=len(data) // 2)
            self.close_connection = True
            return
        self.answer(206, data)

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, f"<Error><Code>{code}</Code><Message>secret-of-{code}</Message></Error>".encode())

    def answer(self, status: int, body: bytes = b"", sent: int | None = None) -> None:
        self.send_response(status)
        self.send_header("ETag", '"tag"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if not self.server.pause_sec:
            self.wfile.write(body[:sent])
            return
        self.close_connection = True
        with contextlib.suppress(OSError):  # the reader hung up
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(self.server.pause_sec)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[TroubledStore]:
    with TroubledStore() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def troubled(server: TroubledStore) -> Settings:
    return Settings(
        storage_url="s3://bucket",
        s3_endpoint_url=f"http://127.0.0.1:{server.server_port}",
        s3_access_key_id="testing-key",
        s3_secret_access_key="testing-secret",
    )


def test_store_without_conditional_writes_still_refuses_a_taken_key(troubled: Settings, server: TroubledStore) -> None:
    server.refuses_conditions = True
    open_store(troubled).put_if_absent(KEY, b"first")
    with pytest.raises(ObjectExists):
        open_store(troubled).put_if_absent(KEY, b"later")
    assert server.stored == b"first"


def test_conflict_with_another_writer_is_tried_again(troubled: Settings, server: TroubledStore) -> None:
    server.answers = [(409, "ConditionalRequestConflict")] * 2
    open_store(troubled).put_if_absent(KEY, b"mine")
    assert server.stored == b"mine"
    server.answers = [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed")]
    with pytest.raises(ObjectExists):
        open_store(troubled).put_if_absent(KEY, b"mine")


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "AccessDenied", "s3:PutObject"),
        (403, "InvalidAccessKeyId", "credentials"),
        (404, "NoSuchBucket", "create it"),
        (301, "PermanentRedirect", "S3_REGION"),
        (418, "Teapot", "Teapot"),
    ],
)
def test_refusals_say_what_to_do_and_no_secret(
    troubled: Settings, server: TroubledStore, status: int, code: str, advice: str
) -> None:
    server.answers = [(status, code)] * 3
    with pytest.raises(StorageError, match=advice) as caught:
        open_store(troubled).put(KEY, b"x")
    assert "secret" not in str(caught.value)


def test_forbidden_source_is_not_tried_again(troubled: Settings, server: TroubledStore) -> None:
    server.answers = [(403, "")]
    with pytest.raises(SourceForbidden) as caught:
        open_source("s3://bucket/video.mp4", troubled)
    assert not caught.value.retryable


def test_body_that_breaks_off_is_read_again(troubled: Settings, server: TroubledStore) -> None:
    server.stored = b"a whole body"
    source = open_source("s3://bucket/video.mp4", troubled)
    server.broken_bodies = 2
    assert source.read_at(0, 12) == b"a whole body"
    server.broken_bodies = 9
    with pytest.raises(SourceUnreachable):
        source.read_at(0, 12)


def test_a_line_break_in_a_key_is_a_character_like_any_other(
    troubled: Settings, server: TroubledStore, tmp_path: Path
) -> None:
    (tmp_path / "film").write_bytes(b"the film")
    open_destination("s3://bucket/two\r\nlines.mp4", troubled).put_file(tmp_path / "film", content_type="video/mp4")
    assert open_source("s3://bucket/two\r\nlines.mp4", troubled).read_at(0, 9) == b"the film"
    assert server.paths == ["/bucket/two%0D%0Alines.mp4"] * 2


@pytest.mark.parametrize("status", [400, 403])
def test_a_session_token_that_ran_out_says_so(troubled: Settings, server: TroubledStore, status: int) -> None:
    server.answers = [(status, "ExpiredToken")] * 9  # to a HEAD without words
    with pytest.raises(SourceExpired, match="fresh credentials") as caught:
        open_source("s3://bucket/video.mp4", troubled)
    assert not caught.value.retryable


def test_a_session_token_that_runs_out_in_the_middle_says_so(troubled: Settings, server: TroubledStore) -> None:
    server.stored = b"a whole body"
    source = open_source("s3://bucket/video.mp4", troubled)
    server.answers = [(400, "ExpiredToken")]
    with pytest.raises(SourceExpired, match="fresh credentials"):
        source.read_at(0, 12)


def test_a_store_that_trickles_is_given_up_and_stays_so(troubled: Settings, server: TroubledStore) -> None:
    server.stored = bytes(500)
    source = open_source("s3://bucket/video.mp4", troubled.model_copy(update={"source_stall_seconds": 1.0}))
    server.pause_sec = 0.05
    began = time.monotonic()
    for _ in range(5):
        with pytest.raises(SourceUnreachable, match="too slowly"):
            source.read_at(0, 500)
    assert time.monotonic() - began < 6

"""Who has no token, or has one and means ill; and a server that does."""

from __future__ import annotations

import gzip
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flask import Flask
from pydantic import SecretStr

from backend.api.remote_files import MAX_JSON_BYTES
from backend.db.engine import Database
from backend.errors import FramefleetError, ServerUnavailable
from backend.queue import messages as m
from backend.queue.figures import list_workers
from backend.queue.remote_workers import MAX_PROCESSES
from backend.settings import Settings
from backend.storage import open_store
from backend.versions import SCHEMA_VERSION
from backend.workers.remote import transport as transports
from backend.workers.remote.server import Server, claim_path
from backend.workers.remote.transport import HttpTransport
from tests.integration.queue.helpers import claim_of, planned_job, sql, statuses
from tests.integration.remote.over_http import AppTransport, RemoteHands, serve


@pytest.fixture
def transport(app: Flask, database: Database, settings: Settings) -> AppTransport:
    return serve(app, database, settings)


@pytest.fixture
def desk(transport: AppTransport, database: Database, settings: Settings) -> Any:
    return RemoteHands(transport, database, settings, "desk")


def test_a_signature_of_other_letters_is_refused_like_any_other(desk: Any, transport: AppTransport) -> None:
    for worker_id in (1, 2):
        reply = transport.send("GET", f"{m.REMOTE_PATH}/links/{worker_id}/1/1/0?signature=%C3%A9", {})
        assert (reply.status, json.loads(reply.body)["code"]) == (401, "caller_refused")


def test_a_deep_detector_does_not_make_the_list_of_jobs_unreadable(
    desk: Any, transport: AppTransport, database: Database
) -> None:
    planned_job(database, 2)
    claim = claim_of(desk)
    desk._upload(claim)
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"a": deep}
    detector = {"type": "hog", "input_px": 640, "deep": deep, "list": [[]]}
    desk.server.ask(claim_path(claim, "complete"), m.Completion(sha256="a" * 64, detector=detector), m.Completed)
    reply = transport.send("GET", "/api/v1/jobs", {})
    assert reply.status == 200
    assert json.loads(reply.body)["jobs"][0]["detector"] == {"type": "hog", "input_px": 640}


@pytest.mark.parametrize("if_absent", ["true", "false"])
def test_what_arrives_after_the_claim_ended_is_written_nowhere(
    app: Flask, desk: Any, database: Database, settings: Settings, if_absent: str
) -> None:
    """A body may take its time, and begin under a claim that is somebody else's at its end."""
    job_id = planned_job(database, 1)
    claim = claim_of(desk)

    class Slow(io.BytesIO):
        def readinto(self, into: Any) -> int:
            if self.tell() == 0:
                desk.release_chunk(claim)
            return super().readinto(into)

    path = f"{m.REMOTE_PATH}{claim_path(claim, 'artifact')}?if_absent={if_absent}"
    headers = {"Authorization": f"Bearer {desk.token}", "Content-Length": "4"}
    assert app.test_client().put(path, headers=headers, input_stream=Slow(b"late")).status_code == 409
    assert statuses(database, job_id) == ["queued"]
    assert list(open_store(settings).list("jobs/")) == []


def test_a_token_makes_no_endless_list_of_workers(desk: Any, database: Database) -> None:
    for number in range(MAX_PROCESSES + 5):
        sql(
            database,
            "INSERT INTO workers (worker_id, kind, knows, schema_version, encoders, seen_at)"
            " VALUES (:name, 'gpu_chunk_worker', '{}', 1, '{}', now() - make_interval(secs => :ago))",
            name=f"remote-1/desk/{number}",
            ago=number,
        )
    sql(database, "UPDATE workers SET worker_id = 'remote-11/desk/4' WHERE worker_id = 'remote-1/desk/4'")
    said = {"worker": "new", "kinds": [], "schema_version": SCHEMA_VERSION}
    present = m.Present.model_validate(said | {"kind": "gpu_chunk_worker", "begins": True})
    desk.server.ask("/seen", present, m.PresentAnswer)
    names = {row["worker_id"] for row in list_workers(database)}
    assert len(names) == MAX_PROCESSES + 1, "and one of somebody else"
    assert {"remote-1/desk/new", "remote-1/desk/0", "remote-11/desk/4"} <= names
    assert f"remote-1/desk/{MAX_PROCESSES + 4}" not in names


def test_a_worker_tries_the_store_with_a_small_object_only(desk: Any) -> None:
    desk.server.ask("/probe", m.WantedUpload(size_bytes=10, if_absent=False), m.ProbePlaces)
    with pytest.raises(FramefleetError, match="at most"):
        desk.server.ask("/probe", m.WantedUpload(size_bytes=10 * 2**20, if_absent=False), m.ProbePlaces)


def test_an_artifact_that_others_parse_is_no_larger_than_they_can(
    desk: Any, transport: AppTransport, database: Database
) -> None:
    planned_job(database, 1)
    claim = claim_of(desk)
    for size_bytes, is_taken in ((MAX_JSON_BYTES, True), (MAX_JSON_BYTES + 1, False)):
        wanted = m.WantedUpload(size_bytes=size_bytes).model_dump_json().encode()
        headers = {"Authorization": f"Bearer {desk.token}", "Content-Type": "application/json"}
        reply = transport.send("POST", m.REMOTE_PATH + claim_path(claim, "upload"), headers, wanted)
        assert reply.status == (200 if is_taken else 413)


class Bad(BaseHTTPRequestHandler):
    """A server whose answers do not end, or are a thousand times as long as they look."""

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.send_response(302 if self.path.startswith(m.REMOTE_PATH) else 200)
        if self.path.startswith(m.REMOTE_PATH):
            self.send_header("Location", "/packed")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path == "/packed":
            self.send_header("Content-Encoding", "gzip")
            packed = gzip.compress(bytes(1_000_000))
            self.send_header("Content-Length", str(len(packed)))
            self.end_headers()
            self.wfile.write(packed)
            return
        self.end_headers()
        for _ in range(100):
            try:
                self.wfile.write(bytes(100_000))
            except OSError:
                return

    do_PUT = do_POST  # noqa: N815


@pytest.fixture
def bad_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bad)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_does_not_fill_a_workers_memory(bad_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "MAX_ANSWER_BYTES", 1_000_000)
    worker = HttpTransport(bad_server)
    with pytest.raises(ServerUnavailable):
        worker.send("POST", "/endless", {})
    assert len(worker.send("POST", "/packed", {}).body) < 10_000


def test_a_redirect_is_not_taken_for_having_been_heard(bad_server: str) -> None:
    server = Server(HttpTransport(bad_server), SecretStr("ff-1-x"), "desk")
    with pytest.raises(ServerUnavailable, match="check --server"):
        server.tell("/gone", m.Leaving(worker="desk"))
    with pytest.raises(ServerUnavailable, match="check --server"):
        server.write(m.REMOTE_PATH + "/chunks/1/1/artifact", {"Content-Length": "0"}, lambda: iter(()))

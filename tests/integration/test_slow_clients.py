"""The API as it is started in production, among clients that are slow: they cost it no thread."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import requests

from backend.api.server.limits import SPOOLED_BODY_BYTES
from backend.db.engine import Database
from backend.db.models import Job
from backend.settings import Settings
from backend.storage import open_store
from tests.conftest import empty_database
from tests.integration.commands import PROJECT, environment
from tests.integration.conftest import wait_until

THREADS = 4
FILM_BYTES = 16 * 2**20  # more than the system takes of it for a client that reads nothing
PATIENCE_SEC = 30
HEAD = b"GET /health HTTP/1.1\r\nHo"
BODY = (
    b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
)
FORM = (
    b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    b"Content-Length: 90000000\r\n\r\n--x\r\n"
)


@dataclass
class Api:
    """One process of gunicorn, with the file that lies in the project's folder as its configuration."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    film: UUID  # a finished job
    film_sha256: str
    store: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.address}{path}", timeout=PATIENCE_SEC)

    def slow(self, stack: ExitStack, sent: bytes) -> socket.socket:
        """A client that sends this and does nothing more."""
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SEC))
        sock.sendall(sent)
        return sock


@pytest.fixture(scope="module")
def api(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    with ExitStack() as stack:
        url = stack.enter_context(empty_database(postgres))
        settings = Settings.model_validate({"database_url": url, "data_dir": folder})
        film, data = uuid4(), os.urandom(FILM_BYTES)
        key = f"jobs/{film}/output/film_cropped.mp4"
        open_store(settings).put(key, data)
        database = Database(url)
        stack.callback(database.close)
        facts = {"kind": "crop", "input_uri": "https://example.com/film.mp4", "input_name": "film.mp4"}
        with database.session() as session:
            session.add(Job(id=film, status="done", stage="DONE", output_key=key, total_chunks=0, **facts))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = stack.enter_context((folder / "api.log").open("wb"))
        command = ["-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", str(THREADS)]
        process = subprocess.Popen(
            [sys.executable, *command, "backend.api.app:create_app()"],
            cwd=PROJECT,
            env=environment({"DATABASE_URL": url, "FRAMEFLEET_DATA_DIR": str(folder)}),
            stdout=log,
            stderr=log,
        )
        stack.callback(process.wait, timeout=PATIENCE_SEC)
        stack.callback(process.terminate)
        sha256 = hashlib.sha256(data).hexdigest()
        site = Api(port, process, folder / "api.log", film, sha256, folder / "objects")
        wait_until(lambda: _answers(site), PATIENCE_SEC, "the API answers")
        yield site
    assert "Traceback" not in site.log.read_text()


def _answers(site: Api) -> bool:
    try:
        return site.get("/health").ok
    except requests.ConnectionError:
        return False


def _serves_everybody(site: Api, times: int = 1) -> None:
    for _ in range(times):
        assert site.get("/health").ok
        assert site.get(f"/api/v1/jobs/{site.film}").json()["status"] == "done"
        assert site.get("/api/v1/jobs").json()["jobs"]


def test_the_file_in_the_projects_folder_starts_our_server(api: Api) -> None:
    assert "backend.api.server.worker.Worker" in api.log.read_text()


def test_thirty_slow_clients_hold_none_of_four_threads(api: Api) -> None:
    film = f"GET /api/v1/jobs/{api.film}/output HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ExitStack() as stack:
        for number in range(30):
            api.slow(stack, [HEAD, BODY, film][number % 3])
        _serves_everybody(api)


def test_uploads_that_stand_still_hold_none_either(api: Api) -> None:
    with ExitStack() as stack:
        for _ in range(2 * THREADS):
            api.slow(stack, FORM)
        _serves_everybody(api)


def test_a_film_comes_whole_and_in_parts(api: Api) -> None:
    path = f"{api.address}/api/v1/jobs/{api.film}/output"
    whole = requests.get(path, timeout=PATIENCE_SEC)
    assert hashlib.sha256(whole.content).hexdigest() == api.film_sha256
    part = requests.get(path, headers={"Range": "bytes=5000000-12345678"}, timeout=PATIENCE_SEC)
    assert (part.status_code, part.content) == (206, whole.content[5000000:12345679])
    head = requests.head(path, timeout=PATIENCE_SEC)
    assert head.headers["Content-Length"] == str(FILM_BYTES)


def test_a_form_larger_than_what_waits_on_disk_is_stored_whole(api: Api) -> None:
    data = os.urandom(1024) * (SPOOLED_BODY_BYTES // 1024 + 5)
    answer = requests.post(f"{api.address}/api/v1/jobs", files={"file": ("a.mp4", data)}, timeout=PATIENCE_SEC)
    assert answer.status_code == 202
    job_id = answer.json()["id"]
    (stored,) = [path for path in (api.store / "jobs" / job_id).iterdir() if path.name.startswith("source")]
    assert hashlib.sha256(stored.read_bytes()).digest() == hashlib.sha256(data).digest()


def test_a_refused_upload_is_told_so_before_it_is_sent(api: Api) -> None:
    with ExitStack() as stack:
        sock = api.slow(
            stack, FORM.replace(b"/jobs", b"/nowhere").replace(b"\r\n\r\n--x\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        )
        answer = sock.recv(65536)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"application/problem+json" in answer


@pytest.mark.slow
def test_two_hundred_slow_clients_hold_none_of_four_threads(api: Api) -> None:
    film = f"GET /api/v1/jobs/{api.film}/output HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ExitStack() as stack:
        for number in range(200):
            api.slow(stack, [HEAD, BODY, film][number % 3])
        _serves_everybody(api, times=30)


def test_after_sigterm_what_is_under_way_ends_and_nothing_new_is_taken(api: Api) -> None:
    """The last one: it ends the server."""
    with ExitStack() as stack:
        half = api.slow(stack, BODY)
        idle = api.slow(stack, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(65536)
        api.process.send_signal(signal.SIGTERM)
        wait_until(lambda: _is_refused(api.port), PATIENCE_SEC, "no connection is taken")
        half.sendall(b" " * 498 + b"}")
        answer = half.recv(65536)
        assert answer.startswith(b"HTTP/1.1 4")  # it was read, and answered by the application
        assert b"Connection: close" in answer
        assert idle.recv(65536) == b""
    assert api.process.wait(timeout=PATIENCE_SEC) == 0


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    time.sleep(0.05)
    return False

"""What no HTTP library sends, sent to the API as gunicorn runs it: each is the client's error, and none has a trace."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import empty_database
from tests.integration.commands import PROJECT
from tests.integration.conftest import wait_until

JOBS = "/api/v1/jobs"
APPLICATION = "backend.api.app:create_app()"
START_SEC, ANSWER_SEC = 60, 30
JSON = "Content-Type: application/json\r\n"


@dataclass
class Server:
    port: int
    log: Path

    def answers(self) -> bool:
        try:
            return self.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
        except OSError:
            return False

    def send(self, request: str) -> tuple[int, bytes]:
        """Status and the rest of the answer; 0 where the connection is ended without one."""
        with socket.create_connection(("127.0.0.1", self.port), ANSWER_SEC) as connection:
            sent = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1).encode("latin-1")
            answer = b""
            with suppress(OSError):  # it is told that nobody reads the rest
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                while block := connection.recv(65536):
                    answer += block
        head, _, body = answer.partition(b"\r\n\r\n")
        return (int(head.split(b" ", 2)[1]) if head else 0), body


@pytest.fixture(scope="module")
def server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("raw")
    with empty_database(postgres) as url, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = Server(probe.getsockname()[1], folder / "api.log")
        probe.close()
        places = {"STORAGE_URL": (folder / "objects").as_uri(), "FRAMEFLEET_DATA_DIR": str(folder)}
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{server.port}", APPLICATION]
        with server.log.open("wb") as log:
            env = os.environ | {"DATABASE_URL": url} | places
            process = subprocess.Popen(command, cwd=PROJECT, env=env, stdout=log, stderr=log)
        try:
            wait_until(server.answers, START_SEC, "the API answers")
            yield server
        finally:
            process.terminate()
            process.wait(ANSWER_SEC)


def chunked(size: str) -> str:
    head = f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n"
    return f"{head}{size}\r\n{{}}\r\n0\r\n\r\n"


def lengths(*header: str, body: str = "{}") -> str:
    return (
        f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\n{JSON}" + "".join(f"{each}\r\n" for each in header) + f"\r\n{body}"
    )


def get(path: str, *header: str, host: str = "localhost") -> str:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n" + "".join(f"{each}\r\n" for each in header) + "\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        chunked("-1"),
        chunked("zz"),
        chunked(""),
        chunked("f" * 40),
        chunked("ffffffff"),  # it ends before that
        lengths("Content-Length: -1"),
        lengths("Content-Length: 1e1"),
        lengths("Content-Length: +2"),
        lengths("Content-Length: 2", "Content-Length: 3"),
        lengths("Content-Length: 2", "Transfer-Encoding: chunked"),
        lengths("Content-Length: 500"),  # it ends before that
        lengths("Transfer-Encoding: gzip, chunked, chunked"),
        get("/api/v1%2fjobs"),
        get("/health/%2e%2e/api/v1/jobs"),
        get(f"{JOBS}%00"),
        get(f"{JOBS}\\..\\.."),
        get(f"http://other.example{JOBS}"),
        get(JOBS, host="http://["),
        get(JOBS, host="rebound.example"),
        get(JOBS, "X-A: b\x00c"),
        get(JOBS, " X-A: b"),
        get("/" + "a" * 100_000),
        get(JOBS, "X-Long: " + "a" * 100_000),
    ],
    ids=lambda request_: request_[:60].partition("\r\n")[0],
)
def test_what_is_no_request_is_the_clients_error(server: Server, request_: str) -> None:
    status, body = server.send(request_)
    assert status in (0, 501) or 400 <= status < 500, (status, body)  # 501: of a transfer coding that nobody here knows
    assert b"Traceback" not in body and b"/site-packages/" not in body


def test_odd_headers_are_told_apart_from_faults_of_ours(server: Server) -> None:
    headers = [
        "Range: bytes=9999999999999999999999-",
        'If-Range: "',
        "If-None-Match: " + '"' * 3000,
        "Accept: \xff\xfe",
        "Cookie: a=\xff; b",
        "traceparent: \xff",
        "Origin: http://[",
    ]
    for header in headers:
        assert server.send(get(JOBS, header))[0] == 200, header
    for header in ("Origin: http://[", "Origin: null", "Sec-Fetch-Site: cross-site"):
        status, body = server.send(lengths("Content-Length: 2", header))
        assert (status, json.loads(body)["code"]) == (403, "forbidden"), header


@pytest.mark.parametrize("prefix", ["/api", "/health", "/nothing", "x"])
def test_no_header_says_where_the_application_begins(server: Server, prefix: str) -> None:
    """Without it that is a list of jobs; with it another route would answer than a proxy has let through."""
    for name in ("SCRIPT_NAME", "Script-Name", "PATH_INFO", "X-Script-Name"):
        status, body = server.send(get(JOBS, f"{name}: {prefix}"))
        assert status == 400 or (status == 200 and "jobs" in json.loads(body)), (name, status, body)


def test_none_of_that_left_a_trace(server: Server) -> None:
    """Runs last: what the requests above were to the server's log."""
    log = server.log.read_text(errors="replace")
    assert "Traceback" not in log and '"exception"' not in log, log[-3000:]

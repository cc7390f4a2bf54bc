"""Real HTTP servers on loopback, in place of what answers beside a worker: the ECS agent, the instance's metadata,
Kubernetes."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NOTICE = b'{"action": "terminate", "time": "2026-11-20T12:00:00Z"}'
TASK = "arn:aws:ecs:eu-west-1:1:task/fleet/7f"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@contextmanager
def loopback(
    answer: Callable[[Request], tuple[int, bytes] | tuple[int, bytes, dict[str, str]]],
    tls: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """The server's address. An answer is a status and a body, and headers where it needs some."""

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body, *more = answer(Request(self.command, self.path, headers, self.rfile.read(length)))
            self.send_response(status)
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                with suppress(ConnectionError):  # whoever asked may have heard enough
                    self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_PATCH = do_HEAD = respond  # noqa: N815

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        # The handshake belongs to the thread of the connection: one that fails must not hold up the others.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Agent:
    """The ECS agent's task protection. `note` is asked at each request, and what it says is kept beside it."""

    reply: dict[str, Any] | None = None  # instead of doing what is asked
    status: int = 200
    note: Callable[[], Any] = lambda: None
    asked: list[tuple[bool, Any]] = field(default_factory=list)

    def __call__(self, request: Request) -> tuple[int, bytes]:
        wanted = json.loads(request.body)
        assert (request.method, request.path) == ("PUT", "/api/task-protection/v1/state")
        assert request.headers["content-type"] == "application/json"
        assert 1 <= wanted.get("ExpiresInMinutes", 120) <= 2880
        self.asked.append((wanted["ProtectionEnabled"], self.note()))
        if self.reply is not None:
            return self.status, json.dumps(self.reply).encode()
        state = {"ProtectionEnabled": wanted["ProtectionEnabled"], "TaskArn": TASK}
        return 200, json.dumps({"protection": state}).encode()

    @property
    def wishes(self) -> list[bool]:
        return [wish for wish, _ in self.asked]


def refusal(reason: str) -> dict[str, Any]:
    return {"failure": {"Arn": TASK, "Reason": reason, "Detail": "no"}}


class Metadata:
    """The instance's metadata service, version 2: no answer without a token it gave. `notice` is the spot notice."""

    def __init__(self) -> None:
        self.notice: bytes | None = None
        self.tokens_given = 0
        self.asked = threading.Event()

    def __call__(self, request: Request) -> tuple[int, bytes]:
        if request.path == "/latest/api/token":
            assert request.method == "PUT"
            assert 1 <= int(request.headers["x-aws-ec2-metadata-token-ttl-seconds"]) <= 21600
            self.tokens_given += 1
            return 200, f"token-{self.tokens_given}".encode()
        assert request.path == "/latest/meta-data/spot/instance-action"
        if request.headers.get("x-aws-ec2-metadata-token") != f"token-{self.tokens_given}":
            return 401, b""
        self.asked.set()
        return (404, b"") if self.notice is None else (200, self.notice)

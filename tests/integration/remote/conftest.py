"""An API that listens on loopback, and remote workers as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import make_server

from backend.db.engine import Database
from backend.queue.remote_workers import add_remote_worker
from backend.settings import Settings
from tests.integration.conftest import CHUNK_WORKER
from tests.integration.remote.over_http import make_app, serve

# All that such a machine has in its environment, beside what its owner sets.
KEPT = ("PATH", "PYTHONPATH", "HOME", "LANG", "TMPDIR")


@pytest.fixture(scope="session")
def app() -> Flask:
    return make_app()


@pytest.fixture
def api(app: Flask, database: Database, settings: Settings) -> Iterator[Callable[..., str]]:
    """Begins to listen with these settings, and gives the address."""
    stops: list[Callable[[], None]] = []

    def listen(**changes: object) -> str:
        serve(app, database, settings.model_copy(update=changes))
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        stops.extend((server.shutdown, thread.join, server.server_close))
        return f"http://127.0.0.1:{server.server_port}"

    yield listen
    for stop in stops:
        stop()


@dataclass
class RemoteMachine:
    """Somebody's desk: worker processes that have a server's address and a token, and nothing else."""

    database: Database
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, server: str, name: str = "desk", token: str | None = None, **env: str) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        token = token or add_remote_worker(self.database, name)
        secret = self.folder / f"{name}.token"
        secret.write_text(token + "\n")
        environment = {key: os.environ[key] for key in KEPT if key in os.environ}
        environment |= {"DETECTOR": "hog", "POLL_SECONDS": "0.1", "FRAMEFLEET_DATA_DIR": str(self.folder)} | env
        command = [sys.executable, "-m", CHUNK_WORKER, "--server", server, "--token-file", str(secret)]
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def log(self, name: str = "desk") -> str:
        return self._log(name).read_text()

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@pytest.fixture
def machine(database: Database, tmp_path: Path) -> Iterator[RemoteMachine]:
    machine = RemoteMachine(database, tmp_path / "desk")
    yield machine
    for process in machine.processes:
        process.kill()
        process.wait()

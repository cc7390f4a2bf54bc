"""The queue as a remote worker sees it: through the API's routes, without a socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from flask import Flask
from pydantic import SecretStr

from backend.api.app import create_app
from backend.api.context import EXTENSION
from backend.api.keys import KeyRing
from backend.api.own_worker import OwnWorker
from backend.db.engine import Database
from backend.errors import ClaimLost, ObjectExists
from backend.queue.claims import ChunkClaim
from backend.queue.executor import Hold, Nobody
from backend.queue.lease import LeaseKeeper
from backend.queue.queue import Queue
from backend.queue.remote_workers import add_remote_worker
from backend.settings import Settings
from backend.storage import open_store
from backend.workers.remote.files import RemoteFiles
from backend.workers.remote.queue import RemoteQueue
from backend.workers.remote.server import Server
from backend.workers.remote.transport import Body, Reply

BASE_URL = "http://fleet.test"


class AppTransport:
    """Requests to the application itself. `answered` may look at what comes back, or lose it."""

    def __init__(self, app: Flask) -> None:
        self.base_url = BASE_URL
        self.answered: Callable[[str, Reply], Reply] = lambda path, reply: reply
        self._app = app

    def send(self, method: str, path: str, headers: Mapping[str, str], body: Body = None) -> Reply:
        data = body if isinstance(body, bytes) or body is None else b"".join(body)
        answer = self._app.test_client().open(path, method=method, headers=dict(headers), data=data)
        found = {name.lower(): value for name, value in answer.headers.items()}
        return self.answered(path, Reply(answer.status_code, found, answer.data))


def make_app() -> Flask:
    """One for many databases: making it takes longer than a test. See `serve`."""
    return create_app(Settings.model_validate({"database_url": "postgresql://nobody@localhost/nothing"}))


def serve(app: Flask, database: Database, settings: Settings) -> AppTransport:
    """The application, from now on with this database and these settings."""
    app.extensions[EXTENSION] = replace(
        app.extensions[EXTENSION],
        settings=settings,
        database=database,
        store=open_store(settings),
        planners=ThreadPoolExecutor(1),
        own_worker=OwnWorker(settings),
        keys=KeyRing(database),
    )
    return AppTransport(app)


def a_hold(settings: Settings) -> Hold:
    """On a claim that nobody beats for."""
    return Hold(LeaseKeeper(lambda progress: None, settings.lease_seconds), Nobody())


class RemoteHands:
    """To a test what a Queue is: a chunk worker's verbs go through the API, all else straight to the database."""

    def __init__(self, transport: AppTransport, database: Database, settings: Settings, name: str) -> None:
        self.token = add_remote_worker(database, name)
        self.server = Server(transport, SecretStr(self.token), name)
        self.remote = RemoteQueue(self.server)
        self._settings = settings
        self._direct = Queue(database, settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.remote if hasattr(RemoteQueue, name) else self._direct, name)

    def complete_chunk(self, claim: ChunkClaim, *found: Any, **more: Any) -> Any:
        self._upload(claim)
        return self.remote.complete_chunk(claim, *found, **more)

    def complete_and_claim(self, claim: ChunkClaim, *found: Any, **more: Any) -> Any:
        self._upload(claim)
        return self.remote.complete_and_claim(claim, *found, **more)

    def _upload(self, claim: ChunkClaim) -> None:
        """A stale worker may not even do that; what it says afterwards is the test's."""
        with suppress(ClaimLost, ObjectExists):
            RemoteFiles(claim, a_hold(self._settings), self.server, self._settings).put_if_absent(b"found")

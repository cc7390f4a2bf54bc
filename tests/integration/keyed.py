"""An API that other machines call: requests from elsewhere, with keys of its own database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.access.keys import create_key
from backend.access.scopes import Scope
from backend.api.app import create_app
from backend.db.engine import Database
from backend.settings import Settings

ELSEWHERE = "203.0.113.7"
JOBS = "/api/v1/jobs"
SESSION = "/api/v1/session"


class Caller:
    """Calls from another machine, with a key or without."""

    def __init__(self, client: FlaskClient, key: str | None = None, address: str = ELSEWHERE) -> None:
        self._client = client
        self._key = key
        self._address = address

    def ask(self, path: str, method: str = "GET", **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        headers |= more.pop("headers", {})
        environ = {"REMOTE_ADDR": self._address}
        return self._client.open(path, method=method, headers=headers, environ_overrides=environ, **more)

    def code(self, path: str, method: str = "GET", **more: Any) -> tuple[int, str | None]:
        """Status, and the problem's code where it is one."""
        answer = self.ask(path, method, **more)
        return answer.status_code, (answer.get_json(silent=True) or {}).get("code")


class Api:
    """The application, and keys to it."""

    def __init__(self, app: Flask, database: Database) -> None:
        self.app = app
        self.database = database

    def stranger(self, address: str = ELSEWHERE) -> Caller:
        return Caller(self.app.test_client(), address=address)

    def with_key(self, key: str, address: str = ELSEWHERE) -> Caller:
        return Caller(self.app.test_client(), key, address)

    def holder(self, name: str, *scopes: Scope, tenant: str = "default") -> Caller:
        """Somebody with a new key."""
        return self.with_key(create_key(self.database, name, tenant=tenant, scopes=scopes or tuple(Scope)))


@contextmanager
def api_on(database_url: str, folder: Path, **changes: Any) -> Iterator[Api]:
    given = {
        "database_url": database_url,
        "storage_url": (folder / "objects").as_uri(),
        "data_dir": folder / "data",
        **changes,
    }
    app = create_app(Settings.model_validate(given))
    database = Database(database_url)
    try:
        yield Api(app, database)
    finally:
        app.extensions["framefleet"].planners.shutdown()
        app.extensions["framefleet"].database.close()
        database.close()

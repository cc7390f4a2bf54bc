"""An API in this process for pages in a real browser, and what its uploads are made of."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Response, g, request
from werkzeug.serving import make_server

from backend.storage import open_store
from tests.integration.keyed import Api, api_on

PART = re.compile(r"/parts/(\d+)$|[?&]partNumber=(\d+)")


class Served:
    """An API and its address. `faults`: what scripts of watched pages threw."""

    def __init__(self, api: Api, address: str) -> None:
        self.api, self.address = api, address
        self.faults: list[str] = []
        self.parts_let = math.inf  # so many more parts of uploads are taken; others are told to come later
        self._lock = threading.Lock()
        api.app.before_request(self._hold_parts)
        api.app.after_request(self._count_parts)

    def _hold_parts(self) -> tuple[str, int] | None:
        if request.method != "PUT" or not PART.search(request.path):
            return None
        with self._lock:
            g.is_let = self.parts_let > 0
            self.parts_let -= g.is_let
            return None if g.is_let else ("", 503)

    def _count_parts(self, response: Response) -> Response:
        """One that did not arrive whole is none."""
        if g.get("is_let") and response.status_code >= 400:
            with self._lock:
                self.parts_let += 1
        return response

    def watch(self, page: Any) -> Any:
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        return page

    def jobs(self) -> dict[str, dict[str, Any]]:
        """All jobs by the name of their input, with their params."""
        client = self.api.app.test_client()
        listed = client.get("/api/v1/jobs?limit=100").get_json()["jobs"]
        return {job["input"]["name"]: client.get(f"/api/v1/jobs/{job['id']}").get_json() for job in listed}

    def stored(self, job_id: str) -> bytes:
        return open_store(self.api.app.extensions["framefleet"].settings).get(f"jobs/{job_id}/source")


@contextmanager
def served(database_url: str, folder: Path, **settings: Any) -> Iterator[Served]:
    """Fails at its end for whatever a watched page's scripts threw."""
    with api_on(database_url, folder, **settings) as api:
        server = make_server("127.0.0.1", 0, api.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        site = Served(api, f"http://127.0.0.1:{server.server_port}")
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
    assert site.faults == []


class SentParts:
    """(upload or object, number) of each part that a page sent to its end, in that order."""

    def __init__(self, page: Any) -> None:
        self.all: list[tuple[str, int]] = []
        page.on("response", self._note)

    def _note(self, response: Any) -> None:
        number = PART.search(response.url)
        if number and response.ok and response.request.method == "PUT":
            self.all.append((response.url.partition("?")[0], int(number[1] or number[2])))

    @property
    def numbers(self) -> list[int]:
        return sorted(number for _, number in self.all)

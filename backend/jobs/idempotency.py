"""Idempotency-Key: of the requests with one key, one makes a job, and the others get that job.

A key belongs to a tenant and lives as long as its job. What the request was is kept as a hash in the job's row, so that
another request under the same key is told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from backend.db.engine import Database
from backend.db.models import Job
from backend.errors import DatabaseUnavailable, KeyInFlight, KeyReused
from backend.telemetry import poll_failed

# A process that died while it answered holds a key no longer than this. What is still being uploaded after that may be
# sent a second time: the later one of them finds the other's job.
PATIENCE_SEC = 900.0


@contextmanager
def in_flight(database: Database, tenant: str, key: str) -> Iterator[None]:
    """While it lasts, nobody else answers a request with this key. Raises KeyInFlight where somebody does."""
    mine = {"tenant": tenant, "idempotency_key": key, "token": uuid4()}
    if database.ask("begin_request", **mine, patience_seconds=PATIENCE_SEC) is None:
        raise KeyInFlight("A request with this Idempotency-Key is still being answered: ask again in a moment.")
    try:
        yield
    finally:
        try:
            database.ask("end_request", **mine)
        except DatabaseUnavailable as failure:  # the answer is made; the row's time runs out
            poll_failed(failure)


def fingerprint(request: dict[str, Any]) -> str:
    """Of what a request asks for, whatever the order of its members and the spaces between them."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_same(job: Job, request_sha256: str) -> None:
    """Raises KeyReused when the job was made by another request. One that an earlier version made is not asked."""
    if job.request_sha256 not in (None, request_sha256):
        raise KeyReused("This Idempotency-Key belongs to another request: send a new key with this one.")

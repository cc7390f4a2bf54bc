"""A receiver of webhooks that verifies with the specification's own library, and jobs that are told to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text

from backend.db.engine import Database
from backend.states import LAST_WORDS
from tests.integration.queue.helpers import planned_job
from tests.loopback import Request, loopback

SECRET_PATH = "/hunter2"


@dataclass
class Receiver:
    """Keeps what it is sent; answers `status`, once it may."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Request] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def __call__(self, request: Request) -> tuple[int, bytes, dict[str, str]]:
        self.got.append(request)
        self.may_answer.wait(30)
        return self.status, b"{}", self.headers

    @property
    def url(self) -> str:
        return f"{self.address}{SECRET_PATH}?key=hunter3"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(each.body) for each in self.got]

    @property
    def types(self) -> list[str]:
        return [body["type"] for body in self.bodies]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.may_answer.set()
    with loopback(receiver) as receiver.address:
        yield receiver
        receiver.may_answer.set()


def execute(database: Database, statement: str, **params: Any) -> list[Any]:
    with database.transaction() as connection:
        done = connection.execute(text(statement), params)
        return list(done) if done.returns_rows else []


def watched_job(database: Database, url: str, events: tuple[str, ...] = LAST_WORDS, *, tenant: str = "default") -> UUID:
    """A planned job whose webhook is the URL."""
    job_id = planned_job(database, 2, tenant=tenant)
    execute(
        database,
        "UPDATE video_analysis_jobs SET webhook_url = :url, webhook_events = :events WHERE id = :id",
        url=url,
        events=[str(event) for event in events],
        id=job_id,
    )
    return job_id


def move(database: Database, job_id: UUID, **columns: Any) -> None:
    """The job is moved on, as any release's worker does it: by a statement on its row."""
    given = ", ".join(f"{name} = :{name}" for name in columns)
    execute(database, f"UPDATE video_analysis_jobs SET {given} WHERE id = :id", id=job_id, **columns)


def make_due(database: Database) -> None:
    """What is not over is due now: time is not waited for."""
    execute(database, "UPDATE webhook_messages SET due_at = now() WHERE due_at IS NOT NULL")

"""Sends what a trigger wrote down about jobs (alembic/versions/0017_webhooks.py) to the webhooks that asked for it, as
standardwebhooks.com has it: signed, tried again over days, at least once, in no promised order.

A message is a row, so whatever dies loses none. It is taken for one try at a time by one process, outside of any claim
on a job; hosts and tenants share the tries in flight, so that those that hang do not hold up the others.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from backend.db.engine import Database
from backend.db.models import Job
from backend.db.sql import statement
from backend.errors import DatabaseUnavailable, FramefleetError, UnsupportedInput
from backend.events import Event, emit, error, warn
from backend.jobs.resource import job_resources
from backend.jobs.webhook_secrets import signature_header, signing_secrets
from backend.settings import Settings
from backend.states import FINAL_JOB_STATUSES, WebhookEvent
from backend.storage.guard import OwnHosts
from backend.storage.post import Answer, host_of, post

LOOK_EVERY_SEC = 1.0
TIMEOUT_SEC = 15.0
AT_ONCE = 16  # tries in flight of one process
OF_ONE_HOST = 4
OF_ONE_TENANT = 12
LOOKED_AT = 500  # due messages, in one look
# A process that died in a try is replaced by another after so long; longer than a try takes.
HOLD_SEC = 60.0
# Between tries, as the specification proposes: ten tries in three days.
PAUSES_SEC = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
PAUSES_OF_PROGRESS_SEC = PAUSES_SEC[:2]  # it is stale soon
JITTER = 0.2
LONGEST_PAUSE_SEC = 86_400.0  # however long a Retry-After is
KEPT_ATTEMPTS = 20
GONE = 410  # the receiver wants no more


@dataclass(frozen=True)
class Message:
    """One message in one try of it."""

    id: UUID
    job_id: UUID
    tenant: str
    type: str
    host: str
    url: str
    facts: dict[str, Any]
    body: str | None
    tries: int
    failures: int
    created_at: datetime
    sent_at: int  # Unix seconds of the database's clock

    @property
    def name(self) -> str:
        """`webhook-id`: the same in every try."""
        return message_name(self.id)


def message_name(message_id: UUID) -> str:
    return f"msg_{message_id.hex}"


@dataclass(frozen=True)
class Tried:
    """How a try ended: what was answered, or what kept it from being."""

    answer: Answer | None
    failure: FramefleetError | None
    duration_ms: int

    @property
    def is_delivered(self) -> bool:
        return self.answer is not None and self.answer.is_success

    @property
    def is_final(self) -> bool:
        """No other try would be of use: the receiver wants no more, or nobody may be told there."""
        return isinstance(self.failure, UnsupportedInput) or (self.answer is not None and self.answer.status == GONE)

    @property
    def error(self) -> str | None:
        if self.failure is not None:
            return self.failure.message
        return None if self.is_delivered or self.answer is None else f"status {self.answer.status}"


class Webhooks:
    """Of one process. `send_due` does not wait for the answers; what they were is noted at the next look."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._in_flight: dict[Future[Tried], Message] = {}

    def send_due(self, job_id: UUID | None = None) -> None:
        """Notes what has ended and begins what is due, of one job or of all. Raises DatabaseUnavailable."""
        self._note_ended()
        chosen = self._chosen(job_id)
        if not chosen:
            return
        messages = self._with_bodies(self._taken(chosen))
        signing = {tenant: signing_secrets(self._database, tenant) for tenant in {each.tenant for each in messages}}
        for each in messages:
            assert each.body is not None  # written just now, or before
            signature = signature_header(signing[each.tenant], each.name, each.sent_at, each.body)
            self._in_flight[self._pool.submit(self._try, each, signature)] = each

    def settle(self, wait_sec: float = 2 * TIMEOUT_SEC) -> None:
        """Waits for what is in flight, at most so long, and notes it. The rest is sent again after the hold."""
        wait(self._in_flight, timeout=wait_sec)
        self._note_ended()

    def _chosen(self, job_id: UUID | None) -> list[UUID]:
        """As many due messages as there is room for, within what each host and tenant may have in flight."""
        room = AT_ONCE - len(self._in_flight)
        hosts = Counter(each.host for each in self._in_flight.values())
        tenants = Counter(each.tenant for each in self._in_flight.values())
        full = {
            "full_hosts": [host for host, count in hosts.items() if count >= OF_ONE_HOST],
            "full_tenants": [tenant for tenant, count in tenants.items() if count >= OF_ONE_TENANT],
        }
        chosen: list[UUID] = []
        for row in self._due(full, job_id) if room else ():
            if len(chosen) < room and hosts[row.host] < OF_ONE_HOST and tenants[row.tenant] < OF_ONE_TENANT:
                chosen.append(row.id)
                hosts[row.host] += 1
                tenants[row.tenant] += 1
        return chosen

    def _due(self, full: dict[str, list[str]], job_id: UUID | None) -> Sequence[Row[Any]]:
        name, asked = ("due_webhooks", {}) if job_id is None else ("due_webhooks+one", {"job_id": job_id})
        with self._database.transaction() as connection:
            return connection.execute(statement(name), {**full, **asked, "limit": LOOKED_AT}).all()

    def _taken(self, chosen: list[UUID]) -> list[Message]:
        with self._database.transaction() as connection:
            rows = connection.execute(statement("take_webhooks"), {"ids": chosen, "hold_seconds": HOLD_SEC})
            return [Message(**row) for row in rows.mappings()]

    def _with_bodies(self, messages: Sequence[Message]) -> list[Message]:
        """Bodies that no try has had yet are made from the job's row, and written down before anything is sent."""
        with self._database.session() as session:
            new = {each.job_id for each in messages if each.body is None}
            jobs = {job.id: job for job in session.execute(select(Job).where(Job.id.in_(new))).scalars()}
        # Of a job that is not there, the message is deleted too.
        bodied = [self._with_body(each, jobs.get(each.job_id)) for each in messages if each.body or each.job_id in jobs]
        return [each for each in bodied if each is not None]

    def _with_body(self, message: Message, job: Job | None) -> Message | None:
        """None where no body can be made: whatever is wrong with one job keeps no other from being told of."""
        if message.body is not None or job is None:
            return message
        try:
            body = self._body(message, job)
        except DatabaseUnavailable:
            raise
        except Exception as fault:  # noqa: BLE001 - it is logged, and counts as a try
            error(Event.WEBHOOK_FAILED, job_id=str(message.job_id), message_id=message.name, exc_info=fault)
            self._note(message, Tried(None, FramefleetError("The message could not be made; the log says why."), 0))
            return None
        self._database.ask("webhook_body", id=message.id, tries=message.tries, body=body)
        return replace(message, body=body)

    def _body(self, message: Message, job: Job) -> str:
        """The job as it was when the message was written, even where it has moved on since."""
        for name, value in message.facts.items():
            setattr(job, name, value)
        job.completed_at = message.created_at if job.status in FINAL_JOB_STATUSES else None
        said = {
            "type": message.type,
            "timestamp": message.created_at.isoformat(),
            "data": job_resources(self._database, [job])[0],
        }
        return json.dumps(said, separators=(",", ":"))

    def _try(self, message: Message, signature: str) -> Tried:
        began = time.monotonic()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.name,
            "webhook-timestamp": str(message.sent_at),
            "webhook-signature": signature,
        }
        answer, failure = None, None
        try:
            answer = post(
                message.url,
                (message.body or "").encode(),
                headers,
                allow_private=self._settings.http_allow_private,
                own_hosts=OwnHosts(self._settings.http_allowed_hosts),
                timeout_sec=TIMEOUT_SEC,
            )
        except FramefleetError as error:
            failure = error
        return Tried(answer, failure, round(1000 * (time.monotonic() - began)))

    def _note_ended(self) -> None:
        for future in [each for each in self._in_flight if each.done()]:
            message = self._in_flight.pop(future)
            tried = future.result()
            try:
                self._note(message, tried)
            except DatabaseUnavailable:
                self._in_flight[future] = message  # noted at the next look, if that comes within the hold
                raise

    def _note(self, message: Message, tried: Tried) -> None:
        pauses = PAUSES_OF_PROGRESS_SEC if message.type == WebhookEvent.PROGRESS else PAUSES_SEC
        ends = tried.is_final or message.failures >= len(pauses)
        noted = self._database.ask(
            "webhook_tried",
            id=message.id,
            tries=message.tries,
            delivered=tried.is_delivered,
            ends=ends,
            pause_seconds=0.0 if ends else _pause_sec(pauses[message.failures], tried.answer),
            kept=KEPT_ATTEMPTS,
            attempt=json.dumps(_as_attempt(message, tried)),
        )
        if noted is not None:
            _say(message, tried, ends=ends)


def _pause_sec(pause_sec: float, answer: Answer | None) -> float:
    """At least what the receiver asked for, within a day, and a little more: not all at once."""
    asked_sec = (answer.retry_after_sec if answer else None) or 0.0
    return min(max(pause_sec, asked_sec), LONGEST_PAUSE_SEC) * random.uniform(1, 1 + JITTER)


def _as_attempt(message: Message, tried: Tried) -> dict[str, Any]:
    return {
        "sent_at": message.sent_at,
        "status": tried.answer.status if tried.answer else None,
        "duration_ms": tried.duration_ms,
        "error": tried.error,
    }


def _say(message: Message, tried: Tried, *, ends: bool) -> None:
    """Hosts alone: a path or a query may be a secret."""
    fields = {
        "job_id": str(message.job_id),
        "webhook": host_of(message.url),
        "message_id": message.name,
        "told": message.type,
        "tries": message.tries,
    }
    if tried.is_delivered:
        emit(Event.WEBHOOK_DELIVERED, **fields)
    else:
        warn(Event.WEBHOOK_GIVEN_UP if ends else Event.WEBHOOK_FAILED, message=tried.error, **fields)

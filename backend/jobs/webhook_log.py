"""What became of the messages to webhooks: for the API, the command line and metrics. Hosts alone, never whole URLs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from backend.db.engine import Database
from backend.db.models_webhooks import WebhookMessage
from backend.db.sql import statement
from backend.jobs.webhooks import message_name

MAX_LISTED = 200


def deliveries_of(database: Database, job_id: UUID) -> list[dict[str, Any]]:
    """JSON objects, the newest message first. Raises DatabaseUnavailable."""
    messages = select(WebhookMessage).where(WebhookMessage.job_id == job_id)
    return _listed(database, messages.order_by(WebhookMessage.created_at.desc()))


def dead_deliveries(database: Database) -> list[dict[str, Any]]:
    """Those that were given up, the latest first. Raises DatabaseUnavailable."""
    messages = select(WebhookMessage).where(WebhookMessage.gave_up_at.is_not(None))
    return _listed(database, messages.order_by(WebhookMessage.gave_up_at.desc()))


def count_dead(database: Database) -> int:
    """How many were given up, and not sent again since. Raises DatabaseUnavailable."""
    with database.transaction() as connection:
        return int(connection.execute(statement("dead_webhooks")).scalar_one())


def resend(database: Database, job_id: UUID) -> int:
    """Puts back what was given up of the job; returns how many messages that are. Raises DatabaseUnavailable."""
    with database.transaction() as connection:
        return connection.execute(statement("resend_webhooks"), {"job_id": job_id}).rowcount


def _listed(database: Database, messages: Select[Any]) -> list[dict[str, Any]]:
    with database.session() as session:
        found: Sequence[WebhookMessage] = session.execute(messages.limit(MAX_LISTED)).scalars().all()
    return [_delivery(message) for message in found]


def _delivery(message: WebhookMessage) -> dict[str, Any]:
    return {
        "id": message_name(message.id),
        "job_id": str(message.job_id),
        "type": message.type,
        "webhook": message.host,
        "status": _status(message),
        "created_at": message.created_at.isoformat(),
        "next_try_at": _iso(message.due_at),
        "delivered_at": _iso(message.delivered_at),
        "gave_up_at": _iso(message.gave_up_at),
        "tries": message.tries,
        "attempts": [
            {**attempt, "sent_at": datetime.fromtimestamp(attempt["sent_at"], UTC).isoformat()}
            for attempt in message.attempts
        ],
    }


def _status(message: WebhookMessage) -> str:
    if message.delivered_at is not None:
        return "delivered"
    return "pending" if message.gave_up_at is None else "dead"


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None

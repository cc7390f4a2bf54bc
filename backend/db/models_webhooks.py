"""What is told to webhooks: messages with their tries, and the secrets that sign them (backend/jobs/webhooks.py)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Integer, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql import func

from backend.db.models import Base


class WebhookMessage(Base):
    """Written by a trigger, in the transaction that moves the job on: see alembic/versions/0017_webhooks.py."""

    __tablename__ = "webhook_messages"

    id: Mapped[uuid.UUID] = mapped_column(
        UUID(as_uuid=True), primary_key=True, server_default=text("gen_random_uuid()")
    )
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("video_analysis_jobs.id", ondelete="CASCADE"))
    tenant: Mapped[str] = mapped_column(server_default="default")
    type: Mapped[str]  # backend.states.WebhookEvent
    host: Mapped[str | None]  # of the URL, for fairness; the URL itself is the job's
    facts: Mapped[dict[str, Any]]  # what the job was when it was moved on
    body: Mapped[str | None]  # what is sent, the same bytes at each try; null until the first
    tries: Mapped[int] = mapped_column(Integer, server_default="0")  # the fence: rises on every try, never falls
    failures: Mapped[int] = mapped_column(SmallInteger, server_default="0")  # in a row, since it was last put back
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))  # the last ones
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())  # null: delivered, or given up
    delivered_at: Mapped[datetime | None]
    gave_up_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_webhooks_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_webhooks_job", "job_id", "created_at"),
        Index("ix_webhooks_dead", "gave_up_at", postgresql_where=text("gave_up_at IS NOT NULL")),
    )


class WebhookSecret(Base):
    """Readable, since each message is signed with it. One a tenant has no end; those before it sign until theirs."""

    __tablename__ = "webhook_secrets"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    tenant: Mapped[str] = mapped_column(server_default="default")
    secret: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signs_until: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_webhook_secrets_newest", "tenant", unique=True, postgresql_where=text("signs_until IS NULL")),
    )

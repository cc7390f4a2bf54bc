"""The table of requests that are being answered."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import UUID, func
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.models import Base


class RequestInFlight(Base):
    """One with an Idempotency-Key, until its job is made or refused (backend/jobs/idempotency.py)."""

    __tablename__ = "requests_in_flight"

    tenant: Mapped[str] = mapped_column(primary_key=True, server_default="default")
    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))  # of whoever answers it
    begun_at: Mapped[datetime] = mapped_column(server_default=func.now())

"""The tables of tenants, their keys, and the sessions of people who signed in with one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.models import Base

LIMITS = ("open_jobs_max", "bytes_max", "frames_max", "cpu_seconds_max")


class Tenant(Base):
    """Whose jobs are apart from everybody else's. A limit that is null is the setting's."""

    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(primary_key=True)
    open_jobs_max: Mapped[int | None] = mapped_column(Integer)
    bytes_max: Mapped[int | None] = mapped_column(BigInteger)
    frames_max: Mapped[int | None] = mapped_column(BigInteger)
    cpu_seconds_max: Mapped[float | None]
    allowed_prefixes: Mapped[str | None]  # in place of ALLOWED_PREFIXES
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = tuple(CheckConstraint(f"{name} >= 0", name=f"{name}_not_negative") for name in LIMITS)


class ApiKey(Base):
    """A key to the API (backend/access/keys.py)."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)  # the part of the key that may be seen
    name: Mapped[str]
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"), server_default="default")
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    secret_sha256: Mapped[str]  # of the whole key, which is shown once and kept nowhere
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  # to ten minutes
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        # The name of one that was revoked can be given to another.
        Index("uq_api_keys_name", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
    )


class ApiSession(Base):
    """A browser that was shown a key; its cookie is good for as long as both are."""

    __tablename__ = "api_sessions"

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]

    __table_args__ = (Index("ix_api_sessions_key", "key_id", "expires_at"),)

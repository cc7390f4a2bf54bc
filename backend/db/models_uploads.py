"""The tables of files that arrive in parts."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, func
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.models import Base, one_of
from backend.states import UploadState


class Upload(Base):
    """A file on its way. Its id is that of the job that it becomes the input of."""

    __tablename__ = "uploads"

    id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True)
    tenant: Mapped[str] = mapped_column(server_default="default")
    name: Mapped[str]  # what the user calls the file; data, never a path
    content_type: Mapped[str | None]  # what the client calls its type; data too
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    part_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None]  # of the whole, as the client said
    checks_parts: Mapped[bool]  # no part is taken without its SHA-256
    handle: Mapped[str | None]  # the store's name of what is unfinished; null: it does not know of it yet
    state: Mapped[str] = mapped_column(server_default=UploadState.OPEN.value)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]  # later with every part
    completed_at: Mapped[datetime | None]

    __table_args__ = (
        one_of("state", UploadState),
        CheckConstraint("size_bytes > 0 AND part_bytes > 0", name="sizes_positive"),
        Index("ix_uploads_expiring", "expires_at"),
        Index("ix_uploads_of_tenant", "tenant", "state"),
    )


class UploadPart(Base):
    """A part that is on disk, where the store keeps no list of its own. Its length follows from its number."""

    __tablename__ = "upload_parts"

    upload_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    tenant: Mapped[str] = mapped_column(server_default="default")
    sha256: Mapped[str]

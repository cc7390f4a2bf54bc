"""The two tables. States and allowed values come from backend.states; alembic's migration is tested against this."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    desc,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backend.states import ChunkStatus, DeepMode, JobStatus, Stage


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=f"{column}_known")


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        datetime: DateTime(timezone=True),
        float: Double,
        dict[str, Any]: JSONB,
        list[str]: JSONB,
        bool: Boolean,
    }


# Heartbeats rewrite rows in place (HOT) while a page has room for it, and dead versions are swept early.
_QUEUE_STORAGE = {
    "postgresql_with": {
        "fillfactor": "70",
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_threshold": "200",
    }
}


class Job(Base):
    __tablename__ = "video_analysis_jobs"

    id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, default=uuid.uuid4)
    tenant: Mapped[str] = mapped_column(server_default="default")
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=JobStatus.QUEUED.value)
    stage: Mapped[str] = mapped_column(server_default=Stage.PROBING.value)
    deep_mode: Mapped[str] = mapped_column(server_default=DeepMode.GPU.value)
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    params: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))

    input_uri: Mapped[str]
    input_name: Mapped[str]  # what the user calls it; data, never a path
    source_etag: Mapped[str | None]
    source_size: Mapped[int | None] = mapped_column(BigInteger)
    output_uri: Mapped[str | None]
    output_key: Mapped[str | None]  # set when the output lies in our own store

    probe: Mapped[dict[str, Any] | None]  # backend.media.facts.VideoFacts
    duration_seconds: Mapped[float | None]
    fps_num: Mapped[int | None] = mapped_column(Integer)
    fps_den: Mapped[int | None] = mapped_column(Integer)
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    rotation: Mapped[int | None] = mapped_column(SmallInteger)
    frame_count: Mapped[int | None] = mapped_column(BigInteger)
    has_audio: Mapped[bool | None]

    total_chunks: Mapped[int | None] = mapped_column(Integer)  # null until planned
    completed_chunks: Mapped[int] = mapped_column(Integer, server_default="0")  # always written from a COUNT
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")  # the fence: rises on every claim, never falls
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    progress: Mapped[float] = mapped_column(server_default="0")  # of the aggregation, 0 to 1
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_expires_at: Mapped[datetime | None]
    claimed_by: Mapped[str | None]

    idempotency_key: Mapped[str | None]
    callback_url: Mapped[str | None]
    detector: Mapped[dict[str, Any] | None]  # what found the people, and why when it was a fallback
    timings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))  # seconds by stage
    warnings: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    error_retryable: Mapped[bool | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]

    __table_args__ = (
        one_of("status", JobStatus),
        one_of("stage", Stage),
        one_of("deep_mode", DeepMode),
        CheckConstraint("completed_chunks <= total_chunks", name="completed_within_total"),
        UniqueConstraint("tenant", "idempotency_key", name="uq_jobs_idempotency"),
        Index(
            "ix_jobs_waiting",
            desc("priority"),
            "created_at",
            postgresql_where=text("status IN ('queued', 'aggregating')"),
        ),
        Index("ix_jobs_newest", desc("created_at"), desc("id")),
        _QUEUE_STORAGE,
    )


class Chunk(Base):
    __tablename__ = "video_analysis_chunks"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("video_analysis_jobs.id", ondelete="CASCADE"))
    phase: Mapped[str] = mapped_column(server_default="detect")
    chunk_index: Mapped[int] = mapped_column(Integer)
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")  # the job's, here for the claim's index
    start_sec: Mapped[float]
    end_sec: Mapped[float]
    start_pts: Mapped[int] = mapped_column(BigInteger)
    end_pts: Mapped[int] = mapped_column(BigInteger)  # exclusive
    status: Mapped[str] = mapped_column(server_default=ChunkStatus.QUEUED.value)
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")  # the fence: rises on every claim, never falls
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    progress: Mapped[float] = mapped_column(server_default="0")
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_expires_at: Mapped[datetime | None]
    claimed_by: Mapped[str | None]
    artifact_s3_key: Mapped[str | None]
    artifact_sha256: Mapped[str | None]
    runtime_ms: Mapped[int | None] = mapped_column(BigInteger)
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

    __table_args__ = (
        one_of("status", ChunkStatus),
        CheckConstraint("end_pts > start_pts", name="interval_not_empty"),
        UniqueConstraint("job_id", "phase", "chunk_index", name="uq_chunks_position"),
        # The claim's order. Nothing that a heartbeat changes is in any index.
        Index(
            "ix_chunks_claim",
            desc("priority"),
            "chunk_index",
            "created_at",
            "id",
            postgresql_where=text("status = 'queued'"),
        ),
        Index("ix_chunks_processing", "job_id", postgresql_where=text("status = 'processing'")),
        _QUEUE_STORAGE,
    )


class Worker(Base):
    """Who says that it is alive, by the database's clock. Written every few seconds by each worker process."""

    __tablename__ = "workers"

    worker_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (_QUEUE_STORAGE,)


class MetricsTurn(Base):
    """When the fleet's metrics last went to a sink, so that one process sends them, once a minute."""

    __tablename__ = "metrics_turns"

    sink: Mapped[str] = mapped_column(primary_key=True)
    sent_at: Mapped[datetime]
    sent_by: Mapped[str]

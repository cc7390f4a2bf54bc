"""The tables. States and allowed values come from backend.states; alembic's migration is tested against this."""

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
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    desc,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, DOMAIN, JSONB, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backend.states import ChunkStatus, DeepMode, JobStatus, Stage


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    return CheckConstraint(_is_one_of(column, values), name=f"{column}_known")


def _is_one_of(column: str, values: type[StrEnum]) -> str:
    allowed = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({allowed})"


CHUNK_STATUS = DOMAIN("chunk_status", Text(), constraint_name="status_known", check=_is_one_of("VALUE", ChunkStatus))


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

    input_uri: Mapped[str]  # without its query once nobody reads it any more (db/sql/scrubbed.sql)
    input_sha256: Mapped[str | None]  # of the whole URI: two jobs have the same input
    input_name: Mapped[str]  # what the user calls it; data, never a path
    source_etag: Mapped[str | None]
    source_size: Mapped[int | None] = mapped_column(BigInteger)
    output_uri: Mapped[str | None]
    output_key: Mapped[str | None]  # set when the output lies in our own store
    output_put_url: Mapped[
        str | None
    ]  # a secret: no answer and no log has it, and it is forgotten when the job is done
    keeps_existing: Mapped[bool] = mapped_column(server_default=text("false"))  # no object but its own is overwritten
    output_ending: Mapped[str | None]  # of the output's name, as in .mp4; null: the kind's own
    output_size: Mapped[int | None] = mapped_column(BigInteger)

    probe: Mapped[dict[str, Any] | None]  # backend.media.sound_facts.Probed
    duration_seconds: Mapped[float | None]
    fps_num: Mapped[int | None] = mapped_column(Integer)
    fps_den: Mapped[int | None] = mapped_column(Integer)
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    rotation: Mapped[int | None] = mapped_column(SmallInteger)
    frame_count: Mapped[int | None] = mapped_column(BigInteger)
    has_audio: Mapped[bool | None]

    # The phase that it is in (backend/kinds/base.py), and what the step before wrote down for this one's workers.
    phase: Mapped[str] = mapped_column(server_default="detect")
    phase_plan: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    total_chunks: Mapped[int | None] = mapped_column(Integer)  # of all phases so far; null until planned
    # Written from a COUNT when the last chunk completes and by retry; in between readers count rows (jobs/progress.py).
    completed_chunks: Mapped[int] = mapped_column(Integer, server_default="0")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")  # the fence: rises on every claim, never falls
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    put_backs: Mapped[int] = mapped_column(Integer, server_default="0")  # tries that the worker's surroundings ended
    # A worker below it cannot read what is written of the job (backend/versions.py). It only rises.
    schema_version: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    source_trouble_at: Mapped[datetime | None]  # its source fails: one chunk at a time is claimed (queue/probation.py)
    progress: Mapped[float] = mapped_column(server_default="0")  # of the aggregation, 0 to 1
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_expires_at: Mapped[datetime | None]
    claimed_by: Mapped[str | None]
    claimed_at: Mapped[datetime | None]  # for planning: who is at it for long holds up others (claim_job.sql)

    paused_at: Mapped[datetime | None]  # nothing of it is claimed until it is resumed; null once the job is over
    idempotency_key: Mapped[str | None]
    request_sha256: Mapped[str | None]  # of what was asked for under that key (jobs/idempotency.py)
    trace_context: Mapped[str | None]  # W3C traceparent of the request
    callback_url: Mapped[str | None]
    callback_due_at: Mapped[datetime | None]  # when it is told next; null: nothing more to tell
    callback_told: Mapped[str | None]  # what was told last, so that nothing is told twice (jobs/callbacks.py)
    callback_failures: Mapped[int] = mapped_column(SmallInteger, server_default="0")  # in a row
    webhook_url: Mapped[str | None]  # its path and query may be a secret: no answer and no log has them
    webhook_events: Mapped[list[str] | None] = mapped_column(ARRAY(Text))  # backend.states.WebhookEvent
    detector: Mapped[dict[str, Any] | None]  # what found the people, and why when it was a fallback
    encoder: Mapped[str | None]  # what made the pictures of its film
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
    # The first of a family of jobs on one source, of whose chunks this one is made; null: it is the first itself.
    version_of: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))
    version: Mapped[int] = mapped_column(Integer, server_default="1")
    # In whose folder the source lies, an upload or a copy; null: in its own, if anywhere in our store.
    source_job: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))

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
        Index("uq_jobs_version", "version_of", "version", unique=True, postgresql_where=text("version_of IS NOT NULL")),
        Index("ix_jobs_source_job", "source_job", postgresql_where=text("source_job IS NOT NULL")),
        Index("ix_jobs_newest", desc("created_at"), desc("id")),
        Index("ix_jobs_tenant_newest", "tenant", desc("created_at"), desc("id")),
        Index("ix_jobs_status_newest", "tenant", "status", desc("created_at"), desc("id")),
        Index("ix_jobs_source", "source_etag", "tenant", postgresql_where=text("source_etag IS NOT NULL")),
        Index("ix_jobs_expiring", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
        Index("ix_jobs_callback_due", "callback_due_at", postgresql_where=text("callback_due_at IS NOT NULL")),
        # The tenant's jobs in work: what a new plan interleaves with, and what the fan-in sweep looks through.
        Index("ix_jobs_live", "tenant", "deep_mode", postgresql_where=text("status IN ('queued', 'processing')")),
        Index("ix_jobs_over", "completed_at", postgresql_where=text("status IN ('done', 'failed', 'cancelled')")),
        _QUEUE_STORAGE,
    )


class Chunk(Base):
    __tablename__ = "video_analysis_chunks"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("video_analysis_jobs.id", ondelete="CASCADE"))
    phase: Mapped[str] = mapped_column(server_default="detect")
    chunk_index: Mapped[int] = mapped_column(Integer)  # in its phase, from 0
    phase_chunks: Mapped[int | None] = mapped_column(Integer)  # how many the phase has; null: as many as the job
    needs: Mapped[str | None]  # the encoder that its worker must have
    # The job's, here so that the claim needs no other table to find its chunk.
    tenant: Mapped[str] = mapped_column(server_default="default")
    deep_mode: Mapped[str] = mapped_column(server_default=DeepMode.GPU.value)
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    claim_rank: Mapped[int] = mapped_column(
        BigInteger, server_default="0"
    )  # -priority * 10^12 + position; low is first
    # Its job was paused before it was claimed, or is on probation.
    on_hold: Mapped[bool] = mapped_column(server_default=text("false"))
    start_sec: Mapped[float]
    end_sec: Mapped[float]
    start_pts: Mapped[int] = mapped_column(BigInteger)
    end_pts: Mapped[int] = mapped_column(BigInteger)  # exclusive
    status: Mapped[str] = mapped_column(CHUNK_STATUS, server_default=ChunkStatus.QUEUED.value)
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")  # the fence: rises on every claim, never falls
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    put_backs: Mapped[int] = mapped_column(Integer, server_default="0")  # tries that the worker's surroundings ended
    progress: Mapped[float] = mapped_column(server_default="0")
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_expires_at: Mapped[datetime | None]
    claimed_by: Mapped[str | None]
    artifact_s3_key: Mapped[str | None]
    artifact_sha256: Mapped[str | None]
    runtime_ms: Mapped[int | None] = mapped_column(BigInteger)
    bytes_read: Mapped[int | None] = mapped_column(BigInteger)
    failed_by: Mapped[str | None]  # whose try ended badly last; kept when another worker completes it
    last_event: Mapped[str | None]  # the last named event known of it, for when its worker dies
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

    __table_args__ = (
        # No checks: each is parsed and planned anew in every update, a domain's are not. The mode is known because the
        # lane's is (the foreign key).
        UniqueConstraint("job_id", "phase", "chunk_index", name="uq_chunks_position"),
        ForeignKeyConstraint(["deep_mode", "tenant"], ["queue_lanes.deep_mode", "queue_lanes.tenant"]),
        # The claim's order, a lane at a time. Nothing that a heartbeat changes is in any index.
        Index(
            "ix_chunks_claim",
            "deep_mode",
            "tenant",
            "claim_rank",
            "id",
            postgresql_where=text("status = 'queued' AND NOT on_hold"),
        ),
        Index("ix_chunks_processing", "deep_mode", "tenant", postgresql_where=text("status = 'processing'")),
        # Whether any chunk of a job is left. Asked from the end, where the chunks lie that finish last.
        Index("ix_chunks_unfinished", "job_id", "chunk_index", postgresql_where=text("status <> 'completed'")),
        _QUEUE_STORAGE,
    )


class Lane(Base):
    """The chunks of one tenant in one mode: the unit of fairness, of caps, and of the claim's search."""

    __tablename__ = "queue_lanes"

    deep_mode: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(primary_key=True)
    # No claimable chunk of the lane has a lower rank: the claim's search begins here, past the dead index entries.
    # Null: nothing is queued. Whoever queues a chunk lowers it in the same transaction (lower_floor.sql).
    floor_rank: Mapped[int | None] = mapped_column(BigInteger)
    max_in_work: Mapped[int | None] = mapped_column(Integer)  # null: TENANT_MAX_CHUNKS_IN_WORK
    raised_at: Mapped[datetime] = mapped_column(server_default=func.now())
    checked_at: Mapped[datetime] = mapped_column(server_default=func.now())  # when the whole lane was last looked at

    __table_args__ = (
        one_of("deep_mode", DeepMode),
        CheckConstraint("max_in_work >= 0", name="max_in_work_not_negative"),
        {
            "postgresql_with": {
                "fillfactor": "50",
                "autovacuum_vacuum_scale_factor": "0",
                "autovacuum_vacuum_threshold": "50",
            }
        },
    )


class Fleet(Base):
    """One row: whether all workers are asked to pause."""

    __tablename__ = "fleet"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False, server_default="1")
    paused_at: Mapped[datetime | None]
    reason: Mapped[str | None]
    paused_by: Mapped[str | None]  # a key's name, or who ran the command

    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)


class FleetSample(Base):
    """The queue's figures at one time, for the chart of the last day."""

    __tablename__ = "fleet_samples"

    at: Mapped[datetime] = mapped_column(primary_key=True, server_default=func.now())
    queued_chunks: Mapped[int] = mapped_column(Integer)
    processing_chunks: Mapped[int] = mapped_column(Integer)
    running_workers: Mapped[int] = mapped_column(Integer)
    completed_chunks: Mapped[int] = mapped_column(BigInteger)


class Worker(Base):
    """Who says that it is alive, by the database's clock. Written every few seconds by each worker process."""

    __tablename__ = "workers"

    worker_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    asked_to_stop_at: Mapped[datetime | None]  # by an operator; read when the worker says that it lives
    knows: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{crop}")  # kinds of job
    # Of hardware, that work there; decoders too.
    encoders: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    schema_version: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    trouble: Mapped[str | None]  # why it claims nothing
    trouble_since: Mapped[datetime | None]
    machine: Mapped[str | None]  # its host's name
    device: Mapped[str | None]  # what it detects on, in words

    __table_args__ = (_QUEUE_STORAGE,)


class RemoteWorker(Base):
    """A machine that works over HTTPS with a token of its own (backend/queue/remote_workers.py)."""

    __tablename__ = "remote_workers"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    token_sha256: Mapped[str]  # the token itself is shown once and kept nowhere
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]

    __table_args__ = (
        # The name of one that was revoked can be given to another.
        Index("uq_remote_workers_name", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
    )


class MetricsTurn(Base):
    """When the fleet's metrics last went to a sink, so that one process sends them, three times a minute."""

    __tablename__ = "metrics_turns"

    sink: Mapped[str] = mapped_column(primary_key=True)
    sent_at: Mapped[datetime]
    sent_by: Mapped[str]


class Sweep(Base):
    """One row: when what dead workers held was last taken back, so that one worker does it for all."""

    __tablename__ = "sweeps"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False, server_default="1")
    swept_at: Mapped[datetime]
    swept_by: Mapped[str]

    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

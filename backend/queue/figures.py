"""What operators and autoscaling want to know of the queue, read from its rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import RowMapping, text

from backend.db.engine import Database
from backend.db.sql import statement
from backend.queue.health import oldest_transaction
from backend.states import JobStatus
from backend.versions import SCHEMA_VERSION

WINDOW_SECONDS = 3600  # failed and completed are counted over the jobs that ended this lately
SEEN_EVERY_SEC = 15.0
SILENT_SECONDS = 3 * SEEN_EVERY_SEC  # a worker that missed this much is not counted any more
CLOCK_SLACK_SECONDS = 60.0
GPU_WORKER = "gpu_chunk_worker"
MAX_WORKERS_LISTED = 1000
# A count that takes longer would pile up behind the next one.
Name = TypeVar("Name", bound=Hashable)
READ_TIMEOUT = text("SET LOCAL statement_timeout = '5s'")


@dataclass(frozen=True)
class Figures:
    """Chunks are those of the GPU fleet; failed and completed ones those of jobs that ended within the last hour."""

    queued_chunks: int
    processing_chunks: int
    failed_chunks: int
    completed_chunks: int
    backlog_per_worker: float  # what to scale on: queued and processing chunks by workers that run or are asked for
    busy_share: float  # of those workers; one that is idle counts as busy: how many to keep
    queued_without_workers: int  # the queued ones while no worker runs or, where that is known, is asked for
    oldest_queued_seconds: float
    oldest_aggregation_seconds: float
    oldest_transaction_seconds: float
    is_paused: bool  # the whole fleet
    workers: Mapping[str, int]  # by kind
    jobs: Mapping[str, int]  # by status; ended ones of the last hour
    failed_jobs: Mapping[tuple[str, str], int]  # by error code and the stage they were at, of the last hour
    unwell_workers: int  # that live and claim nothing: their store or disk fails
    dead_webhooks: int  # messages that nobody took, and that are not tried any more
    unknown_jobs: int  # that no living worker knows the kind or the version of

    @property
    def running_workers(self) -> int:
        return self.workers.get(GPU_WORKER, 0)

    def named(self) -> list[tuple[str, str, float]]:
        """Name, unit and value of each, as the metrics send them."""
        return [
            ("QueuedChunkCount", "Count", self.queued_chunks),
            ("ProcessingChunkCount", "Count", self.processing_chunks),
            ("FailedChunkCount", "Count", self.failed_chunks),
            ("CompletedChunkCount", "Count", self.completed_chunks),
            ("FailedJobCount", "Count", self.jobs.get(JobStatus.FAILED, 0)),
            ("DoneJobCount", "Count", self.jobs.get(JobStatus.DONE, 0)),
            ("BacklogPerWorker", "None", self.backlog_per_worker),
            ("BusyShare", "None", self.busy_share),
            ("QueuedWithoutWorkers", "Count", self.queued_without_workers),
            ("OldestQueuedSeconds", "Seconds", self.oldest_queued_seconds),
            ("OldestAggregationSeconds", "Seconds", self.oldest_aggregation_seconds),
            ("OldestTransactionSeconds", "Seconds", self.oldest_transaction_seconds),
            ("RunningWorkers", "Count", self.running_workers),
        ]


def read_figures(database: Database, wanted_workers: int | None = None) -> Figures:
    """`wanted_workers`: how many GPU workers the autoscaler has asked for; None: only the running ones are known.

    Raises DatabaseUnavailable.
    """
    window, silence = {"window_seconds": WINDOW_SECONDS}, {"silent_seconds": SILENT_SECONDS}
    with database.transaction() as connection:
        connection.execute(READ_TIMEOUT)
        asked = window | silence | {"wanted_workers": wanted_workers}
        row = connection.execute(statement("queue_metrics"), asked).mappings().one()
        jobs = connection.execute(statement("jobs_by_status"), window).all()
        workers = connection.execute(statement("workers_by_kind"), silence).all()
        unwell = connection.execute(statement("unwell_workers"), silence).scalar_one()
        dead = connection.execute(statement("dead_webhooks")).scalar_one()
        unknown = connection.execute(statement("unknown_work"), silence).all()
    transaction = oldest_transaction(database)
    return Figures(
        queued_chunks=row["queued_chunks"],
        processing_chunks=row["processing_chunks"],
        failed_chunks=row["failed_chunks"],
        completed_chunks=int(row["completed_chunks"]),
        backlog_per_worker=row["backlog_per_worker"],
        busy_share=row["busy_share"],
        queued_without_workers=row["queued_without_workers"],
        # A clock that was set back must not make a wait negative.
        oldest_queued_seconds=max(0.0, float(row["oldest_queued_seconds"])),
        oldest_aggregation_seconds=max(0.0, float(row["oldest_aggregation_seconds"])),
        oldest_transaction_seconds=max(0.0, transaction.seconds) if transaction else 0.0,
        is_paused=row["is_paused"],
        workers={kind: count for kind, count in workers},
        jobs=_summed((row.status, row.jobs) for row in jobs),
        failed_jobs=_summed(
            ((row.error_code or "internal_error", row.stage), row.jobs) for row in jobs if row.status == "failed"
        ),
        unwell_workers=unwell,
        dead_webhooks=dead,
        unknown_jobs=sum(row.jobs for row in unknown),
    )


def encoders_of_fleet(database: Database) -> list[frozenset[str]]:
    """The hardware encoders of each living chunk worker that knows today's phases. Raises DatabaseUnavailable."""
    known = {"kind": GPU_WORKER, "schema_version": SCHEMA_VERSION, "silent_seconds": SILENT_SECONDS}
    with database.transaction() as connection:
        return [frozenset(row.encoders) for row in connection.execute(statement("encoders_of_fleet"), known)]


def list_workers(database: Database, *, named_for: str | None = None) -> list[dict[str, Any]]:
    """JSON objects, for people: who is there, and what each holds. `named_for`: whose jobs are named; None: all are."""
    with database.transaction() as connection:
        rows = connection.execute(statement("list_workers"), {"limit": MAX_WORKERS_LISTED}).mappings().all()
    return [
        {
            "worker_id": row["worker_id"],
            "kind": row["kind"],
            "state": _state(row),
            "trouble": row["trouble"],
            "hardware": row["encoders"],
            "machine": row["machine"],
            "device": row["device"],
            "job_id": str(row["job_id"]) if row["job_id"] else None,
            "job_name": row["job_name"] if named_for in (None, row["job_tenant"]) else None,
            "phase": row["phase"],
            "chunk_index": row["chunk_index"],
            "working_since": row["working_since"].isoformat() if row["working_since"] else None,
            "started_at": row["started_at"].isoformat(),
            "seen_at": row["seen_at"].isoformat(),
        }
        for row in rows
    ]


def troubles(database: Database) -> set[str]:
    """What the living workers suffer from, in words; empty when all are well. Raises DatabaseUnavailable."""
    return {row["trouble"] for row in list_workers(database) if row["state"] == "unwell"}


def _state(row: RowMapping) -> str:
    # Seen in the future: that was before the clock was set back, and whoever lives is seen again in a moment.
    if not -CLOCK_SLACK_SECONDS <= float(row["silent_seconds"]) <= SILENT_SECONDS:
        return "silent"
    if row["is_asked_to_stop"]:
        return "draining"
    if row["trouble"] is not None:
        return "unwell"
    return "idle" if row["job_id"] is None else "working"


def _summed(pairs: Iterable[tuple[Name, int]]) -> dict[Name, int]:
    sums: dict[Name, int] = {}
    for name, count in pairs:
        sums[name] = sums.get(name, 0) + count
    return sums

"""This process's Prometheus metrics. Counted from the named events, so that no code that works has to count.

Every label has few values: never a job, a worker or a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from backend import errors, events
from backend.events import Event

# 120 s is an alarm's limit; a chunk of 30 s takes between 1 s on a GPU and a minute on two cores.
WORK_BUCKETS_SEC = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
OTHER_CODE = "other"

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

WORK_SECONDS = Histogram(
    "framefleet_work_seconds",
    "Seconds of one try to plan a job, work on a chunk or make a film, by how it ended.",
    ["work", "outcome"],
    buckets=WORK_BUCKETS_SEC,
    registry=REGISTRY,
)
STAGE_SECONDS = Histogram(
    "framefleet_stage_seconds",
    "Seconds that one stage took of one try.",
    ["work", "stage"],
    buckets=WORK_BUCKETS_SEC,
    registry=REGISTRY,
)
EVENTS = Counter("framefleet_events_total", "Log events by name and level.", ["event", "level"], registry=REGISTRY)
CLAIMS = Counter("framefleet_claims_total", "Claims of work.", ["work"], registry=REGISTRY)
LOST_CLAIMS = Counter(
    "framefleet_lost_claims_total", "Claims that were lost while at work; the work was dropped.", registry=REGISTRY
)
RETRIES = Counter(
    "framefleet_retries_total",
    "Tries that ended with an error that another try may mend.",
    ["work", "code"],
    registry=REGISTRY,
)
RESCUES = Counter(
    "framefleet_rescues_total", "Claims that were taken back from workers that died.", ["work"], registry=REGISTRY
)
CHUNKS_COMPLETED = Counter("framefleet_chunks_completed_total", "Chunks completed.", registry=REGISTRY)
CHUNKS_ADOPTED = Counter(
    "framefleet_chunks_adopted_total", "Chunks whose result an earlier try had left.", registry=REGISTRY
)
CHUNKS_BROKEN = Counter(
    "framefleet_chunks_broken_total",
    "Tries on chunks that ended with an error that no other try mends.",
    ["code"],
    registry=REGISTRY,
)
BYTES_READ = Counter(
    "framefleet_source_read_bytes_total", "Bytes of sources fetched, by the work they were for.", ["work"],
    registry=REGISTRY,
)  # fmt: skip
JOBS_CREATED = Counter("framefleet_jobs_created_total", "Jobs created.", registry=REGISTRY)
JOBS_DONE = Counter("framefleet_jobs_done_total", "Jobs whose film this process finished.", registry=REGISTRY)
JOBS_FAILED = Counter(
    "framefleet_jobs_failed_total", "Jobs that this process saw fail for good.", ["code"], registry=REGISTRY
)


def start() -> None:
    """Counts this process's events from now on."""
    # A series that is there from the start can be watched for its first rise.
    for work in ("plan", "chunk", "aggregate"):
        BYTES_READ.labels(work)
        if work != "plan":
            CLAIMS.labels(work)
            RESCUES.labels(work)
    events.listen(count)


def exposition(multiprocess_folder: Path | None = None) -> bytes:
    """Prometheus' text format. With the folder: of all processes that share it, as gunicorn's workers do."""
    if multiprocess_folder is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(multiprocess_folder))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def count(event: Event, level: str, fields: Mapping[str, object]) -> None:
    """Counts one event."""
    EVENTS.labels(event.value, level).inc()
    match event:
        case Event.CHUNK_CLAIMED:
            CLAIMS.labels("chunk").inc()
        case Event.AGGREGATION_CLAIMED:
            CLAIMS.labels("aggregate").inc()
        case Event.CLAIM_LOST:
            LOST_CLAIMS.inc()
        case Event.LEASE_RESCUED:
            _count_rescue(fields)
        case Event.CHUNK_COMPLETED:
            CHUNKS_COMPLETED.inc()
            _count_bytes("chunk", fields)
        case Event.CHUNK_ADOPTED:
            CHUNKS_ADOPTED.inc()
        case Event.CHUNK_FAILED:
            _count_chunk_failure(fields)
        case Event.JOB_CREATED:
            JOBS_CREATED.inc()
        case Event.JOB_PLANNED:
            _count_bytes("plan", fields)
        case Event.JOB_COMPLETE:
            JOBS_DONE.inc()
            _count_bytes("aggregate", fields)
        case Event.JOB_FAILED:
            _count_job_failure(fields)


def _count_rescue(fields: Mapping[str, object]) -> None:
    is_chunk = "chunk_index" in fields
    RESCUES.labels("chunk" if is_chunk else "aggregate").inc()
    if not is_chunk and fields.get("status") == "failed":
        JOBS_FAILED.labels(known_code("worker_lost")).inc()


def _count_chunk_failure(fields: Mapping[str, object]) -> None:
    if "error_code" not in fields:  # the trace of a fault of ours; the same failure is told again with its code
        return
    code = known_code(fields["error_code"])
    if fields.get("retryable"):
        RETRIES.labels("chunk", code).inc()
    else:
        CHUNKS_BROKEN.labels(code).inc()


def _count_job_failure(fields: Mapping[str, object]) -> None:
    if "error_code" not in fields:
        return
    code = known_code(fields["error_code"])
    status = fields.get("status", "failed")
    if status == "failed":
        JOBS_FAILED.labels(code).inc()
    else:
        RETRIES.labels("aggregate" if status == "aggregating" else "plan", code).inc()


def _count_bytes(work: str, fields: Mapping[str, object]) -> None:
    read = fields.get("bytes_read")
    if isinstance(read, int):
        BYTES_READ.labels(work).inc(read)


def known_code(code: object) -> str:
    """A label takes only the codes that there are: a row may hold one of another version."""
    return str(code) if code in _codes() else OTHER_CODE


def _codes() -> set[str]:
    known, pending = {"worker_lost"}, [errors.FramefleetError]
    while pending:
        kind = pending.pop()
        known.add(kind.code)
        pending.extend(kind.__subclasses__())
    return known

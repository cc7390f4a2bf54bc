"""Named log events as JSON lines on standard error, with the ids that let an operator follow one piece of work."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum

import structlog


class Event(StrEnum):
    WORKER_STARTED = "worker_started"
    WORKER_DRAINING = "worker_draining"
    WORKER_STOPPED = "worker_stopped"
    WORKER_POLL_FAILED = "worker_poll_failed"
    LOADING_MODEL = "loading_model"
    DETECTOR_FALLBACK = "detector_fallback"
    JOB_CREATED = "job_created"
    JOB_PLANNED = "job_planned"
    JOB_FAILED = "job_failed"
    JOB_CANCELLED = "job_cancelled"
    JOB_RETRIED = "job_retried"
    JOB_PAUSED = "job_paused"
    JOB_RESUMED = "job_resumed"
    FLEET_PAUSED = "fleet_paused"
    FLEET_RESUMED = "fleet_resumed"
    JOB_COMPLETE = "job_complete"
    CHUNK_CLAIMED = "chunk_claimed"
    CHUNK_ADOPTED = "chunk_adopted"
    CHUNK_COMPLETED = "chunk_completed"
    CHUNK_RELEASED = "chunk_released"
    CHUNK_FAILED = "chunk_failed"
    CLAIM_LOST = "claim_lost"
    HEARTBEAT_FAILED = "heartbeat_failed"
    LEASE_RESCUED = "lease_rescued"
    AGGREGATION_RETRIGGERED = "aggregation_retriggered"
    AGGREGATION_CLAIMED = "aggregation_claimed"
    ARTIFACT_REPLACED = "artifact_replaced"
    MEDIA_WARNING = "media_warning"
    RENDERED = "rendered"
    DATABASE_STARTED = "database_started"
    DATABASE_STOPPED = "database_stopped"
    REQUEST_FAILED = "request_failed"


def configure(level: int = logging.INFO) -> None:
    """JSON lines on standard error; standard output stays free for results."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def emit(event: Event, **fields: object) -> None:
    structlog.get_logger().info(event.value, **fields)


def warn(event: Event, **fields: object) -> None:
    structlog.get_logger().warning(event.value, **fields)


def error(event: Event, **fields: object) -> None:
    structlog.get_logger().error(event.value, **fields)

"""Named log events as JSON lines on standard error, with the ids that let an operator follow one piece of work."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum

import structlog


class Event(StrEnum):
    WORKER_STARTED = "worker_started"
    WORKER_DRAINING = "worker_draining"
    WORKER_STOPPED = "worker_stopped"
    WORKER_ASKED_TO_STOP = "worker_asked_to_stop"
    WORKER_POLL_FAILED = "worker_poll_failed"
    WORKER_UNWELL = "worker_unwell"
    WORKER_WELL = "worker_well"
    WORKER_STUCK = "worker_stuck"
    LOADING_MODEL = "loading_model"
    DETECTOR_FALLBACK = "detector_fallback"
    JOB_CREATED = "job_created"
    SOURCE_COPIED = "source_copied"
    JOB_PLANNED = "job_planned"
    JOB_FAILED = "job_failed"
    JOB_CANCELLED = "job_cancelled"
    JOB_RETRIED = "job_retried"
    JOB_PAUSED = "job_paused"
    JOB_RESUMED = "job_resumed"
    FLEET_PAUSED = "fleet_paused"
    FLEET_RESUMED = "fleet_resumed"
    JOB_COMPLETE = "job_complete"
    # Names that a predecessor's operators look for.
    RUN_START = "run_start"
    RUN_COMPLETE = "run_complete"
    VIDEO_INFO = "video_info"
    PROCESSED_FRAMES = "processed_frames"
    JOB_ALREADY_ACTIVE = "job_already_active"
    JOB_FAILED_PROCESSING_ERROR = "job_failed_processing_error"
    JOB_FAILED_UNEXPECTED = "job_failed_unexpected"
    # Calls of /process and /cleanup; callbacks.
    CALLER_REFUSED = "caller_refused"
    KEYS_UNAVAILABLE = "keys_unavailable"
    CALLBACK_FAILED = "callback_failed"
    CALLBACK_GIVEN_UP = "callback_given_up"
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    TENANT_CHANGED = "tenant_changed"
    API_ACCESS = "api_access"
    WEBHOOK_DELIVERED = "webhook_delivered"
    WEBHOOK_FAILED = "webhook_failed"
    WEBHOOK_GIVEN_UP = "webhook_given_up"
    CHUNK_CLAIMED = "chunk_claimed"
    CHUNK_ADOPTED = "chunk_adopted"
    PHASE_BEGUN = "phase_begun"
    HARDWARE_FAILED = "hardware_failed"
    JAIL_INCOMPLETE = "jail_incomplete"
    HARDWARE_DECODER_UNFIT = "hardware_decoder_unfit"
    PIECES_APART = "pieces_apart"
    LEFTOVER_KEPT = "leftover_kept"
    CHUNK_COMPLETED = "chunk_completed"
    CHUNK_RELEASED = "chunk_released"
    CHUNK_PUT_BACK = "chunk_put_back"
    CHUNK_FAILED = "chunk_failed"
    CLAIM_LOST = "claim_lost"
    HEARTBEAT_FAILED = "heartbeat_failed"
    LEASE_RESCUED = "lease_rescued"
    AGGREGATION_RETRIGGERED = "aggregation_retriggered"
    AGGREGATION_CLAIMED = "aggregation_claimed"
    ARTIFACT_REPLACED = "artifact_replaced"
    PREVIEW_LOST = "preview_lost"
    MEDIA_WARNING = "media_warning"
    RENDERED = "rendered"
    DATABASE_STARTED = "database_started"
    DATABASE_STOPPED = "database_stopped"
    REQUEST_FAILED = "request_failed"
    METRICS_LISTENING = "metrics_listening"
    METRICS_SENT = "metrics_sent"
    METRICS_FAILED = "metrics_failed"
    # Stopping and cleaning up.
    SPOT_NOTICE = "spot_notice"
    SPOT_UNKNOWN = "spot_unknown"
    SCALE_IN_PROTECTION_REFUSED = "scale_in_protection_refused"
    SCALE_IN_PROTECTION_KEPT = "scale_in_protection_kept"
    SCALE_IN_PROTECTION_OFF = "scale_in_protection_off"
    JOB_RELEASED = "job_released"
    JOB_PUT_BACK = "job_put_back"
    DUTY_FAILED = "duty_failed"
    UPLOAD_BEGUN = "upload_begun"
    UPLOAD_COMPLETE = "upload_complete"
    UPLOAD_ABORTED = "upload_aborted"
    UPLOAD_EXPIRED = "upload_expired"
    JOB_DELETED = "job_deleted"
    ORPHAN_DELETED = "orphan_deleted"
    ORPHANS_KEPT = "orphans_kept"
    LEFTOVER_REMOVED = "leftover_removed"
    WORK_UNKNOWN = "work_unknown"
    SERVER_KNOWS = "server_knows"
    REMOTE_WORKER_ADDED = "remote_worker_added"
    REMOTE_WORKER_REVOKED = "remote_worker_revoked"
    OLDEST_TRANSACTION = "oldest_transaction"


Listener = Callable[[Event, str, Mapping[str, object]], None]
_listeners: list[Listener] = []
_identity: dict[str, object] = {}


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


def identify(**ids: object) -> None:
    """From now on every event of this process, from whichever thread, carries these fields."""
    _identity.update(ids)


def listen(listener: Listener) -> None:
    """From now on `listener(event, level, fields)` hears every event of this process, in the thread that says it."""
    if listener not in _listeners:
        _listeners.append(listener)


def emit(event: Event, **fields: object) -> None:
    _say("info", event, fields)


def warn(event: Event, **fields: object) -> None:
    _say("warning", event, fields)


def error(event: Event, **fields: object) -> None:
    _say("error", event, fields)


def _say(level: str, event: Event, fields: Mapping[str, object]) -> None:
    getattr(structlog.get_logger(), level)(event.value, **{**_identity, **fields})
    for listener in _listeners:
        listener(event, level, fields)

"""The states of jobs and chunks, the moves between them and who makes each move."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    UPLOADING = "uploading"  # the API moves it on, when the bytes are stored
    QUEUED = "queued"  # planned by the API (or the analysis worker's sweep); the first chunk claim moves it on, or the
    # plan itself where a kind has no chunks to begin with
    PROCESSING = "processing"  # the chunks of a phase; the completion of the last one moves it on
    AGGREGATING = "aggregating"  # the analysis worker moves it on: to the chunks of the next phase, or to done
    DONE = "done"  # final
    FAILED = "failed"  # `retry` moves it back to queued or aggregating
    CANCELLED = "cancelled"  # final


class ChunkStatus(StrEnum):
    QUEUED = "queued"  # a worker's claim moves it on, once available_at has come
    PROCESSING = "processing"  # the claiming worker moves it on, or the rescue of an expired lease
    COMPLETED = "completed"  # final
    FAILED = "failed"  # `retry` of the job moves it back to queued


class Stage(StrEnum):
    """What a person reads while waiting."""

    UPLOADING = "UPLOADING"
    PROBING = "PROBING"
    DEEP_QUEUED = "DEEP_QUEUED"
    PROCESSING = "PROCESSING"
    AGGREGATING = "AGGREGATING"
    RENDERING = "RENDERING"
    DONE = "DONE"


class UploadState(StrEnum):
    """Of a file that arrives in parts. The row goes with its bytes; that of a used one when its time is over."""

    OPEN = "open"  # `complete` moves it on, once every part is there
    COMPLETE = "complete"  # the job that is made of it moves it on
    USED = "used"  # final: its bytes are the job's
    ABORTED = "aborted"  # by its client or by the sweep, until its bytes are deleted


class DeepMode(StrEnum):
    GPU = "gpu"  # cut into chunks, worked by GPU chunk workers
    CPU = "cpu"  # one chunk, worked by the analysis worker


class WebhookEvent(StrEnum):
    """What a webhook is told of a job. A trigger writes the messages (alembic/versions/0017_webhooks.py)."""

    PROGRESS = "job.progress"  # its stage changed; only where it was asked for
    COMPLETED = "job.completed"
    FAILED = "job.failed"  # `retry` may move the job on again
    CANCELLED = "job.cancelled"


LAST_WORDS = (WebhookEvent.COMPLETED, WebhookEvent.FAILED, WebhookEvent.CANCELLED)

FINAL_JOB_STATUSES = frozenset({JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED})

JOB_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.UPLOADING: frozenset({JobStatus.QUEUED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.QUEUED: frozenset({JobStatus.PROCESSING, JobStatus.AGGREGATING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset({JobStatus.AGGREGATING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.AGGREGATING: frozenset({JobStatus.PROCESSING, JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.DONE: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED, JobStatus.AGGREGATING}),
    JobStatus.CANCELLED: frozenset(),
}

CHUNK_MOVES: dict[ChunkStatus, frozenset[ChunkStatus]] = {
    ChunkStatus.QUEUED: frozenset({ChunkStatus.PROCESSING, ChunkStatus.FAILED}),
    ChunkStatus.PROCESSING: frozenset({ChunkStatus.COMPLETED, ChunkStatus.QUEUED, ChunkStatus.FAILED}),
    ChunkStatus.COMPLETED: frozenset(),
    ChunkStatus.FAILED: frozenset({ChunkStatus.QUEUED}),
}

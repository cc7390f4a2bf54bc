"""/submit, /status, /process and /cleanup: as the serverless cropper had them, for task queues and schedulers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from backend.api import schemas
from backend.api.access import Scope, needs, own_access
from backend.api.answers import json_body
from backend.api.callers import CLEANUP_HEADER, PROCESS_HEADER, check_cleanup_caller, check_process_caller
from backend.api.context import context
from backend.api.new_job import job_of
from backend.db.models import Job
from backend.errors import InvalidValue
from backend.events import Event, emit
from backend.jobs.retention import Retention
from backend.queue.figures import list_workers
from backend.queue.queue import Queue
from backend.states import FINAL_JOB_STATUSES, JobStatus

MAX_BODY_BYTES = 64 * 1024
# Its four states, in ours.
STATUS = {
    JobStatus.UPLOADING: "queued",
    JobStatus.QUEUED: "queued",
    JobStatus.PROCESSING: "processing",
    JobStatus.AGGREGATING: "processing",
    JobStatus.DONE: "done",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "failed",
}
PROCESS_TOKEN, CLEANUP_TOKEN = "process_token", "cleanup_token"
SCHEMES: dict[str, Any] = {
    PROCESS_TOKEN: {"type": "apiKey", "in": "header", "name": PROCESS_HEADER, "description": "PROCESS_TOKEN, if set"},
    CLEANUP_TOKEN: {"type": "apiKey", "in": "header", "name": CLEANUP_HEADER, "description": "CLEANUP_TOKEN, if set"},
}
FLEET = ("gpu_chunk_worker", "analysis_worker")
ABSENT = ("silent", "draining")

blueprint = APIBlueprint(
    "push",
    __name__,
    abp_tags=[Tag(name="push queue")],
    abp_responses={"4XX": schemas.Problem, "5XX": schemas.Problem},
)


class Submission(BaseModel):
    uri: str = Field(description="gs://, s3://, http:// or https://")


class Order(BaseModel):
    job_id: UUID


class Submitted(BaseModel):
    job_id: UUID
    status: str


class PushStatus(BaseModel):
    """`result` when it is done, `error` when it failed."""

    job_id: UUID
    status: str
    created_at_ts: float
    updated_at_ts: float
    result: dict[str, str | None] | None = None
    error: str | None = None


class CleanedUp(BaseModel):
    deleted_jobs: list[UUID]
    expired_uploads: list[UUID]
    recovered_claims: int


@blueprint.post(
    "/submit",
    summary="Crop the video behind a URI",
    responses={202: Submitted},
    request_body=json_body(Submission),
)
@needs(Scope.JOBS_WRITE)
def submit() -> tuple[Response, int]:
    """Body: `{"uri": "gs://…"}`, or s3, http, https."""
    uri = _asked("uri", "gs://bucket/film.mp4")
    app = context()
    job = app.jobs.create(job_of({"kind": "crop", "input": uri}))
    app.plan_soon(job.id)
    return jsonify({"job_id": str(job.id), "status": STATUS[JobStatus(job.status)]}), 202


@blueprint.get("/status/<uuid:job_id>", summary="One job, in few words", responses={200: PushStatus})
@needs(Scope.JOBS_READ)
def status(path: schemas.JobPath) -> Response:
    return jsonify(_status(context().jobs.get(path.job_id)))


@blueprint.post(
    "/process",
    summary="Work on a job until it is over",
    responses={200: PushStatus},
    security=[{PROCESS_TOKEN: []}],
    request_body=json_body(Order),
)
@own_access("X-Process-Token, an OIDC token, or this machine")
def process() -> Response:
    """For a push queue. Body: `{"job_id"}`. Header `X-Process-Token`, and an OIDC bearer token, where configured.

    The answer comes when the job is over; at once where a fleet lives, which works on it, or somebody is at it already.
    """
    check_process_caller()
    app, job_id = context(), _asked_id()
    job = app.all_jobs.get(job_id)  # whoever submitted it
    if job.status in FINAL_JOB_STATUSES:
        return jsonify(_status(job))
    if app.own_worker.works_on(job_id) or _is_active(job_id):
        emit(Event.JOB_ALREADY_ACTIVE, job_id=str(job_id))
        return jsonify(_status(job))
    if not _has_fleet():
        app.own_worker.run(job_id)
    return jsonify(_status(app.all_jobs.get(job_id)))


@blueprint.post(
    "/cleanup",
    summary="Delete what is old, recover what is stalled",
    responses={200: CleanedUp},
    security=[{CLEANUP_TOKEN: []}],
)
@own_access("X-Cleanup-Token, or this machine")
def cleanup() -> Response:
    """For a scheduler; workers do the same by themselves. Header `X-Cleanup-Token` where configured."""
    check_cleanup_caller()
    app = context()
    recovered = Queue(app.database, app.settings).rescue_expired()
    retention = Retention(app.database, app.store, app.settings)
    expired, deleted = retention.expire_uploads(), retention.delete_expired()
    return jsonify(
        {
            "deleted_jobs": [str(job_id) for job_id in deleted],
            "expired_uploads": [str(job_id) for job_id in expired],
            "recovered_claims": recovered,
        }
    )


def _asked(name: str, example: str) -> str:
    request.max_content_length = MAX_BODY_BYTES
    value = request.get_json(force=True).get(name)
    if not isinstance(value, str):
        raise InvalidValue(f'{name}: send a JSON object as in {{"{name}": "{example}"}}.')
    return value


def _asked_id() -> UUID:
    try:
        return UUID(_asked("job_id", "…"))
    except ValueError:
        raise InvalidValue("job_id: must be the id that /submit gave.") from None


def _is_active(job_id: UUID) -> bool:
    """By somebody who lives. What a dead one left is worked on again, however long ago that was."""
    row = context().database.ask("job_is_active", job_id=job_id)
    return row is not None and bool(row["is_active"])


def _has_fleet() -> bool:
    living = {each["kind"] for each in list_workers(context().database) if each["state"] not in ABSENT}
    return living.issuperset(FLEET)


def _status(job: Job) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "job_id": str(job.id),
        "status": STATUS[JobStatus(job.status)],
        "created_at_ts": job.created_at.timestamp(),
        "updated_at_ts": job.updated_at.timestamp(),
    }
    if job.status == JobStatus.DONE:
        shown["result"] = {"output_uri": job.output_uri}
    elif shown["status"] == "failed":
        shown["error"] = "The job was cancelled." if job.status == JobStatus.CANCELLED else job.error_message
    return shown

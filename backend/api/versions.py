"""Jobs made of others: /api/v1/jobs/{id}/versions goes on from their chunks, /again begins anew on their source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from backend import tracing
from backend.api import schemas
from backend.api.access import Scope, caller, needs
from backend.api.answers import json_answer
from backend.api.client_uris import check_input
from backend.api.context import context
from backend.api.jobs import MADE, PROBLEMS, accepted
from backend.api.new_job import MAX_JSON_BYTES, MAX_NAME_CHARACTERS, asked_key, check_size
from backend.db.models import Job
from backend.jobs.again import source_again
from backend.jobs.idempotency import check_same, fingerprint, in_flight
from backend.jobs.resource import API, job_resources
from backend.jobs.service import NewJob
from backend.jobs.versions import NewVersion
from backend.kinds import kind_named
from backend.states import DeepMode
from backend.storage.names import is_object_uri, is_web, name_in

LAID_OVER = "laid over the job's own, name by name; null brings back the default"


class _Once(TypedDict):
    """What every new job's row keeps of its request."""

    idempotency_key: str | None
    request_sha256: str
    trace_context: str | None


class VersionRequest(schemas.WebhookFields):
    model_config = ConfigDict(extra="forbid")

    params: dict[str, Any] = Field(default_factory=dict, description=LAID_OVER)


class AgainRequest(schemas.WebhookFields):
    model_config = ConfigDict(extra="forbid")

    input: str | None = Field(
        None, max_length=schemas.MAX_URI_CHARACTERS, description="in place of the job's own, as in POST /api/v1/jobs"
    )
    params: dict[str, Any] = Field(default_factory=dict, description=LAID_OVER)


class Family(BaseModel):
    jobs: list[schemas.JobResource] = Field(description="the first job and its versions, in order")


blueprint = APIBlueprint("versions", __name__, url_prefix=API, abp_tags=[Tag(name="jobs")], abp_responses=PROBLEMS)


@blueprint.before_request
def _bound_json() -> None:
    if request.method == "POST":
        request.max_content_length = MAX_JSON_BYTES


@blueprint.post("/jobs/<uuid:job_id>/versions", summary="Render it again with other parameters", responses=MADE)
@needs(Scope.JOBS_WRITE)
def create_version(path: schemas.JobPath, body: VersionRequest) -> Response:
    """A job that goes on from this one's finished chunks and detects nothing. 409 until they are analysed; parameters
    that chunks are made of cannot change. `Idempotency-Key` as with POST /api/v1/jobs."""
    parent = context().jobs.get(path.job_id)

    def make(once: _Once) -> Job:
        params = asked_params(parent, body.params)
        asked = NewVersion(params, webhook_url=body.webhook_url, webhook_events=body.webhook_events, **once)
        return context().versions.create(parent.id, asked)

    return _made_once({"version_of": str(parent.id), **body.model_dump(mode="json")}, make)


@blueprint.get(
    "/jobs/<uuid:job_id>/versions",
    summary="A job and its versions",
    responses={200: json_answer(Family, "in order")},
)
@needs(Scope.JOBS_READ)
def list_versions(path: schemas.JobPath) -> Response:
    """The whole family, of whichever of them is named."""
    family = context().versions.family(path.job_id)
    return jsonify({"jobs": job_resources(context().database_of_caller, family)})


@blueprint.post("/jobs/<uuid:job_id>/again", summary="Run it again from the start", responses=MADE)
@needs(Scope.JOBS_WRITE)
def run_again(path: schemas.JobPath, body: AgainRequest) -> Response:
    """A new job on the same source, or on `input`, whatever became of this one. `Idempotency-Key` as with POST
    /api/v1/jobs."""
    app = context()
    earlier = app.jobs.get(path.job_id)

    def make(once: _Once) -> Job:
        new = NewJob(
            kind=earlier.kind,
            **_source(earlier, body.input),
            params=asked_params(earlier, body.params),
            deep_mode=DeepMode(earlier.deep_mode),
            priority=earlier.priority,
            keeps_existing=True,
            webhook_url=body.webhook_url,
            webhook_events=body.webhook_events,
            **once,
        )
        job = app.jobs.create(new)
        if job.id == new.job_id:
            app.plan_soon(job.id)
        return job

    return _made_once({"again": str(earlier.id), **body.model_dump(mode="json")}, make)


def asked_params(job: Job, given: dict[str, Any]) -> dict[str, Any]:
    """The job's own parameters with those of the request over them. Raises InvalidParams, UnsupportedInput for a
    further input that a client may not name."""
    kind = kind_named(job.kind)
    params = kind.laid_over(job.params, given, context().settings)
    check_size(params)
    for name, uri in kind.parse_params(params).inputs():
        if name in given:
            check_input(uri, f"params.{name}")
    return params


def _source(job: Job, given: str | None) -> dict[str, Any]:
    """Where the new job's input lies and what it is called. Raises UnsupportedInput, SourceExpired, InvalidState."""
    if given is not None:
        check_input(given, "input", film_beside=True)
        return {"input_uri": given, "input_name": name_in(given)[:MAX_NAME_CHARACTERS]}
    source = source_again(job, context().store)
    # What may be named can change; a file was no client's to name.
    if "source_job" not in source and (is_web(job.input_uri) or is_object_uri(job.input_uri)):
        check_input(job.input_uri, "input", film_beside=True)
    return source


def _made_once(asked: dict[str, Any], make: Callable[[_Once], Job]) -> Response:
    """The job that an earlier request with the same key made, or a new one. Raises KeyReused, KeyInFlight."""
    with tracing.span("create job", dict(request.headers), {}, "server"):
        key, sha256 = asked_key(), fingerprint(asked)
        once = _Once(idempotency_key=key, request_sha256=sha256, trace_context=tracing.current())
        if key is None:
            return accepted(make(once))
        with in_flight(context().database_of_caller, caller().tenant, key):
            job = context().jobs.find(key) or make(once)
        check_same(job, sha256)
        return accepted(job)

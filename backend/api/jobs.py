"""/api/v1/jobs: create, look, cancel, retry, pause, resume, fetch."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urlsplit
from uuid import uuid4

from flask import Response, jsonify, redirect, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import FileStorage

from backend import tracing
from backend.api import schemas
from backend.api.conditional import polled
from backend.api.context import context
from backend.api.files import send_object
from backend.db.models import Job
from backend.errors import InvalidRequest, InvalidState, ObjectNotFound, StorageError, UnsupportedInput
from backend.jobs.manifest import manifest_key
from backend.jobs.outputs import output_name
from backend.jobs.progress import progress_of
from backend.jobs.resource import API, chunk_resource, job_resource, job_resources
from backend.jobs.service import NewJob
from backend.kinds import kind_named
from backend.states import JobStatus

REMOTE_SCHEMES = ("http", "https", "s3", "gs")
OUTPUT_SCHEMES = ("s3", "gs")
MAX_NAME_CHARACTERS = 255
MAX_JSON_BYTES = 1024 * 1024
LINK_SECONDS = 3600
VIDEO_TYPE = "video/mp4"
TRACK_FILES = {
    "json": ("tracks.json", "application/json"),
    "parquet": ("tracks.parquet", "application/vnd.apache.parquet"),
    "mot": ("tracks.mot.txt", "text/plain; charset=utf-8"),
}
PROBLEMS: dict[Any, Any] = {"4XX": schemas.Problem, "5XX": schemas.Problem}
# One operation takes two kinds of body, which the library's decorator cannot say.
CREATE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": schemas.JobRequest.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "kind": {"type": "string", "default": "crop"},
                        "params": {"type": "string", "description": "a JSON object", "default": "{}"},
                        "deep_mode": {"type": "string", "enum": ["gpu", "cpu"], "default": "gpu"},
                        "priority": {"type": "integer", "minimum": -100, "maximum": 100, "default": 0},
                    },
                }
            },
        },
    }
}

Model = TypeVar("Model", bound=BaseModel)

blueprint = APIBlueprint("jobs", __name__, url_prefix=API, abp_tags=[Tag(name="jobs")], abp_responses=PROBLEMS)


@blueprint.post("/jobs", summary="Create a job", responses={202: schemas.JobResource})
def create_job() -> Response:
    """From a URI (JSON) or an upload (multipart/form-data with `file`). `Idempotency-Key` makes a repeat harmless."""
    with tracing.span("create job", dict(request.headers), {}, "server"):
        return _create_job()


def _create_job() -> Response:
    key = request.headers.get("Idempotency-Key") or None
    if key is not None and len(key) > MAX_NAME_CHARACTERS:
        raise InvalidRequest(f"Idempotency-Key may have at most {MAX_NAME_CHARACTERS} characters.")
    app = context()
    job = app.jobs.find(key) if key else None
    if job is None:  # an upload that is repeated is not stored a second time
        new = _from_upload(key) if request.mimetype == "multipart/form-data" else _from_json(key)
        job = _created(replace(new, trace_context=tracing.current()))
        tracing.note(job_id=str(job.id))
        if job.id == new.job_id:
            app.plan_soon(job.id)
    response = jsonify(job_resources(app.database, [job])[0])
    response.status_code = 202
    response.headers["Location"] = f"{API}/jobs/{job.id}"
    return response


@blueprint.get("/jobs", summary="List jobs, newest first", responses={200: schemas.JobList})
def list_jobs(query: schemas.JobQuery) -> Response:
    app = context()
    jobs = app.jobs.list(limit=query.limit + 1, before=query.before, status=query.status)
    page = jobs[: query.limit]
    more = len(jobs) > len(page)
    return jsonify({"jobs": job_resources(app.database, page), "next": str(page[-1].id) if more else None})


@blueprint.get("/jobs/<uuid:job_id>", summary="One job", responses={200: schemas.JobResource})
def get_job(path: schemas.JobPath) -> Response:
    """Poll this as `Retry-After` says, with `If-None-Match`. Without the header, the job is over."""
    app = context()
    job = app.jobs.get(path.job_id)
    (progress,) = progress_of(app.database, [job])
    return polled(job_resource(job, progress), poll_after_seconds=progress.poll_after_seconds)


@blueprint.post("/jobs/<uuid:job_id>/cancel", summary="Cancel a job", responses={200: schemas.JobResource})
def cancel_job(path: schemas.JobPath) -> Response:
    app = context()
    return jsonify(job_resources(app.database, [app.jobs.cancel(path.job_id)])[0])


@blueprint.post("/jobs/<uuid:job_id>/retry", summary="Retry a failed job", responses={202: schemas.JobResource})
def retry_job(path: schemas.JobPath) -> Response:
    app = context()
    job = app.jobs.retry(path.job_id)
    app.plan_soon(job.id)
    response = jsonify(job_resources(app.database, [job])[0])
    response.status_code = 202
    return response


@blueprint.post("/jobs/<uuid:job_id>/pause", summary="Pause a job", responses={200: schemas.JobResource})
def pause_job(path: schemas.JobPath) -> Response:
    """Nothing more of it is claimed until it is resumed; work in hand goes on."""
    app = context()
    return jsonify(job_resources(app.database, [app.jobs.pause(path.job_id)])[0])


@blueprint.post("/jobs/<uuid:job_id>/resume", summary="Resume a paused job", responses={200: schemas.JobResource})
def resume_job(path: schemas.JobPath) -> Response:
    app = context()
    job = app.jobs.resume(path.job_id)
    app.plan_soon(job.id)
    return jsonify(job_resources(app.database, [job])[0])


@blueprint.get("/jobs/<uuid:job_id>/chunks", summary="A job's chunks", responses={200: schemas.ChunkList})
def list_chunks(path: schemas.JobPath) -> Response:
    return polled({"chunks": [chunk_resource(chunk) for chunk in context().jobs.chunks(path.job_id)]})


@blueprint.get("/jobs/<uuid:job_id>/output", summary="The finished film")
def get_output(path: schemas.JobPath, query: schemas.OutputQuery) -> Any:
    """The MP4, with ranges; a redirect to a signed URL where the store has them."""
    app = context()
    job = app.jobs.get(path.job_id)
    _require_done(job)
    if job.output_key is None:
        raise ObjectNotFound(f"The film was written to {job.output_uri}.")
    name = output_name(job.input_name, kind_named(job.kind).suffix)
    attachment = name if query.download else None
    url = app.store.presign_get(job.output_key, expires_sec=LINK_SECONDS, filename=attachment)
    if url is not None:
        return redirect(url)
    return send_object(app.store, job.output_key, VIDEO_TYPE, attachment=attachment)


@blueprint.get("/jobs/<uuid:job_id>/tracks", summary="The stitched tracks")
def get_tracks(path: schemas.JobPath, query: schemas.TracksQuery) -> Response:
    name, content_type = TRACK_FILES[query.format]
    return _job_object(path, name, content_type)


@blueprint.get("/jobs/<uuid:job_id>/camera-path", summary="The camera path and its certificate")
def get_camera_path(path: schemas.JobPath) -> Response:
    return _job_object(path, "camera_path.json", "application/json")


@blueprint.get("/jobs/<uuid:job_id>/plot", summary="The camera path, drawn")
def get_plot(path: schemas.JobPath) -> Response:
    """A PNG: subject, window and camera speed over time."""
    from backend.vision.plot import plot_path  # matplotlib takes a second to load

    app = context()
    _require_done(app.jobs.get(path.job_id))
    camera_path = json.loads(app.store.get(f"jobs/{path.job_id}/camera_path.json"))
    return Response(plot_path(camera_path), mimetype="image/png")


@blueprint.get("/jobs/<uuid:job_id>/contact-sheet", summary="Frames with what was seen and cut")
def get_contact_sheet(path: schemas.JobPath) -> Response:
    """A PNG: up to 12 frames with the window, the subject and the tracks drawn over them."""
    app = context()
    _require_done(app.jobs.get(path.job_id))
    return send_object(app.store, f"jobs/{path.job_id}/contact_sheet.png", "image/png")


@blueprint.get("/jobs/<uuid:job_id>/manifest", summary="What the job was cut into")
def get_manifest(path: schemas.JobPath) -> Response:
    return _job_object(path, manifest_key(path.job_id).rsplit("/", 1)[-1], "application/json")


def _require_done(job: Job) -> None:
    if job.status != JobStatus.DONE:
        raise InvalidState(f"The job is {job.status}; there is nothing to show yet.")


def _job_object(path: schemas.JobPath, name: str, content_type: str) -> Response:
    app = context()
    app.jobs.get(path.job_id)
    return send_object(app.store, f"jobs/{path.job_id}/{name}", content_type)


def _from_json(idempotency_key: str | None) -> NewJob:
    request.max_content_length = MAX_JSON_BYTES  # else one body may take as much memory as an upload may take disk
    body = request.get_json(silent=True, force=True)
    if not isinstance(body, dict):
        raise InvalidRequest('Send a JSON object as in {"kind": "crop", "input": "https://…"}, or a file upload.')
    asked = _parsed(schemas.JobRequest, body)
    _check_scheme(asked.input, REMOTE_SCHEMES, "input")
    _check_prefix(asked.input, "input")
    if asked.output_uri is not None:
        _check_scheme(asked.output_uri, OUTPUT_SCHEMES, "output_uri")
        _check_prefix(asked.output_uri, "output_uri")
    name = urlsplit(asked.input).path.rstrip("/").rsplit("/", 1)[-1]
    return NewJob(
        kind=asked.kind,
        input_uri=asked.input,
        input_name=name[:MAX_NAME_CHARACTERS] or "video",
        params=context().settings.with_param_defaults(asked.params),
        deep_mode=asked.deep_mode,
        priority=asked.priority,
        output_uri=asked.output_uri,
        idempotency_key=idempotency_key,
    )


def _from_upload(idempotency_key: str | None) -> NewJob:
    """Checks the fields before a byte of the file is stored."""
    fields: dict[str, Any] = dict(request.form.items())
    if "params" in fields:
        fields["params"] = _json_text(fields["params"])
    form = _parsed(schemas.UploadForm, fields)
    kind_named(form.kind).parse_params(form.params)
    file = request.files.get("file")
    if not isinstance(file, FileStorage) or not file.filename:
        raise InvalidRequest("The form has no file: send it in a field named `file`.")
    app = context()
    job_id = uuid4()
    key = f"jobs/{job_id}/source"
    app.store.put_stream(key, cast(BinaryIO, file.stream), max_bytes=app.settings.max_upload_bytes)
    return NewJob(
        kind=form.kind,
        input_uri=app.store.uri(key),
        input_name=file.filename.replace("\0", "")[:MAX_NAME_CHARACTERS] or "video",
        params=app.settings.with_param_defaults(form.params),
        deep_mode=form.deep_mode,
        priority=form.priority,
        idempotency_key=idempotency_key,
        job_id=job_id,
    )


def _created(new: NewJob) -> Job:
    """An upload whose job was not made, or was made before by a request that ran beside this one, does not stay."""
    app = context()
    try:
        job = app.jobs.create(new)
    except BaseException:
        _drop_upload(new)
        raise
    if job.id != new.job_id:
        _drop_upload(new)
    return job


def _drop_upload(new: NewJob) -> None:
    with suppress(StorageError):
        context().store.delete(f"jobs/{new.job_id}/source")


def _json_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidRequest('params: must be a JSON object, as in {"aspect": "9:16"}') from error


def _parsed(model: type[Model], values: dict[str, Any]) -> Model:
    """Raises InvalidRequest that names the field."""
    try:
        return model.model_validate(values)
    except ValidationError as invalid:
        first = invalid.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "request"
        raise InvalidRequest(f"{name:.60}: {first['msg']}") from invalid


def _check_prefix(uri: str, field: str) -> None:
    """Our credentials reach our own store: nobody may read or overwrite other people's objects through them."""
    settings = context().settings
    place = _with_small_scheme(uri)
    if place.partition("://")[0] not in OUTPUT_SCHEMES:
        return
    own = _with_small_scheme(settings.storage_root_url.rstrip("/") + "/")
    named = [prefix.strip() for prefix in settings.allowed_prefixes.split(",") if prefix.strip()]
    allowed = tuple(map(_with_small_scheme, named))
    if place.startswith(own) or (allowed and not place.startswith(allowed)):
        raise UnsupportedInput(f"{field}: this place is not open to clients.")


def _with_small_scheme(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return scheme.lower() + separator + rest


def _check_scheme(uri: str, schemes: tuple[str, ...], field: str) -> None:
    """A file:// URI from outside would read this machine's own files."""
    if any(char < " " for char in uri):
        raise UnsupportedInput(f"{field}: must not have control characters")
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() not in schemes or not rest:
        allowed = ", ".join(f"{name}://" for name in schemes)
        raise UnsupportedInput(f"{field}: must be a URI that begins with {allowed}")

"""/api/v1/jobs: create, look, cancel, retry, pause, resume, fetch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from flask import Response, jsonify, redirect, request
from flask_openapi import APIBlueprint, Tag

from backend import tracing
from backend.api import schemas
from backend.api.access import Scope, caller, needs
from backend.api.answers import LINK, LOCATION, POLLED_HEADERS, RETRY_AFTER, a_file, json_answer, unchanged
from backend.api.conditional import linked, polled
from backend.api.context import context
from backend.api.files import send_object
from backend.api.new_job import asked_fingerprint, asked_job, asked_key
from backend.db.models import Job
from backend.errors import ObjectNotFound, StorageError
from backend.jobs import listing, manifest
from backend.jobs.idempotency import check_same, in_flight
from backend.jobs.layout import manifest_key, result_key, source_key
from backend.jobs.listing import ChunkCursor, JobCursor, JobFilter
from backend.jobs.progress import shown_job
from backend.jobs.resource import (
    API,
    check_done,
    check_leaves,
    chunk_resource,
    job_resource,
    job_resources,
    job_summaries,
    leaves,
)
from backend.jobs.service import NewJob
from backend.kinds import kind_named
from backend.kinds.base import JSON_TYPE

LINK_SECONDS = 300  # the route redirects anew whenever it is asked
TRACK_FILES = {
    "json": ("tracks.json", "application/json"),
    "parquet": ("tracks.parquet", "application/vnd.apache.parquet"),
    "mot": ("tracks.mot.txt", "text/plain; charset=utf-8"),
    "csv": ("tracks.csv", "text/csv; charset=utf-8"),
}
PROBLEMS: dict[Any, Any] = {"4XX": schemas.Problem, "5XX": schemas.Problem}

MADE: dict[Any, Any] = {202: json_answer(schemas.JobResource, "the job", **LOCATION)}
POLLED_JOB: dict[Any, Any] = {
    200: json_answer(schemas.JobResource, "the job", **POLLED_HEADERS, **RETRY_AFTER),
    304: unchanged(),
}

blueprint = APIBlueprint("jobs", __name__, url_prefix=API, abp_tags=[Tag(name="jobs")], abp_responses=PROBLEMS)


@blueprint.post("/jobs", summary="Create a job", responses=MADE)
@needs(Scope.JOBS_WRITE)
def create_job() -> Response:
    """From a URI (JSON) or an upload (multipart/form-data with `file`). `Idempotency-Key` makes a repeat harmless."""
    with tracing.span("create job", dict(request.headers), {}, "server"):
        return _create_job()


def _create_job() -> Response:
    key = asked_key()
    if key is None:
        return _made(asked_job(None))
    with in_flight(context().database_of_caller, caller().tenant, key):
        return _made_once(key)


def _made_once(key: str) -> Response:
    """The job that an earlier request with this key made, or a new one. An upload that is repeated is not stored a
    second time. Raises KeyReused."""
    job = context().jobs.find(key)
    if job is None:
        return _made(asked_job(key))
    check_same(job, asked_fingerprint())
    return accepted(job)


def _made(new: NewJob) -> Response:
    job = _created(replace(new, trace_context=tracing.current()))
    tracing.note(job_id=str(job.id))
    if job.id == new.job_id:
        context().plan_soon(job.id)
    return accepted(job)


def accepted(job: Job) -> Response:
    response = _shown(job, 202)
    response.headers["Location"] = f"{API}/jobs/{job.id}"
    return response


def _created(new: NewJob) -> Job:
    """An upload whose job was not made, or was made before by a request that ran beside this one, does not stay. Raises
    KeyReused where that was another request."""
    app = context()
    try:
        job = app.jobs.create(new)
    except BaseException:
        _drop_upload(new)
        raise
    if job.id != new.job_id:
        _drop_upload(new)
        if new.request_sha256 is not None:
            check_same(job, new.request_sha256)
    return job


def _drop_upload(new: NewJob) -> None:
    if new.upload_id is not None:  # complete as it is, it can be the input of another request
        return
    with suppress(StorageError):
        context().store.delete(source_key(new.job_id))


@blueprint.get(
    "/jobs",
    summary="List jobs, newest first",
    responses={200: json_answer(schemas.JobList, "a page", **LINK, **POLLED_HEADERS), 304: unchanged()},
)
@needs(Scope.JOBS_READ)
def list_jobs(query: schemas.JobQuery) -> Response:
    database = context().jobs.database
    wanted = _wanted(query, query.status)
    jobs = listing.list_jobs(database, wanted, limit=query.limit + 1, after=_place(query))
    page = jobs[: query.limit]
    more = str(JobCursor.at(page[-1])) if len(jobs) > len(page) else None
    return linked(polled({"jobs": job_summaries(database, page), "next": more}), "cursor", more)


@blueprint.get(
    "/jobs/counts",
    summary="How many jobs there are, by status",
    responses={200: json_answer(schemas.JobCounts, "the counts", **POLLED_HEADERS), 304: unchanged()},
)
@needs(Scope.JOBS_READ)
def count_jobs(query: schemas.CountQuery) -> Response:
    counts = listing.count_jobs(context().jobs.database, _wanted(query))
    return polled({"counts": counts, "total": sum(counts.values())})


def _wanted(query: schemas.CountQuery, statuses: Sequence[str] = ()) -> JobFilter:
    return JobFilter(statuses, query.kind, query.created_after, query.created_before, query.q)


def _place(query: schemas.JobQuery) -> JobCursor | None:
    """Where the page begins. Raises InvalidValue, JobNotFound for a `before` whose job is gone."""
    text = query.cursor or query.before
    if text is None:
        return None
    try:
        return JobCursor.at(context().jobs.get(UUID(query.before))) if query.before else JobCursor.parse(text)
    except ValueError:
        return JobCursor.parse(text)


@blueprint.get("/jobs/<uuid:job_id>", summary="One job", responses=POLLED_JOB)
@needs(Scope.JOBS_READ)
def get_job(path: schemas.JobPath) -> Response:
    """Poll this as `Retry-After` says, with `If-None-Match`. Without the header, the job is over."""
    job, progress = shown_job(context().database_of_caller, path.job_id)
    return polled(job_resource(job, progress), poll_after_seconds=progress.poll_after_seconds)


@blueprint.post("/jobs/<uuid:job_id>/cancel", summary="Cancel a job", responses={200: schemas.JobResource})
@needs(Scope.JOBS_WRITE)
def cancel_job(path: schemas.JobPath) -> Response:
    return _shown(context().jobs.cancel(path.job_id))


@blueprint.post("/jobs/<uuid:job_id>/retry", summary="Retry a failed job", responses={202: schemas.JobResource})
@needs(Scope.JOBS_WRITE)
def retry_job(path: schemas.JobPath) -> Response:
    app = context()
    job = app.jobs.retry(path.job_id)
    app.plan_soon(job.id)
    return _shown(job, 202)


@blueprint.post("/jobs/<uuid:job_id>/pause", summary="Pause a job", responses={200: schemas.JobResource})
@needs(Scope.JOBS_WRITE)
def pause_job(path: schemas.JobPath) -> Response:
    """Nothing more of it is claimed until it is resumed; work in hand goes on."""
    return _shown(context().jobs.pause(path.job_id))


@blueprint.post("/jobs/<uuid:job_id>/resume", summary="Resume a paused job", responses={200: schemas.JobResource})
@needs(Scope.JOBS_WRITE)
def resume_job(path: schemas.JobPath) -> Response:
    app = context()
    job = app.jobs.resume(path.job_id)
    app.plan_soon(job.id)
    return _shown(job)


@blueprint.get(
    "/jobs/<uuid:job_id>/chunks",
    summary="A job's chunks",
    responses={200: json_answer(schemas.ChunkList, "a page", **LINK, **POLLED_HEADERS), 304: unchanged()},
)
@needs(Scope.JOBS_READ)
def list_chunks(path: schemas.JobPath, query: schemas.ChunkQuery) -> Response:
    jobs = context().jobs
    jobs.get(path.job_id)
    after = ChunkCursor.parse(query.after) if query.after is not None else None
    chunks = listing.list_chunks(jobs.database, path.job_id, limit=query.limit + 1, after=after)
    page = chunks[: query.limit]
    more = str(ChunkCursor.at(page[-1])) if len(chunks) > len(page) else None
    return linked(polled({"chunks": [chunk_resource(chunk) for chunk in page], "next": more}), "after", more)


@blueprint.get(
    "/jobs/<uuid:job_id>/output",
    summary="The finished film, or whatever the kind makes",
    responses=a_file("*/*", moved=302),
)
@needs(Scope.JOBS_READ)
def get_output(path: schemas.JobPath, query: schemas.OutputQuery) -> Any:
    """The file, with ranges; a redirect to a signed URL where the store has them."""
    app = context()
    job = app.jobs.get(path.job_id)
    check_done(job)
    if job.output_key is None:
        raise ObjectNotFound(f"The film was written to {job.output_uri}.")
    output = kind_named(job.kind).output
    attachment = output.file_name(job.input_name, job.output_ending) if query.download else None
    url = app.store.presign_get(job.output_key, expires_sec=LINK_SECONDS, filename=attachment)
    if url is not None:
        return redirect(url)
    content_type = output.content_type(PurePosixPath(job.output_key).suffix)
    return send_object(app.store, job.output_key, content_type, attachment=attachment)


@blueprint.get("/jobs/<uuid:job_id>/files/<string:name>", summary="A file beside the film", responses=a_file("*/*"))
@needs(Scope.JOBS_READ)
def get_file(path: schemas.FilePath) -> Response:
    """One of the files that jobs of this kind leave, by its name, with ranges."""
    app = context()
    job = app.jobs.get(path.job_id)
    files = kind_named(job.kind).files_of(job.params).values()
    asked = next((each for each in files if each.name == path.name), None)
    if asked is None:
        raise ObjectNotFound(f"There is no such file; there are: {', '.join(each.name for each in files)}.")
    return send_object(app.store, result_key(path.job_id, asked.name), asked.content_type)


@blueprint.get(
    "/jobs/<uuid:job_id>/tracks",
    summary="The stitched tracks",
    responses=a_file(*(content_type.partition(";")[0] for _, content_type in TRACK_FILES.values())),
)
@needs(Scope.JOBS_READ)
def get_tracks(path: schemas.JobPath, query: schemas.TracksQuery) -> Response:
    job = context().jobs.get(path.job_id)
    name, content_type = TRACK_FILES[query.format]
    if query.format == "csv" and not leaves(job, name):
        return _as_csv(job, content_type)
    check_leaves(job, name)
    return _job_object(path, name, content_type)


@blueprint.get(
    "/jobs/<uuid:job_id>/camera-path", summary="The camera path and its certificate", responses=a_file(JSON_TYPE)
)
@needs(Scope.JOBS_READ)
def get_camera_path(path: schemas.JobPath) -> Response:
    check_leaves(context().jobs.get(path.job_id), "camera_path.json")
    return _job_object(path, "camera_path.json", "application/json")


@blueprint.get(
    "/jobs/<uuid:job_id>/contact-sheet", summary="Frames with what was seen and cut", responses=a_file("image/png")
)
@needs(Scope.JOBS_READ)
def get_contact_sheet(path: schemas.JobPath) -> Response:
    """A PNG: up to 12 frames with the window, the subject and the tracks drawn over them."""
    app = context()
    job = app.jobs.get(path.job_id)
    check_leaves(job, "contact_sheet.png")
    check_done(job)
    return send_object(app.store, result_key(path.job_id, "contact_sheet.png"), "image/png")


@blueprint.get("/jobs/<uuid:job_id>/manifest", summary="What the job was cut into", responses=a_file(JSON_TYPE))
@needs(Scope.JOBS_READ)
def get_manifest(path: schemas.JobPath) -> Response:
    return _job_object(path, "manifest.json", "application/json")


@blueprint.get(
    "/jobs/<uuid:job_id>/segments",
    summary="The manifest, as a predecessor's clients read it",
    responses={200: {"description": "as it split films", "content": {JSON_TYPE: {"schema": {"type": "object"}}}}},
)
@needs(Scope.JOBS_READ)
def get_segments(path: schemas.JobPath) -> Response:
    app = context()
    app.jobs.get(path.job_id)
    return jsonify(manifest.as_split(manifest.load(app.store.get(manifest_key(path.job_id)))))


def _shown(job: Job, status: int = 200) -> Response:
    response = jsonify(job_resources(context().database_of_caller, [job])[0])
    response.status_code = status
    return response


def _as_csv(job: Job, content_type: str) -> Response:
    """Made of the Parquet file, as it is sent."""
    from backend.vision.track_files import csv_of_parquet  # pyarrow takes a while to load

    name, _ = TRACK_FILES["parquet"]
    check_leaves(job, name)
    check_done(job)
    return Response(csv_of_parquet(context().store.get(result_key(job.id, name))), content_type=content_type)


def _job_object(path: schemas.JobPath, name: str, content_type: str) -> Response:
    app = context()
    app.jobs.get(path.job_id)
    return send_object(app.store, result_key(path.job_id, name), content_type)

"""/api/v1/jobs/{id}: its camera path for editors, and all that there is to say of it on one page."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any, Literal

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel

from backend.api import schemas
from backend.api.access import Scope, needs
from backend.api.context import context
from backend.api.files import PAGE_POLICY
from backend.api.turns import Turns
from backend.db.models import Job
from backend.errors import ObjectNotFound
from backend.jobs.edit_timeline import Edit, edl, otio_json
from backend.jobs.layout import result_key
from backend.jobs.progress import progress_of
from backend.jobs.report import Found, report_html
from backend.jobs.resource import API, check_done, check_leaves, job_resource
from backend.jobs.sources import stored_key
from backend.storage.base import ObjectStore
from backend.storage.http import safe_url
from backend.storage.names import content_disposition

PROBLEMS: dict[Any, Any] = {"4XX": schemas.Problem, "5XX": schemas.Problem}
OTIO_TYPE = "application/vnd.pixar.opentimelineio+json"
EDL_TYPE = "text/plain; charset=utf-8"
# Of camera_path.json and tracks.json: some hours of film. Read into Python's objects they take twenty times the room.
MAX_PATH_BYTES = 64 * 2**20
MAX_PICTURE_BYTES = 16 * 2**20

TEXT: dict[str, Any] = {"schema": {"type": "string"}}
TIMELINE: dict[Any, Any] = {
    200: {"description": "the file", "content": {OTIO_TYPE: {}, "text/plain": TEXT}},
}
PLOT: dict[Any, Any] = {200: {"description": "a picture", "content": {"image/png": {}}}}
REPORT: dict[Any, Any] = {200: {"description": "a page of its own", "content": {"text/html": TEXT}}}

blueprint = APIBlueprint("exports", __name__, url_prefix=API, abp_tags=[Tag(name="jobs")], abp_responses=PROBLEMS)


def turns() -> Turns:
    """For what is made of a whole camera path."""
    words = "Others have pages and pictures of their jobs made at this moment: ask again."
    return Turns(words, at_once=1, waiting=3, patience_sec=5.0)


class TimelineQuery(BaseModel):
    format: Literal["otio", "edl"] = "otio"


@blueprint.get("/jobs/<uuid:job_id>/timeline", summary="The camera path, for editors", responses=TIMELINE)
@needs(Scope.JOBS_READ)
def get_timeline(path: schemas.JobPath, query: TimelineQuery) -> Response:
    """The film's shots as clips of the source: OpenTimelineIO with the windows, or a CMX 3600 list. 409 until the job
    is done."""
    app = context()
    job = app.jobs.get(path.job_id)
    check_leaves(job, "camera_path.json")
    check_done(job)
    is_list = query.format == "edl"
    with app.drawing.one():
        edit = Edit(
            job.id,
            job.input_name,
            None if stored_key(job.input_uri) is not None else safe_url(job.input_uri),
            Fraction(job.fps_num, job.fps_den) if job.fps_num and job.fps_den else None,
            _camera_path(app.store, job),
            job.params.get("keyframes", []),
        )
        written = edl(edit) if is_list else otio_json(edit)
    response = Response(written, content_type=EDL_TYPE if is_list else OTIO_TYPE)
    response.headers["Content-Disposition"] = content_disposition(f"{job.input_name}.{query.format}")
    response.headers["Cache-Control"] = "no-cache, private"
    return response


@blueprint.get("/jobs/<uuid:job_id>/plot", summary="The camera path, drawn", responses=PLOT)
@needs(Scope.JOBS_READ)
def get_plot(path: schemas.JobPath) -> Response:
    """A PNG: subject, window and camera speed over time. 409 until the job is done."""
    from backend.vision.plot import plot_path  # matplotlib takes a second to load

    app = context()
    job = app.jobs.get(path.job_id)
    check_leaves(job, "camera_path.json")
    check_done(job)
    with app.drawing.one():
        return Response(plot_path(_camera_path(app.store, job)), mimetype="image/png")


@blueprint.get("/jobs/<uuid:job_id>/report", summary="All that there is to say of a job", responses=REPORT)
@needs(Scope.JOBS_READ)
def get_report(path: schemas.JobPath) -> Response:
    """One page without scripts, to keep, print or send. 409 until the job is done."""
    app = context()
    job = app.jobs.get(path.job_id)
    check_done(job)
    resource = job_resource(job, progress_of(app.jobs.database, [job])[0])
    with app.drawing.one():
        page = report_html(resource, _found(app.store, job, resource["links"]))
    response = Response(page, mimetype="text/html")
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    response.headers["Cache-Control"] = "no-cache, private"
    return response


def _found(store: ObjectStore, job: Job, links: dict[str, str]) -> Found:
    """What the job left, of the files that its kind may leave."""
    certificate = tracks = None
    pictures = []
    camera_path = _left(store, job, "camera_path.json", MAX_PATH_BYTES) if "camera-path" in links else None
    if camera_path is not None:
        from backend.vision.plot import plot_path  # matplotlib takes a second to load

        solved = json.loads(camera_path)
        certificate = solved["certificate"]
        pictures.append(("Subject, window and speed over time", "image/png", plot_path(solved)))
    sheet = _left(store, job, "contact_sheet.png", MAX_PICTURE_BYTES) if "contact-sheet" in links else None
    if sheet is not None:
        pictures.append(("Frames with what was seen and cut", "image/png", sheet))
    listed = _left(store, job, "tracks.json", MAX_PATH_BYTES) if "tracks" in links else None
    if listed is not None:
        tracks = json.loads(listed)
    return Found(certificate, tracks, pictures, job.timings)


def _camera_path(store: ObjectStore, job: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_bounded(store, result_key(job.id, "camera_path.json"), MAX_PATH_BYTES))
    return found


def _left(store: ObjectStore, job: Job, name: str, max_bytes: int) -> bytes | None:
    try:
        return _bounded(store, result_key(job.id, name), max_bytes)
    except ObjectNotFound:
        return None


def _bounded(store: ObjectStore, key: str, max_bytes: int) -> bytes:
    info = store.head(key)
    if info is None:
        raise ObjectNotFound("The job has no such file yet.")
    if info.size_bytes > max_bytes:
        raise ObjectNotFound("The file is too large to be shown in another form: fetch it itself.")
    return store.get(key)

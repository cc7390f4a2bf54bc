"""/api/v1/jobs/{id}: what there is to look at before the job is done, and beside its result: the source, a picture of
it, what the chunks' workers saw, and who is in it."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, redirect, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from backend.api import schemas
from backend.api.access import Scope, needs
from backend.api.answers import a_file, json_answer, unchanged
from backend.api.client_uris import check_input
from backend.api.context import context
from backend.api.files import send_object, send_source
from backend.db.models import Chunk, Job
from backend.errors import NoPresignMethod, ObjectNotFound, SourceNotFound, StorageError, UnsupportedInput
from backend.jobs.chunk_views import SAMPLED_PHASES, find_chunk, people_of
from backend.jobs.layout import PREVIEW_TYPE, poster_key, preview_key, result_key, source_key
from backend.jobs.resource import API, check_leaves
from backend.jobs.sources import is_copied, open_job_source, stored_key
from backend.kinds.preview import PREVIEW
from backend.media.facts import VideoFacts
from backend.media.sound_facts import as_probed
from backend.states import ChunkStatus
from backend.storage.base import ObjectStore
from backend.storage.names import is_object_uri, is_web

LINK_SECONDS = 3600  # a player asks for ranges for as long as somebody looks
PROBLEMS: dict[Any, Any] = {"4XX": schemas.Problem, "5XX": schemas.Problem}
# A chunk's film is written once.
UNCHANGING = "private, max-age=86400, immutable"
MAX_SHOWN_BYTES = 64 * 2**20  # of an artifact: far above a chunk of half a minute
BYTES = "application/octet-stream"
# By FFmpeg's first name of the container that the probe found; never what a page could run.
CONTENT_TYPES = {
    "mov": "video/mp4",
    "matroska": "video/webm",
    "avi": "video/x-msvideo",
    "mpegts": "video/mp2t",
    "mpeg": "video/mpeg",
    "flv": "video/x-flv",
    "asf": "video/x-ms-asf",
    "ogg": "video/ogg",
    "mxf": "application/mxf",
}

blueprint = APIBlueprint("looking", __name__, url_prefix=API, abp_tags=[Tag(name="jobs")], abp_responses=PROBLEMS)


class ChunkPath(schemas.JobPath):
    phase: str = Field(max_length=50, pattern=r"^[a-z_]+$")
    index: int = Field(ge=0, lt=10_000_000, description="in its phase")


class TrackedPerson(BaseModel):
    id: int = Field(description="in this chunk; the job's tracks have ids of their own")
    class_name: str = Field(alias="class", description="what it is: person, or what the job follows besides")
    times_sec: list[float] = Field(description="from the film's first frame")
    boxes: list[list[float]] = Field(description="x1, y1, x2, y2 in pixels of the upright source, at each of the times")


class ChunkPeople(BaseModel):
    start_sec: float = Field(description="of the chunk's first frame, from the film's; where its preview begins")
    frame_size: list[int] = Field(description="width, height")
    people: list[TrackedPerson]


@blueprint.get("/jobs/<uuid:job_id>/poster", summary="The video's first frame", responses=a_file("image/jpeg"))
@needs(Scope.JOBS_READ)
def get_poster(path: schemas.JobPath) -> Response:
    """A JPEG of at most 480 pixels, upright, as soon as the job is planned."""
    job = context().jobs.get(path.job_id)
    return send_object(context().store, _own_or_roots(job, poster_key), "image/jpeg")


@blueprint.get(
    "/jobs/<uuid:job_id>/preview", summary="What the chunks' workers saw", responses=a_file(PREVIEW_TYPE, moved=302)
)
@needs(Scope.JOBS_READ)
def get_preview(path: schemas.JobPath) -> Any:
    """The previews of all chunks as one film, as soon as the chunks are taken up. Time 0 is the film's first frame."""
    job = context().jobs.get(path.job_id)
    check_leaves(job, PREVIEW.name)
    return _film(_own_or_roots(job, lambda job_id: result_key(job_id, PREVIEW.name)))


@blueprint.get(
    "/jobs/<uuid:job_id>/chunks/<string:phase>/<int:index>/preview",
    summary="What one chunk's worker saw",
    responses=a_file(PREVIEW_TYPE),
)
@needs(Scope.JOBS_READ)
def get_chunk_preview(path: ChunkPath) -> Response:
    """An MP4 (H.264, at most 480 pixels) of the sampled pictures. Time 0 is the first of them, the chunk's first
    frame."""
    chunk = _sampled_chunk(path)
    response = send_object(context().store, preview_key(chunk.artifact_s3_key or ""), PREVIEW_TYPE)
    response.headers["Cache-Control"] = UNCHANGING
    return response


@blueprint.get(
    "/jobs/<uuid:job_id>/chunks/<string:phase>/<int:index>/people",
    summary="Who is in one chunk",
    responses={200: json_answer(ChunkPeople, "each one's boxes"), 304: unchanged()},
)
@needs(Scope.JOBS_READ)
def get_chunk_people(path: ChunkPath) -> Response:
    """Everybody who was followed, on the sampled frames, as this chunk's worker found them: not yet stitched with the
    other chunks."""
    job, chunk, store = context().jobs.get(path.job_id), _sampled_chunk(path), context().store
    etag = (chunk.artifact_sha256 or "")[:32]
    if request.if_none_match.contains_weak(etag):
        response = Response(status=304)
    else:
        response = jsonify(people_of(job, chunk, _artifact(store, chunk)))
    response.set_etag(etag)
    response.headers["Cache-Control"] = "no-cache, private"
    return response


@blueprint.get("/jobs/<uuid:job_id>/source", summary="The source", responses=a_file("*/*", moved=302))
@needs(Scope.JOBS_READ)
def get_source(path: schemas.JobPath) -> Any:
    """Its bytes, with ranges; a redirect to a signed URL where its store has them. What lies behind http(s) is not
    fetched for others."""
    app = context()
    job = app.jobs.get(path.job_id)
    content_type = _content_type(job)
    key = _stored_source(job, app.store)
    if key is not None:
        url = app.store.presign_get(key, expires_sec=LINK_SECONDS)
        return redirect(url) if url is not None else send_object(app.store, key, content_type)
    if not is_object_uri(job.input_uri):
        raise ObjectNotFound(
            "The source is not this server's to hand on: the page shows the preview instead."
            if is_web(job.input_uri)
            else "The source lies on a machine of the operator's: the page shows the preview instead."
        )
    return _object_elsewhere(job, content_type)


def _object_elsewhere(job: Job, content_type: str) -> Any:
    """In a bucket that this tenant may name now: what was open once may be closed since."""
    settings = context().settings
    try:
        check_input(job.input_uri, "source")
    except UnsupportedInput as closed:
        raise ObjectNotFound(closed.message) from None
    from backend.storage.presign import presign  # boto3 takes a third of a second

    try:
        return redirect(presign(job.input_uri, "GET", settings, expires_sec=LINK_SECONDS))
    except (NoPresignMethod, StorageError):  # without credentials: read as its workers read it
        try:
            return send_source(
                open_job_source(job.source_job or job.id, job.input_uri, job.source_etag, context().store, settings),
                content_type,
            )
        except SourceNotFound:
            raise ObjectNotFound("The source is no longer where it was.") from None


def _stored_source(job: Job, store: ObjectStore) -> str | None:
    """Where it lies in our own store, if it does: an upload, or the copy of what was behind a server without ranges."""
    if job.source_etag is not None and is_copied(job.input_uri, job.source_etag):
        return source_key(job.source_job or job.id, job.source_etag)
    key = stored_key(job.input_uri)
    return key if key is not None and store.uri(key) == job.input_uri else None


def _content_type(job: Job) -> str:
    probed = as_probed(job.probe)
    if not isinstance(probed, VideoFacts):
        return BYTES
    return CONTENT_TYPES.get(probed.container.partition(",")[0], BYTES)


def _own_or_roots(job: Job, key_of: Any) -> str:
    """The key of the job's own object, or of the one of the job whose version it is."""
    own: str = key_of(job.id)
    if job.version_of is None or context().store.head(own) is not None:
        return own
    return str(key_of(job.version_of))


def _film(key: str) -> Any:
    url = context().store.presign_get(key, expires_sec=LINK_SECONDS)
    return redirect(url) if url is not None else send_object(context().store, key, PREVIEW_TYPE)


def _sampled_chunk(path: ChunkPath) -> Chunk:
    """Raises JobNotFound, ObjectNotFound for a chunk that is not there, not done or leaves nothing to look at."""
    jobs = context().jobs
    jobs.get(path.job_id)
    chunk = find_chunk(jobs.database, path.job_id, path.phase, path.index)
    if chunk is None:
        raise ObjectNotFound("The job has no such chunk.")
    if path.phase not in SAMPLED_PHASES:
        raise ObjectNotFound("Chunks of this phase leave nothing to look at.")
    if chunk.status != ChunkStatus.COMPLETED or chunk.artifact_s3_key is None:
        raise ObjectNotFound("The chunk is not done yet.")
    return chunk


def _artifact(store: ObjectStore, chunk: Chunk) -> bytes:
    key = chunk.artifact_s3_key or ""
    info = store.head(key)
    if info is not None and info.size_bytes > MAX_SHOWN_BYTES:
        raise ObjectNotFound("The chunk is too long to be shown by itself: its tracks come with the job's.")
    return store.get(key)

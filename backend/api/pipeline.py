"""/api/pipeline: an audio track cut into segments beside its presenter's image, in the places a predecessor used."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Annotated, Any, Self
from uuid import UUID

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from backend.access.tenants import DEFAULT_TENANT
from backend.api import schemas
from backend.api.access import Scope, caller, needs
from backend.api.context import context
from backend.api.new_job import MAX_JSON_BYTES, job_of
from backend.db.models import Job
from backend.errors import (
    Busy,
    InvalidState,
    InvalidValue,
    MediaTooLarge,
    SourceForbidden,
    SourceNotFound,
    StorageError,
)
from backend.jobs.service import NewJob
from backend.kinds import kind_named
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_folder, open_source
from backend.storage.names import is_object_uri, name_in
from backend.storage.pace import Cutoff

STAGE, TRIM = "stage", "audio_trim"  # kinds
MAX_SEGMENTS = 1000
LOOKED_AT = 64  # where nobody says how many there are
LOOKS_AT_ONCE = 8
MAX_NAME_CHARACTERS = 100
DOCUMENT_SEC = 10.0  # for segments_uri
DOCUMENTS_AT_ONCE = 2  # of this process's threads
PipelineId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]
Uri = Annotated[str, Field(min_length=1, max_length=schemas.MAX_URI_CHARACTERS)]
_documents = threading.BoundedSemaphore(DOCUMENTS_AT_ONCE)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SEGMENT = re.compile(r"segment_(\d{1,6})\.wav")

blueprint = APIBlueprint(
    "pipeline",
    __name__,
    url_prefix="/api/pipeline",
    abp_tags=[Tag(name="pipeline")],
    abp_responses={"4XX": schemas.Problem, "5XX": schemas.Problem},
)


@blueprint.before_request
def _bound_body() -> None:
    request.max_content_length = MAX_JSON_BYTES


class Span(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    start_sec: float = Field(ge=0)
    duration_sec: float = Field(gt=0)


Spans = Annotated[list[Span], Field(min_length=1, max_length=MAX_SEGMENTS)]


class SegmentRequest(BaseModel):
    """One of the names for the audio, at most one for the image; the segments, or where a JSON list of them lies."""

    model_config = ConfigDict(extra="forbid")

    job_id: PipelineId
    master_audio_r2_uri: Uri | None = None
    master_audio_http_url: Uri | None = None
    presenter_image_r2_uri: Uri | None = None
    presenter_image_http_url: Uri | None = None
    segments: Spans | None = None
    segments_uri: Uri | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.master_audio_r2_uri is None) == (self.master_audio_http_url is None):
            raise ValueError("give master_audio_r2_uri or master_audio_http_url")
        if self.presenter_image_r2_uri is not None and self.presenter_image_http_url is not None:
            raise ValueError("give presenter_image_r2_uri or presenter_image_http_url, not both")
        if (self.segments is None) == (self.segments_uri is None):
            raise ValueError("give segments or segments_uri")
        return self

    @property
    def audio(self) -> str:
        return self.master_audio_r2_uri or self.master_audio_http_url or ""

    @property
    def image(self) -> str | None:
        return self.presenter_image_r2_uri or self.presenter_image_http_url


class StatusQuery(BaseModel):
    job_id: PipelineId
    expected: int | None = Field(None, ge=1, le=MAX_SEGMENTS, description=f"how many segments; {LOOKED_AT} if missing")


class PlacedJob(BaseModel):
    uri: str
    job_id: UUID


class SegmentJob(PlacedJob):
    index: int


class PipelineJobs(BaseModel):
    job_id: str
    inputs: dict[str, PlacedJob]
    segments: list[SegmentJob]


class Place(BaseModel):
    index: int
    uri: str
    ready: bool


class PipelineStatus(BaseModel):
    job_id: str
    expected: int | None
    ready: int
    segments: list[Place]


@blueprint.post(
    "/segment", summary="Stage audio and image, and cut the audio into segments", responses={202: PipelineJobs}
)
@needs(Scope.JOBS_WRITE)
def segment(body: SegmentRequest) -> tuple[Response, int]:
    """Each copy and each segment is a job; a repeat makes none anew, and retries those that failed."""
    asked = body
    kind_named(STAGE), kind_named(TRIM)
    staged = {"audio": asked.audio, **({"image": asked.image} if asked.image else {})}
    copies = {name: _copy(asked.job_id, name, uri) for name, uri in staged.items()}
    trims = [_trim(asked.job_id, index, asked.audio, span) for index, span in enumerate(_spans(asked))]
    # All of them are valid by now: none is made where another one cannot be.
    answer = {
        "job_id": asked.job_id,
        "inputs": {name: {"uri": uri, "job_id": str(_begun(new).id)} for name, (uri, new) in copies.items()},
        "segments": [
            {"index": index, "uri": uri, "job_id": str(_begun(new).id)} for index, (uri, new) in enumerate(trims)
        ],
    }
    return jsonify(answer), 202


@blueprint.get("/status", summary="Which segments are there", responses={200: PipelineStatus})
@needs(Scope.JOBS_READ)
def status(query: StatusQuery) -> Response:
    count = query.expected or LOOKED_AT
    there = _there(query.job_id, count)
    places = [
        {"index": index, "uri": _segment_uri(query.job_id, index), "ready": index in there} for index in range(count)
    ]
    return jsonify({"job_id": query.job_id, "expected": query.expected, "ready": len(there), "segments": places})


def _spans(asked: SegmentRequest) -> list[Span]:
    """Raises InvalidValue for a document that is no list of segments, and what opening it raises."""
    if asked.segments is not None:
        return asked.segments
    new = job_of({"kind": STAGE, "input": asked.segments_uri, "output_uri": _segment_uri(asked.job_id, 0)})  # its rules
    document = _document(new.input_uri)
    try:
        found = json.loads(document)
        listed = found.get("segments") if isinstance(found, dict) else found
        return TypeAdapter(Spans).validate_python(listed)
    except (ValueError, RecursionError) as error:
        why = error.errors(include_input=False)[0]["msg"] if isinstance(error, ValidationError) else "no JSON"
        raise InvalidValue(f"segments_uri: no list of start_sec and duration_sec ({why}).") from None


def _document(uri: str) -> bytes:
    """A small one, at once: whoever serves it holds this request's thread. Raises InvalidValue, Busy, TooSlow."""
    if not _documents.acquire(blocking=False):
        raise Busy("Other documents of segments are being read: ask again in a few seconds.")
    try:
        cutoff = Cutoff()
        cutoff.limit(DOCUMENT_SEC)
        settings = context().settings.model_copy(update={"max_source_bytes": MAX_JSON_BYTES})
        source = open_source(uri, settings, cutoff=cutoff)
        return source.read_at(0, source.info.size_bytes)
    except MediaTooLarge:
        raise InvalidValue(f"segments_uri: the document is larger than {MAX_JSON_BYTES} bytes.") from None
    finally:
        _documents.release()


def _copy(pipeline: str, name: str, source: str) -> tuple[str, NewJob]:
    named = _UNSAFE.sub("_", PurePosixPath(name_in(source)).name).strip("._")[-MAX_NAME_CHARACTERS:] or name
    target = f"{_folder(pipeline)}/inputs/{name}/{named}"
    return target, _new_job(pipeline, name, {"kind": STAGE, "input": source}, target)


def _trim(pipeline: str, index: int, source: str, span: Span) -> tuple[str, NewJob]:
    target = _segment_uri(pipeline, index)
    body = {"kind": TRIM, "input": source, "params": span.model_dump()}
    return target, _new_job(pipeline, f"segment_{index}", body, target)


def _new_job(pipeline: str, what: str, body: dict[str, Any], target: str) -> NewJob:
    """The same request again is the same job; another one under the same name is another."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
    new = job_of({**body, "output_uri": target}, f"pipeline:{pipeline}:{what}:{digest}")
    if not context().settings.fully_presigned:
        return new
    from backend.storage.presign import presign  # boto3 takes a third of a second to load

    settings = context().settings
    signed = {"output_put_url": presign(target, "PUT", settings, if_absent=True)}
    if is_object_uri(new.input_uri):
        signed["input"] = presign(new.input_uri, "GET", settings)
    return job_of({**body, **signed}, new.idempotency_key)


def _begun(new: NewJob) -> Job:
    app = context()
    job = app.jobs.create(new)
    if job.status == JobStatus.FAILED:
        try:
            job = app.jobs.retry(job.id)
        except InvalidState:  # somebody else was faster, or it is being deleted
            return job
    app.plan_soon(job.id)
    return job


def _folder(pipeline: str) -> str:
    """Tenants choose their pipelines' names without a look at each other's."""
    tenant = caller().tenant
    own = "" if tenant == DEFAULT_TENANT else f"tenants/{tenant}/"
    return f"s3://{context().settings.videos_bucket}/{own}pipelines/{pipeline}"


def _segments_folder(pipeline: str) -> str:
    return f"{_folder(pipeline)}/stage/segmentation/audio_segments"


def _segment_uri(pipeline: str, index: int) -> str:
    return f"{_segments_folder(pipeline)}/segment_{index}.wav"


def _there(pipeline: str, count: int) -> set[int]:
    """The indices of the segments that are there, below `count`."""
    settings = context().settings
    try:
        found = map(_SEGMENT.fullmatch, open_folder(_segments_folder(pipeline), settings).list("segment_"))
        return {int(match[1]) for match in found if match and int(match[1]) < count}
    except StorageError:
        if settings.videos_public_base_url is None:
            raise
    # Nobody here may list: each is asked for where anybody may read.
    uris = [_segment_uri(pipeline, index) for index in range(count)]
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
        are_there = pool.map(lambda uri: _is_there(uri, settings), uris)
        return {index for index, is_there in enumerate(are_there) if is_there}


def _is_there(uri: str, settings: Settings) -> bool:
    try:
        open_source(uri, settings)
    except (SourceNotFound, SourceForbidden):  # a store that nobody may list says of what is missing that it is refused
        return False
    return True

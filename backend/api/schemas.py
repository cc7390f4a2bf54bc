"""Requests and responses of /api/v1."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from backend.jobs.waiting import Reason
from backend.states import LAST_WORDS, DeepMode, JobStatus, WebhookEvent

MAX_URI_CHARACTERS = 4096
MAX_CURSOR_CHARACTERS = 100
MAX_CHUNKS = 1000


_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not have a NUL")
    return text


Text = Annotated[str, AfterValidator(_storable)]  # that PostgreSQL takes


def _written_out(given: object) -> object:
    """A number would be read as seconds."""
    if isinstance(given, str) and not _MOMENT.match(given):
        raise ValueError("must be a date and a time with its zone, as in 2026-11-27T00:00:00Z")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]


class JobPath(BaseModel):
    job_id: UUID


class FilePath(JobPath):
    name: str = Field(max_length=100, pattern=r"^[A-Za-z0-9._-]+$", description="as the job's `links` have it")


class Query(BaseModel):
    """Of a request that comes again and again: its JSON schema, which the framework wants in each, is made once."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        return super().model_json_schema(*args, **options) if args or options else _schema_of(cls)


@cache
def _schema_of(model: type[Query]) -> dict[str, Any]:
    return model.model_json_schema(mode="validation")


class CountQuery(Query):
    """Which jobs."""

    kind: Text | None = Field(None, max_length=50)
    created_after: Moment | None = Field(None, description="as in 2026-11-27T00:00:00Z")
    created_before: Moment | None = None
    q: Text | None = Field(
        None,
        max_length=200,
        description="in the input's name, in small or large letters; or how a job's id begins, eight digits at least",
    )


class JobQuery(CountQuery):
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=MAX_CURSOR_CHARACTERS, description="`next` of the page before")
    before: str | None = Field(
        None, max_length=MAX_CURSOR_CHARACTERS, description="as `cursor`, or the id of the job to continue after"
    )
    status: list[JobStatus] = Field(default_factory=list, max_length=len(JobStatus), description="one or several")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.cursor is not None and self.before is not None:
            raise ValueError("give cursor or before, not both")
        return self


class ChunkQuery(Query):
    limit: int = Field(MAX_CHUNKS, ge=1, le=MAX_CHUNKS)
    after: str | None = Field(None, max_length=MAX_CURSOR_CHARACTERS, description="`next` of the page before")


class OutputQuery(BaseModel):
    download: bool = Field(False, description="true: as an attachment, for saving")


class TracksQuery(BaseModel):
    format: Literal["json", "parquet", "mot", "csv"] = "json"


class WebhookFields(BaseModel):
    """Of a job that is made."""

    webhook_url: str | None = Field(
        None, max_length=MAX_URI_CHARACTERS, description="is told of the job's end, as standardwebhooks.com has it"
    )
    webhook_events: list[WebhookEvent] = Field(
        list(LAST_WORDS), min_length=1, max_length=len(WebhookEvent), description="what it is told of"
    )

    @field_validator("webhook_events", mode="before")
    @classmethod
    def _separated(cls, given: Any) -> Any:
        """A form has them in one field, with commas."""
        return [name.strip() for name in given.split(",")] if isinstance(given, str) else given

    @model_validator(mode="after")
    def _has_a_url(self) -> Self:
        if self.webhook_url is None and "webhook_events" in self.model_fields_set:
            raise ValueError("webhook_events is for a webhook_url: give both")
        return self


class JobRequest(WebhookFields):
    """A job on a video behind a URI. With multipart/form-data send `file` instead of `input`, `params` as JSON text."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field("crop", max_length=50)
    input: str | None = Field(
        None,
        max_length=MAX_URI_CHARACTERS,
        description="s3://, gs://, http:// or https:// URI",
        examples=["https://example.com/film.mp4"],
    )
    upload: UUID | None = Field(None, description="in its place, the id of an upload that is complete")
    params: dict[str, Any] = Field(default_factory=dict)
    deep_mode: DeepMode = DeepMode.GPU
    priority: int = Field(0, ge=-100, le=100, strict=True)
    output_uri: str | None = Field(None, max_length=MAX_URI_CHARACTERS, description="s3:// or gs:// URI of the result")
    output_put_url: str | None = Field(
        None,
        max_length=MAX_URI_CHARACTERS,
        description="in its place, a presigned URL that takes the result in one PUT",
    )
    callback_url: str | None = Field(
        None,
        max_length=MAX_URI_CHARACTERS,
        description="as before webhook_url: POST {callback_url}/progress, /complete, /error tell of it, unsigned",
    )


class UploadForm(WebhookFields):
    """The fields of a multipart/form-data request beside `file`."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field("crop", max_length=50)
    params: dict[str, Any] = Field(default_factory=dict)
    deep_mode: DeepMode = DeepMode.GPU
    priority: int = Field(0, ge=-100, le=100)
    callback_url: str | None = Field(None, max_length=MAX_URI_CHARACTERS)


class Video(BaseModel):
    duration_seconds: float | None
    fps: str | None = Field(description="a fraction, as in 30000/1001")
    width: int
    height: int
    rotation: int
    frame_count: int | None
    has_audio: bool


class Sound(BaseModel):
    duration_seconds: float | None
    sample_rate: int
    channels: int
    codec: str


class JobInput(BaseModel):
    uri: str
    name: str
    host: str | None = Field(description="where a link leads, or its bucket; null for an upload")


class JobOutput(BaseModel):
    uri: str
    url: str
    content_type: str
    size_bytes: int | None
    encoder: str | None = Field(description="which made the film's pictures, as in libx264 or h264_nvenc")


class JobError(BaseModel):
    code: str
    message: str
    retryable: bool


class JobWaiting(BaseModel):
    """Why nothing happens to a job that is neither over nor being worked on."""

    reason: Reason
    message: str
    since: str | None
    until: str | None = Field(description="when it is tried again")


class JobBase(BaseModel):
    id: UUID
    kind: str
    status: JobStatus
    stage: str
    paused: bool = Field(description="nothing of it is claimed until it is resumed; what is in work goes on")
    deep_mode: DeepMode
    progress_pct: int = Field(ge=0, le=100)
    chunks_pct: int = Field(ge=0, le=100, description="min(99, 100 · completed chunks / chunks); 100 with `done`")
    total_chunks: int | None
    completed_chunks: int
    failed_chunks: int
    eta_seconds: int | None
    waiting: JobWaiting | None
    input: JobInput
    video: Video | None
    sound: Sound | None = Field(description="of a source that is looked at for its sound alone")
    detector: dict[str, Any] | None
    output: JobOutput | None
    warnings: list[str]
    error: JobError | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    version: int = Field(description="1, or as which version it was made of another job's chunks")
    version_of: UUID | None = Field(description="the family's first job, of a version")
    links: dict[str, str]


class JobResource(JobBase):
    params: dict[str, Any]


class JobSummary(JobBase):
    """A job in a list: without `params`."""


class JobList(BaseModel):
    jobs: list[JobSummary]
    next: str | None = Field(description="pass as `cursor` for the next page; null on the last one. Link says it too")


class JobCounts(BaseModel):
    counts: dict[JobStatus, int] = Field(description="of every status, zeros too")
    total: int


class ChunkResource(BaseModel):
    phase: str
    chunk_index: int  # in its phase
    status: str
    start_sec: float
    end_sec: float
    start_pts: int
    end_pts: int
    attempts: int
    failures: int
    claimed_by: str | None
    failed_by: str | None
    artifact_s3_key: str | None
    artifact_sha256: str | None
    runtime_ms: int | None
    error_code: str | None
    error_message: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    links: dict[str, str] = Field(
        description="`preview` and `people`, of a completed chunk whose step looks at pictures"
    )


class ChunkList(BaseModel):
    chunks: list[ChunkResource]
    next: str | None = Field(description="pass as `after` for the next page; null on the last one. Link says it too")


class Attempt(BaseModel):
    sent_at: str
    status: int | None = Field(description="of HTTP; null where nothing was answered")
    duration_ms: int
    error: str | None


class Delivery(BaseModel):
    id: str = Field(description="`webhook-id`, the same in every try")
    job_id: UUID
    type: WebhookEvent
    webhook: str | None = Field(description="the URL without path and query")
    status: Literal["pending", "delivered", "dead"]
    created_at: str
    next_try_at: str | None
    delivered_at: str | None
    gave_up_at: str | None
    tries: int
    attempts: list[Attempt] = Field(description="the last ones")


class DeliveryList(BaseModel):
    deliveries: list[Delivery]


class FleetResource(BaseModel):
    paused: bool
    paused_at: str | None
    paused_by: str | None = Field(description="a key's name, or who ran the command")
    reason: str | None


class FieldProblem(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """application/problem+json, RFC 9457"""

    type: Literal["about:blank"]
    status: int
    code: str = Field(description="stable: what a program decides by")
    title: str = Field(description="of the code, the same each time")
    detail: str = Field(description="what is wrong with this request, and what to do")
    retryable: bool = Field(description="whether the same request may succeed later")
    errors: list[FieldProblem] = Field(default_factory=list, description="each value that is not allowed")

"""What two predecessors' clients send to RunPod, as jobs: a `type` with a key, or a `task` with `parameters`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.errors import InvalidRequest
from backend.jobs.layout import CLOSED_FOLDERS
from backend.jobs.service import NewJob
from backend.kinds import kind_named
from backend.settings import Settings
from backend.storage.names import name_in, scheme_of
from backend.storage.places import ClientPlaces

SCHEMES = ("http", "https", "s3", "gs")
MAX_NAME_CHARACTERS = 255
REQUESTS = uuid5(NAMESPACE_URL, "runpod:request")
EDITORS_KINDS = ("overlay", "framing")
EDITORS_SIZE = {"output_width": 1080, "output_height": 1920}
LANGUAGE = re.compile("[a-z]{3}")  # as films name it
Uri = Annotated[str, Field(min_length=1, max_length=4096)]
Model = TypeVar("Model", bound=BaseModel)


class ByType(BaseModel):
    """The video editor's. The film goes to output/{job_id}/video.mp4 of the bucket that the input is in."""

    model_config = ConfigDict(extra="forbid")

    job_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    type: str = Field(max_length=50)
    input_video_key: str = Field(min_length=1, max_length=1024)
    params: dict[str, Any] = Field(default_factory=dict)
    callback_url: Uri | None = None


class ByTask(BaseModel):
    """The ffmpeg template's."""

    model_config = ConfigDict(extra="forbid")

    task: Literal["ENCODING", "DOWNSAMPLING", "AUDIO_TRIM", "STAGE_OBJECT"]
    parameters: dict[str, Any]


def new_job(request: Mapping[str, Any], settings: Settings) -> NewJob:
    """The job that a RunPod request asks for. A request that RunPod sends again is the same job.

    Raises InvalidRequest, which names the field; UnsupportedInput; InvalidParams for a kind that there is not.
    """
    given = request.get("input")
    if not isinstance(given, dict) or not ({"type", "task"} & given.keys()):
        raise InvalidRequest('input: send {"type", "input_video_key", …} or {"task", "parameters"}.')
    key = str(request["id"])[:MAX_NAME_CHARACTERS] if request.get("id") else None
    new = _by_type(given, key, settings) if "type" in given else _by_task(given, key, settings)
    _check_places(new, settings)
    job_id = uuid5(REQUESTS, key) if key else new.job_id  # on every pod the same, whose films it may write over
    return replace(new, keeps_existing=True, job_id=job_id)


def _check_places(new: NewJob, settings: Settings) -> None:
    """Open is what ALLOWED_PREFIXES names; where it names nothing, the bucket that requests' keys are in. Raises
    InvalidRequest."""
    bucket = settings.default_bucket
    allowed = settings.allowed_prefixes.replace("{tenant}", new.tenant) or (f"s3://{bucket}" if bucket else "")
    places = ClientPlaces(allowed, settings, closed=CLOSED_FOLDERS)
    places.check_input(new.input_uri, "input")
    for field, uri in kind_named(new.kind).parse_params(new.params).inputs():
        if scheme_of(uri) not in SCHEMES:  # a file of this machine
            raise InvalidRequest(f"params.{field}: must be an http, https, s3 or gs URI.")
        places.check_input(uri, f"params.{field}")
    if new.output_uri is not None:
        places.check_output(new.output_uri, "output")
    elif new.output_put_url is not None:
        places.check_put_url(new.output_put_url, "output_put_url")
    else:
        places.check_beside(new.input_uri, "input")


def _by_type(given: dict[str, Any], key: str | None, settings: Settings) -> NewJob:
    asked = _parsed(ByType, given)
    if settings.default_bucket is None:
        raise InvalidRequest("input_video_key: the worker knows no bucket; set R2_BUCKET_NAME.")
    bucket = f"s3://{settings.default_bucket}"
    source = f"{bucket}/{asked.input_video_key.lstrip('/')}"
    return NewJob(
        kind=asked.type,
        input_uri=source,
        input_name=name_in(source)[:MAX_NAME_CHARACTERS],
        params=kind_named(asked.type).with_defaults(_editors(asked.type, asked.params), settings),
        output_uri=f"{bucket}/output/{asked.job_id}/video.mp4",
        callback_url=asked.callback_url,
        idempotency_key=key,
    )


def _editors(kind: str, params: dict[str, Any]) -> dict[str, Any]:
    """What the video editor's names mean, and what it took for granted, where this is one of its kinds."""
    if kind not in EDITORS_KINDS:
        return params
    sized = params if EDITORS_SIZE.keys() & params.keys() else EDITORS_SIZE | params
    if kind == "framing" and "crop_keyframes" in sized and "keyframes" not in sized:
        return {"keyframes" if name == "crop_keyframes" else name: value for name, value in sized.items()}
    return sized


def _by_task(given: dict[str, Any], key: str | None, settings: Settings) -> NewJob:
    asked = _parsed(ByTask, given)
    return TASKS[asked.task](_Fields(asked.parameters), key, settings)


class _Fields:
    """A task's parameters, each taken once; what is left is not known."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._left = dict(given)

    def uri(self, *names: str) -> str | None:
        """Of the first of the names that is there. Raises InvalidRequest for what is no URI."""
        for name in names:
            value = self._left.pop(name, None)
            if value is None or value == "":
                continue
            if not isinstance(value, str) or scheme_of(value) not in SCHEMES:
                raise InvalidRequest(f"parameters.{name}: must be an http, https, s3 or gs URI.")
            return value
        return None

    def needed_uri(self, *names: str) -> str:
        value = self.uri(*names)
        if value is None:
            raise InvalidRequest(f"parameters.{names[0]}: is missing.")
        return value

    def text(self, *names: str) -> dict[str, str]:
        """Those that are there. Raises InvalidRequest for what is no text."""
        found = self.take(*names)
        for name, value in found.items():
            if not isinstance(value, str):
                raise InvalidRequest(f"parameters.{name}: must be text.")
        return found

    def take(self, *names: str) -> dict[str, Any]:
        return {name: self._left.pop(name) for name in names if self._left.get(name) is not None}

    def end(self) -> None:
        if self._left:
            raise InvalidRequest(f"parameters.{next(iter(self._left))!s:.60}: is not known.")


def _job(
    kind: str, source: str, fields: _Fields, key: str | None, settings: Settings, params: dict[str, Any]
) -> NewJob:
    output: dict[str, Any] = {"output_uri": fields.uri("output_video_uri", "dest_uri")}
    put_url = fields.uri("output_put_url")
    if put_url is not None:
        output = {"output_put_url": put_url}
    fields.end()
    return NewJob(
        kind=kind,
        input_uri=source,
        input_name=name_in(source)[:MAX_NAME_CHARACTERS],
        params=kind_named(kind).with_defaults(params, settings),
        idempotency_key=key,
        **output,
    )


def _downsampling(fields: _Fields, key: str | None, settings: Settings) -> NewJob:
    source = fields.needed_uri("original_video_uri")
    return _job("downsample", source, fields, key, settings, fields.take("resolution"))


def _audio_trim(fields: _Fields, key: str | None, settings: Settings) -> NewJob:
    source = fields.needed_uri("source_uri")
    return _job("audio_trim", source, fields, key, settings, fields.take("start_sec", "duration_sec"))


def _stage_object(fields: _Fields, key: str | None, settings: Settings) -> NewJob:
    return _job("stage", fields.needed_uri("source_uri"), fields, key, settings, {})


def _encoding(fields: _Fields, key: str | None, settings: Settings) -> NewJob:
    """Both forms. `id` names the result for its client alone."""
    fields.take("id")
    old = fields.text("name", "input_video_name", "bucket", "bucket_parent_folder")
    source = _in_folder(old, "input_video_name", "") if old else fields.needed_uri("input_video_uri")
    params = {"audio_uri": fields.uri("input_audio_uri"), "subtitles_uri": fields.uri("subtitles_uri")}
    language = fields.take("language").get("language")
    if params["audio_uri"] and isinstance(language, str) and LANGUAGE.fullmatch(language):
        params["language"] = language
    burns = fields.take("subtitles").get("subtitles")
    if burns is True and params["subtitles_uri"] is None:
        raise InvalidRequest("parameters.subtitles_uri: is missing, and `subtitles` is true.")
    if burns is False:
        params["subtitles_uri"] = None
    given = {name: value for name, value in params.items() if value is not None}
    new = _job("encode", source, fields, key, settings, given)
    return replace(new, output_uri=_in_folder(old, "name", ".mp4")) if old else new


def _in_folder(old: Mapping[str, str], name: str, ending: str) -> str:
    """What the older form names: in the bucket's folder, in GCS. Raises InvalidRequest."""
    for needed in ("bucket", name):
        if needed not in old:
            raise InvalidRequest(f"parameters.{needed}: is missing.")
    steps = [old["bucket"], old.get("bucket_parent_folder", "").strip("/"), old[name] + ending]
    return "gs://" + "/".join(step for step in steps if step)


TASKS: dict[str, Callable[[_Fields, str | None, Settings], NewJob]] = {
    "ENCODING": _encoding,
    "DOWNSAMPLING": _downsampling,
    "AUDIO_TRIM": _audio_trim,
    "STAGE_OBJECT": _stage_object,
}


def _parsed(model: type[Model], given: dict[str, Any]) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as invalid:
        first = invalid.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "input"
        raise InvalidRequest(f"{name:.60}: {first['msg']}") from invalid

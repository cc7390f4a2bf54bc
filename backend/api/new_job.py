"""What a client asks for when it creates a job: a URI in JSON, or a form with a file. Everything here is hostile."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any, BinaryIO, TypeVar, cast
from uuid import uuid4

from flask import request
from pydantic import BaseModel, ValidationError

from backend.api import schemas
from backend.api.access import Scope, require
from backend.api.client_uris import check_input, check_inputs, check_output, check_put_url
from backend.api.context import context
from backend.api.errors import invalid_value
from backend.api.form_stream import BLOCK_BYTES, FormStream, form_of_request
from backend.api.strict_json import strict_json
from backend.errors import FramefleetError, InvalidParams, InvalidRequest, InvalidValue
from backend.jobs.idempotency import fingerprint
from backend.jobs.layout import source_key
from backend.jobs.outputs import check_free
from backend.jobs.service import NewJob
from backend.jobs.uploads import Uploads, check_usable
from backend.kinds import kind_named
from backend.storage.names import name_in
from backend.storage.post import check_callback_url

MAX_NAME_CHARACTERS = 255
LOOK_EVERY_BYTES = 16 * 1024 * 1024  # of a form's file, at the room on the disk
MAX_JSON_BYTES = 1024 * 1024
MAX_PARAMS_BYTES = 64 * 1024  # they are read with every look at the job

Model = TypeVar("Model", bound=BaseModel)


def asked_key() -> str | None:
    """The Idempotency-Key, if any. Raises InvalidValue for one that is too long."""
    key = request.headers.get("Idempotency-Key") or None
    if key is not None and (len(key) > MAX_NAME_CHARACTERS or "\0" in key):
        raise InvalidValue(f"Idempotency-Key may have at most {MAX_NAME_CHARACTERS} characters, and no NUL.")
    return key


def asked_job(idempotency_key: str | None) -> NewJob:
    """The job of this request; an uploaded file is in the store then. Raises InvalidRequest or what derives from it."""
    if request.mimetype == "multipart/form-data":
        return _from_form(idempotency_key)
    body = _json_body()
    new = job_of(body, idempotency_key)
    if new.output_uri is not None:
        check_free(new.output_uri, context().settings)
    return replace(new, request_sha256=fingerprint(body))


def asked_fingerprint() -> str:
    """The `request_sha256` that `asked_job` would give its job. A file is read for it, and stored nowhere."""
    if request.mimetype != "multipart/form-data":
        return fingerprint(_json_body())
    form = form_of_request()
    hashed = _Hashed(form)
    while hashed.read(BLOCK_BYTES):
        pass
    return hashed.fingerprint()


class _Hashed:
    """A form's file, and its hash once it was read to its end."""

    def __init__(self, form: FormStream) -> None:
        self._form, self._digest = form, hashlib.sha256()

    def read(self, size_bytes: int = -1) -> bytes:
        part = self._form.read(size_bytes)
        self._digest.update(part)
        return part

    def fingerprint(self) -> str:
        form = self._form
        return fingerprint({"form": form.fields, "name": form.file_name, "sha256": self._digest.hexdigest()})


class _WithinRoom:
    """A file whose length nobody promised, or which is written beside others: the disk keeps its floor all the same."""

    def __init__(self, stream: FormStream | _Hashed, uploads: Uploads) -> None:
        self._stream, self._uploads, self._left_bytes = stream, uploads, LOOK_EVERY_BYTES

    def read(self, size_bytes: int = -1) -> bytes:
        """Raises StorageFull."""
        part = self._stream.read(size_bytes)
        self._left_bytes -= len(part)
        if self._left_bytes < 0:
            self._uploads.check_room(0)
            self._left_bytes = LOOK_EVERY_BYTES
        return part


def _json_body() -> dict[str, Any]:
    request.max_content_length = MAX_JSON_BYTES  # else one body may take as much memory as an upload may take disk
    return cast(dict[str, Any], request.get_json())


def job_of(body: dict[str, Any], idempotency_key: str | None = None) -> NewJob:
    """The job that a JSON object asks for, as in POST /api/v1/jobs. Raises InvalidRequest, UnsupportedInput."""
    asked = parsed(schemas.JobRequest, body)
    _check_priority(asked.priority)
    source = _source_of(asked)
    if asked.output_uri is not None:
        check_output(asked.output_uri, "output_uri")
    if asked.output_put_url is not None:
        check_put_url(asked.output_put_url, "output_put_url")
    params = _checked_params(asked.kind, asked.params)
    return NewJob(
        kind=asked.kind,
        **source,
        params=params,
        deep_mode=asked.deep_mode,
        priority=asked.priority,
        output_uri=asked.output_uri,
        output_put_url=asked.output_put_url,
        keeps_existing=True,
        callback_url=asked.callback_url,
        webhook_url=asked.webhook_url,
        webhook_events=asked.webhook_events,
        idempotency_key=idempotency_key,
    )


def _source_of(asked: schemas.JobRequest) -> dict[str, Any]:
    """Where the input lies and what it is called. Raises InvalidRequest, UnsupportedInput, UploadNotFound,
    InvalidState."""
    if (asked.input is None) == (asked.upload is None):
        raise InvalidValue("input: give it, or an upload in its place.")
    if asked.input is not None:
        film_beside = asked.output_uri is None and asked.output_put_url is None
        check_input(asked.input, "input", film_beside=film_beside)
        return {"input_uri": asked.input, "input_name": name_in(asked.input)[:MAX_NAME_CHARACTERS]}
    assert asked.upload is not None
    upload = context().uploads.get(asked.upload)
    check_usable(upload)
    uri = context().store.uri(upload.key)
    return {"input_uri": uri, "input_name": upload.name, "job_id": upload.id, "upload_id": upload.id}


def _from_form(idempotency_key: str | None) -> NewJob:
    """The file goes into the store as it comes. What is wrong with fields before it is said before a byte is stored."""
    app = context()
    app.uploads.check_room(request.content_length or 0)
    form = form_of_request()
    stream = form if idempotency_key is None else _Hashed(form)
    kept = _WithinRoom(stream, app.uploads)
    if not form.file_name:
        raise InvalidValue("The form has no file: send it in a field named `file`.")
    _check_early(form.fields)
    job_id = uuid4()
    key = source_key(job_id)
    app.store.put_stream(key, cast(BinaryIO, kept), max_bytes=app.settings.max_upload_bytes)
    try:
        asked, params = _checked_fields(form.fields)
    except FramefleetError:
        app.store.delete(key)
        raise
    return NewJob(
        kind=asked.kind,
        input_uri=app.store.uri(key),
        input_name=form.file_name[:MAX_NAME_CHARACTERS],
        params=params,
        deep_mode=asked.deep_mode,
        priority=asked.priority,
        keeps_existing=True,
        callback_url=asked.callback_url,
        webhook_url=asked.webhook_url,
        webhook_events=asked.webhook_events,
        idempotency_key=idempotency_key,
        request_sha256=stream.fingerprint() if isinstance(stream, _Hashed) else None,
        job_id=job_id,
    )


def _check_early(fields: dict[str, str]) -> None:
    """Fields that come behind the file may still change what these mean, as long as the kind is not among these."""
    try:
        _checked_fields(fields)
    except FramefleetError:
        if "kind" in fields:
            raise


def _checked_fields(given: dict[str, str]) -> tuple[schemas.UploadForm, dict[str, Any]]:
    """The fields, and the kind's parameters. Raises InvalidRequest, UnsupportedInput."""
    fields: dict[str, Any] = dict(given)
    if "params" in fields:
        fields["params"] = _json_text(fields["params"])
    form = parsed(schemas.UploadForm, fields)
    _check_priority(form.priority)
    params = _checked_params(form.kind, form.params)
    if form.callback_url is not None:
        check_callback_url(form.callback_url)
    if form.webhook_url is not None:
        check_callback_url(form.webhook_url, "webhook_url")
    return form, params


def _json_text(text: str) -> Any:
    """Raises InvalidValue: the form was read, and a value in it is not allowed."""
    try:
        return strict_json(text)
    except InvalidRequest as refusal:
        words = f'params: must be a JSON object, as in {{"aspect": "9:16"}}. {refusal.message}'
        raise InvalidValue(words, [("params", words)]) from None


def _check_priority(priority: int) -> None:
    """Raises ScopeMissing: whoever may put jobs before others' could starve them."""
    if priority:
        require(Scope.JOBS_PRIORITY)


def _checked_params(kind_name: str, given: dict[str, Any]) -> dict[str, Any]:
    """With this installation's defaults. Raises InvalidParams, UnsupportedInput."""
    kind = kind_named(kind_name)
    check_size(given)
    kind.check_types(given)
    params = kind.with_defaults(given, context().settings)
    check_inputs(kind.parse_params(params))
    return params


def check_size(params: dict[str, Any]) -> None:
    """Raises InvalidParams."""
    if len(json.dumps(params)) > MAX_PARAMS_BYTES:
        raise InvalidParams(f"params: at most {MAX_PARAMS_BYTES} bytes of JSON.")


def parsed(model: type[Model], values: dict[str, Any]) -> Model:
    """Raises InvalidValue that names the field."""
    try:
        return model.model_validate(values)
    except ValidationError as invalid:
        raise invalid_value(invalid) from invalid

"""What a client asks for when it creates a job: a URI in JSON, or a form with a file. Everything here is hostile."""

from __future__ import annotations

import json
from typing import Any, BinaryIO, TypeVar, cast
from uuid import uuid4

from flask import request
from pydantic import BaseModel, ValidationError

from backend.api import schemas
from backend.api.access import Scope, require
from backend.api.client_uris import check_input, check_inputs, check_output, check_put_url
from backend.api.context import context
from backend.api.form_stream import form_of_request
from backend.errors import FramefleetError, InvalidRequest
from backend.jobs.layout import source_key
from backend.jobs.outputs import check_free
from backend.jobs.service import NewJob
from backend.jobs.uploads import check_usable
from backend.kinds import kind_named
from backend.storage.names import name_in
from backend.storage.post import check_callback_url

MAX_NAME_CHARACTERS = 255
MAX_JSON_BYTES = 1024 * 1024

Model = TypeVar("Model", bound=BaseModel)


def asked_key() -> str | None:
    """The Idempotency-Key, if any. Raises InvalidRequest for one that is too long."""
    key = request.headers.get("Idempotency-Key") or None
    if key is not None and (len(key) > MAX_NAME_CHARACTERS or "\0" in key):
        raise InvalidRequest(f"Idempotency-Key may have at most {MAX_NAME_CHARACTERS} characters, and no NUL.")
    return key


def asked_job(idempotency_key: str | None) -> NewJob:
    """The job of this request; an uploaded file is in the store then. Raises InvalidRequest, UnsupportedInput."""
    if request.mimetype == "multipart/form-data":
        return _from_form(idempotency_key)
    return _from_json(idempotency_key)


def _from_json(idempotency_key: str | None) -> NewJob:
    request.max_content_length = MAX_JSON_BYTES  # else one body may take as much memory as an upload may take disk
    body = request.get_json(silent=True, force=True)
    if not isinstance(body, dict):
        raise InvalidRequest('Send a JSON object as in {"kind": "crop", "input": "https://…"}, or a file upload.')
    new = job_of(body, idempotency_key)
    if new.output_uri is not None:
        check_free(new.output_uri, context().settings)
    return new


def job_of(body: dict[str, Any], idempotency_key: str | None = None) -> NewJob:
    """The job that a JSON object asks for, as in POST /api/v1/jobs. Raises InvalidRequest, UnsupportedInput."""
    asked = parsed(schemas.JobRequest, body)
    _check_priority(asked.priority)
    source = _source_of(asked)
    if asked.output_uri is not None:
        check_output(asked.output_uri, "output_uri")
    if asked.output_put_url is not None:
        check_put_url(asked.output_put_url, "output_put_url")
    kind = kind_named(asked.kind)
    params = kind.with_defaults(asked.params, context().settings)
    check_inputs(kind.parse_params(params))
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
        raise InvalidRequest("input: give it, or an upload in its place.")
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
    app, form = context(), form_of_request()
    if not form.file_name:
        raise InvalidRequest("The form has no file: send it in a field named `file`.")
    _check_early(form.fields)
    app.uploads.check_room(request.content_length or 0)
    job_id = uuid4()
    key = source_key(job_id)
    app.store.put_stream(key, cast(BinaryIO, form), max_bytes=app.settings.max_upload_bytes)
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
    kind = kind_named(form.kind)
    params = kind.with_defaults(form.params, context().settings)
    check_inputs(kind.parse_params(params))
    if form.callback_url is not None:
        check_callback_url(form.callback_url)
    if form.webhook_url is not None:
        check_callback_url(form.webhook_url, "webhook_url")
    return form, params


def _check_priority(priority: int) -> None:
    """Raises ScopeMissing: whoever may put jobs before others' could starve them."""
    if priority:
        require(Scope.JOBS_PRIORITY)


def _json_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidRequest('params: must be a JSON object, as in {"aspect": "9:16"}') from error


def parsed(model: type[Model], values: dict[str, Any]) -> Model:
    """Raises InvalidRequest that names the field."""
    try:
        return model.model_validate(values)
    except ValidationError as invalid:
        first = invalid.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "request"
        raise InvalidRequest(f"{name:.60}: {first['msg']}") from invalid

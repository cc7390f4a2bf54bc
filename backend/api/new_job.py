"""What a client asks for when it creates a job: a URI in JSON, or a form with a file. Everything here is hostile."""

from __future__ import annotations

import json
from typing import Any, BinaryIO, TypeVar, cast
from uuid import uuid4

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import FileStorage

from backend.api import schemas
from backend.api.client_uris import check_input, check_inputs, check_output
from backend.api.context import context
from backend.errors import InvalidRequest
from backend.jobs.layout import source_key
from backend.jobs.service import NewJob
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
        return _from_upload(idempotency_key)
    return _from_json(idempotency_key)


def _from_json(idempotency_key: str | None) -> NewJob:
    request.max_content_length = MAX_JSON_BYTES  # else one body may take as much memory as an upload may take disk
    body = request.get_json(silent=True, force=True)
    if not isinstance(body, dict):
        raise InvalidRequest('Send a JSON object as in {"kind": "crop", "input": "https://…"}, or a file upload.')
    return job_of(body, idempotency_key)


def job_of(body: dict[str, Any], idempotency_key: str | None = None) -> NewJob:
    """The job that a JSON object asks for, as in POST /api/v1/jobs. Raises InvalidRequest, UnsupportedInput."""
    asked = parsed(schemas.JobRequest, body)
    check_input(asked.input, "input")
    if asked.output_uri is not None:
        check_output(asked.output_uri, "output_uri")
    kind = kind_named(asked.kind)
    params = kind.with_defaults(asked.params, context().settings)
    check_inputs(kind.parse_params(params))
    return NewJob(
        kind=asked.kind,
        input_uri=asked.input,
        input_name=name_in(asked.input)[:MAX_NAME_CHARACTERS],
        params=params,
        deep_mode=asked.deep_mode,
        priority=asked.priority,
        output_uri=asked.output_uri,
        output_put_url=asked.output_put_url,
        callback_url=asked.callback_url,
        webhook_url=asked.webhook_url,
        webhook_events=asked.webhook_events,
        idempotency_key=idempotency_key,
    )


def _from_upload(idempotency_key: str | None) -> NewJob:
    """Checks the fields before a byte of the file is stored."""
    fields: dict[str, Any] = dict(request.form.items())
    if "params" in fields:
        fields["params"] = _json_text(fields["params"])
    form = parsed(schemas.UploadForm, fields)
    app, kind = context(), kind_named(form.kind)
    params = kind.with_defaults(form.params, app.settings)
    check_inputs(kind.parse_params(params))
    if form.callback_url is not None:
        check_callback_url(form.callback_url)
    if form.webhook_url is not None:
        check_callback_url(form.webhook_url, "webhook_url")
    file = request.files.get("file")
    if not isinstance(file, FileStorage) or not file.filename:
        raise InvalidRequest("The form has no file: send it in a field named `file`.")
    job_id = uuid4()
    key = source_key(job_id)
    app.store.put_stream(key, cast(BinaryIO, file.stream), max_bytes=app.settings.max_upload_bytes)
    return NewJob(
        kind=form.kind,
        input_uri=app.store.uri(key),
        input_name=file.filename[:MAX_NAME_CHARACTERS],
        params=params,
        deep_mode=form.deep_mode,
        priority=form.priority,
        callback_url=form.callback_url,
        webhook_url=form.webhook_url,
        webhook_events=form.webhook_events,
        idempotency_key=idempotency_key,
        job_id=job_id,
    )


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

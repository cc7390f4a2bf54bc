"""What a client asks for when it creates a job: a URI in JSON, or a form with a file. Everything here is hostile."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, BinaryIO, TypeVar, cast
from uuid import uuid4

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import FileStorage

from backend.api import schemas
from backend.api.client_uris import check_input, check_inputs, check_output
from backend.api.context import context
from backend.api.errors import invalid_value
from backend.api.strict_json import strict_json
from backend.errors import InvalidParams, InvalidValue
from backend.jobs.layout import source_key
from backend.jobs.service import NewJob
from backend.kinds import kind_named
from backend.storage.names import name_in
from backend.storage.post import check_callback_url

MAX_NAME_CHARACTERS = 255
MAX_JSON_BYTES = 1024 * 1024
END_BYTES = 2**20
MAX_PARAMS_BYTES = 64 * 1024  # they are read with every look at the job

Model = TypeVar("Model", bound=BaseModel)


def asked_key() -> str | None:
    """The Idempotency-Key, if any. Raises InvalidValue for one that is too long."""
    key = request.headers.get("Idempotency-Key") or None
    if key is not None and (len(key) > MAX_NAME_CHARACTERS or "\0" in key):
        raise InvalidValue(f"Idempotency-Key may have at most {MAX_NAME_CHARACTERS} characters, and no NUL.")
    return key


def asked_again() -> dict[str, Any]:
    """What tells this request from another one with the same Idempotency-Key: the JSON, or the form with the file's
    name, size, and the hash of its two ends. The whole of a film would take a minute to hash."""
    if request.mimetype != "multipart/form-data":
        return _json_body()
    file = request.files.get("file")
    return {"form": dict(request.form.items()), "file": None if file is None else _marks_of(file)}


def _marks_of(file: FileStorage) -> dict[str, Any]:
    size_bytes = file.stream.seek(0, os.SEEK_END)
    digest = hashlib.sha256()
    for start in (0, max(0, size_bytes - END_BYTES)):
        file.stream.seek(start)
        digest.update(file.stream.read(END_BYTES))
    file.stream.seek(0)
    return {"name": file.filename, "size_bytes": size_bytes, "ends_sha256": digest.hexdigest()}


def asked_job(idempotency_key: str | None) -> NewJob:
    """The job of this request; an uploaded file is in the store then. Raises InvalidRequest or what derives from it."""
    if request.mimetype == "multipart/form-data":
        return _from_upload(idempotency_key)
    return job_of(_json_body(), idempotency_key)


def _json_body() -> dict[str, Any]:
    request.max_content_length = MAX_JSON_BYTES  # else one body may take as much memory as an upload may take disk
    return cast(dict[str, Any], request.get_json())


def job_of(body: dict[str, Any], idempotency_key: str | None = None) -> NewJob:
    """The job that a JSON object asks for, as in POST /api/v1/jobs. Raises InvalidRequest, UnsupportedInput."""
    asked = parsed(schemas.JobRequest, body)
    check_input(asked.input, "input")
    if asked.output_uri is not None:
        check_output(asked.output_uri, "output_uri")
    params = _checked_params(asked.kind, asked.params)
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
        fields["params"] = strict_json(fields["params"])
    form = parsed(schemas.UploadForm, fields)
    app, params = context(), _checked_params(form.kind, form.params)
    if form.callback_url is not None:
        check_callback_url(form.callback_url)
    if form.webhook_url is not None:
        check_callback_url(form.webhook_url, "webhook_url")
    file = request.files.get("file")
    if not isinstance(file, FileStorage) or not file.filename:
        raise InvalidValue("The form has no file: send it in a field named `file`.")
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


def _checked_params(kind_name: str, given: dict[str, Any]) -> dict[str, Any]:
    """With this installation's defaults. Raises InvalidParams, UnsupportedInput."""
    kind = kind_named(kind_name)
    if len(json.dumps(given)) > MAX_PARAMS_BYTES:
        raise InvalidParams(f"params: at most {MAX_PARAMS_BYTES} bytes of JSON.")
    kind.check_types(given)
    params = kind.with_defaults(given, context().settings)
    check_inputs(kind.parse_params(params))
    return params


def parsed(model: type[Model], values: dict[str, Any]) -> Model:
    """Raises InvalidValue that names the field."""
    try:
        return model.model_validate(values)
    except ValidationError as invalid:
        raise invalid_value(invalid) from invalid

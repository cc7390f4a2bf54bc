"""Errors as application/problem+json with a stable `code`. The one place that decides HTTP statuses."""

from __future__ import annotations

import json

from flask import Flask, Response, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from backend import errors
from backend.events import Event, error, warn

STATUS: dict[type[errors.FramefleetError], int] = {
    errors.InvalidRequest: 400,
    errors.InvalidParams: 422,
    errors.UploadTooLarge: 413,
    errors.StorageFull: 507,
    errors.CallerRefused: 401,
    errors.Busy: 429,
    errors.KeysUnavailable: 503,
    errors.NoPresignMethod: 409,
    errors.JobNotFound: 404,
    errors.ObjectNotFound: 404,
    errors.ObjectExists: 409,
    errors.ClaimLost: 409,
    errors.SourceNotFound: 404,
    errors.SourceForbidden: 403,
    errors.SourceChanged: 409,
    errors.SourceUnreachable: 503,
    errors.InvalidState: 409,
    errors.DatabaseUnavailable: 503,
    errors.StorageError: 503,
}


def problem(status: int, code: str, title: str, *, retryable: bool = False) -> Response:
    body = {"type": "about:blank", "status": status, "code": code, "title": title, "retryable": retryable}
    return Response(json.dumps(body), status=status, mimetype="application/problem+json")


def register(app: Flask) -> None:
    app.register_error_handler(errors.FramefleetError, _framefleet)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(
        RecursionError, lambda _: problem(400, "invalid_request", "The JSON is nested too deep.")
    )
    app.register_error_handler(Exception, _unexpected)


def validation_problem(invalid: ValidationError) -> Response:
    """For flask-openapi, which validates paths and queries."""
    first = invalid.errors(include_input=False, include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or "request"
    return problem(400, "invalid_request", f"{name:.60}: {first['msg']}")


def _framefleet(failure: errors.FramefleetError) -> Response:
    status = next((STATUS[kind] for kind in type(failure).__mro__ if kind in STATUS), 500)
    if status >= 500:
        warn(Event.REQUEST_FAILED, path=request.path, error_code=failure.code, message=failure.message)
    return problem(status, failure.code, failure.message, retryable=failure.retryable)


def _http(failure: HTTPException) -> Response:
    if failure.response is not None and failure.code is None:
        return Response(failure.get_body(), status=failure.get_response().status)
    status = failure.code or 500
    code = {404: "not_found", 405: "method_not_allowed", 413: "upload_too_large"}.get(status, "invalid_request")
    return problem(status, code, failure.description or failure.name)


def _unexpected(failure: Exception) -> Response:
    error(Event.REQUEST_FAILED, path=request.path, exc_info=failure)
    return problem(500, "internal_error", "Something went wrong on our side; the log has the details.", retryable=True)

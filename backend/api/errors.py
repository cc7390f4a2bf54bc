"""Errors as application/problem+json (RFC 9457) with a stable `code`. The one place that decides HTTP statuses."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flask import Flask, Response, request
from gunicorn.http.errors import NoMoreData, ParseException
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.routing import RoutingException

from backend import errors
from backend.events import Event, error, warn

# 400: the request cannot be read. 415: its body is of another type. 422: a value in it is not allowed.
STATUS: dict[type[errors.FramefleetError], int] = {
    errors.InvalidRequest: 400,
    errors.UnsupportedMediaType: 415,
    errors.InvalidValue: 422,
    errors.InvalidParams: 422,
    errors.UnsupportedInput: 422,
    errors.KeyReused: 422,
    errors.KeyInFlight: 409,
    errors.UploadTooLarge: 413,
    errors.LengthRequired: 411,
    errors.UploadNotFound: 404,
    errors.UploadBusy: 409,
    errors.UploadIncomplete: 409,
    errors.UploadQuotaReached: 429,
    errors.StorageFull: 507,
    errors.CallerRefused: 401,
    errors.ScopeMissing: 403,
    errors.RateLimited: 429,
    errors.Busy: 429,
    errors.QuotaExceeded: 429,
    errors.KeysUnavailable: 503,
    errors.NoPresignMethod: 409,
    errors.JobNotFound: 404,
    errors.ObjectNotFound: 404,
    errors.ObjectExists: 409,
    errors.OutputExists: 409,
    errors.ClaimLost: 409,
    errors.SourceNotFound: 404,
    errors.SourceForbidden: 403,
    errors.SourceChanged: 409,
    errors.SourceUnreachable: 503,
    errors.InvalidState: 409,
    errors.DatabaseUnavailable: 503,
    errors.StorageError: 503,
    errors.ModelMissing: 500,
    errors.ArtifactCorrupt: 500,
    errors.Unexpected: 500,
}
# Derived from those, and said by workers alone.
OF_WORKERS = (errors.LeaseLapsed, errors.AccessRevoked, errors.ServerUnavailable)
# What HTTP itself refuses, before any of our code is asked: code and title.
HTTP_PROBLEMS = {
    403: ("forbidden", "The request is refused."),
    404: ("not_found", "There is no such page."),
    405: ("method_not_allowed", "The route does not take this method: Allow says which it takes."),
    408: ("request_timeout", "The request came too slowly."),
    412: ("precondition_failed", "The file is another one than If-Match names."),
    413: ("upload_too_large", "The body is larger than this route takes."),
    414: ("uri_too_long", "The address of the request is too long."),
    415: ("unsupported_media_type", "The body is of a type that this route does not take."),
    416: ("range_not_satisfiable", "The range lies behind the file's end."),
    431: ("headers_too_large", "The headers of the request are too large."),
    501: ("not_implemented", "The server does not speak this part of HTTP."),
    503: ("server_busy", "Too many large uploads are under way."),
}
MALFORMED = ("invalid_request", "The request cannot be read.")
MAX_FIELDS = 20
MAX_FIELD_CHARACTERS, MAX_WORDS_CHARACTERS = 100, 500
MAX_DETAIL_CHARACTERS = 2000


@dataclass(frozen=True)
class Known:
    """A code that the API may answer. `title` is the same each time."""

    code: str
    status: int
    title: str
    retryable: bool = False


def known_problems() -> list[Known]:
    """Every one, by status and code."""
    ours = [Known(kind.code, status, _title(kind), kind.retryable) for kind, status in _answered()]
    of_http = [Known(code, status, title) for status, (code, title) in HTTP_PROBLEMS.items()]
    by_code = {(each.status, each.code): each for each in [*of_http, *ours]}
    return [by_code[key] for key in sorted(by_code)]


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    title: str | None = None,
    retryable: bool = False,
    fields: Sequence[tuple[str, str]] = (),
) -> Response:
    """`fields`: the values that are wrong, by name."""
    body = {
        "type": "about:blank",
        "status": status,
        "code": code,
        "title": title or detail,
        "detail": detail[:MAX_DETAIL_CHARACTERS],
        "retryable": retryable,
    }
    if fields:
        body["errors"] = [
            {"field": name[:MAX_FIELD_CHARACTERS], "message": words[:MAX_WORDS_CHARACTERS]}
            for name, words in fields[:MAX_FIELDS]
        ]
    return Response(json.dumps(body), status=status, mimetype="application/problem+json")


def register(app: Flask) -> None:
    app.register_error_handler(errors.FramefleetError, _framefleet)
    app.register_error_handler(HTTPException, _http)
    for kind in (ParseException, NoMoreData):  # of a body that is read
        app.register_error_handler(kind, _unreadable)
    app.register_error_handler(Exception, _unexpected)


def invalid_value(invalid: ValidationError, prefix: str = "") -> errors.InvalidValue:
    """What is wrong with the values, without the values: they may be secrets."""
    found = invalid.errors(include_input=False, include_url=False, include_context=False)
    fields = [(_name(each["loc"], prefix), each["msg"].removeprefix("Value error, ")) for each in found[:MAX_FIELDS]]
    name, words = fields[0]
    return errors.InvalidValue(f"{name:.60}: {words}", fields)


def validation_problem(invalid: ValidationError) -> Response:
    """For flask-openapi, which validates paths, queries and bodies."""
    return _framefleet(invalid_value(invalid))


def _name(location: tuple[int | str, ...], prefix: str) -> str:
    return ".".join(str(part) for part in (*filter(None, [prefix]), *location)) or "request"


def _framefleet(failure: errors.FramefleetError) -> Response:
    status = next((STATUS[kind] for kind in type(failure).__mro__ if kind in STATUS), None)
    if status is None:  # one that the API is not known to answer: its words are for the log
        return _unexpected(failure)
    if status >= 500:
        warn(Event.REQUEST_FAILED, path=request.path, error_code=failure.code, message=failure.message)
    response = problem(
        status,
        failure.code,
        failure.message,
        title=_title(type(failure)),
        retryable=failure.retryable,
        fields=failure.fields if isinstance(failure, errors.InvalidRequest) else (),
    )
    if failure.retry_after_sec is not None:
        response.headers["Retry-After"] = str(failure.retry_after_sec)
    return response


def _http(failure: HTTPException) -> HTTPException | Response:
    """What HTTP itself has to say, with the headers that belong to it: Allow, Content-Range."""
    if isinstance(failure, RoutingException) or failure.code is None:  # a redirect, or an answer that is made already
        return failure
    if isinstance(failure, InternalServerError):
        return _unexpected(failure)
    code, title = HTTP_PROBLEMS.get(failure.code, MALFORMED)
    response = problem(failure.code, code, failure.description or title, title=title)
    response.headers.extend([each for each in failure.get_headers() if each[0].lower() != "content-type"])
    return response


def _unreadable(failure: Exception) -> Response:
    code, title = MALFORMED
    response = problem(400, code, "The body ends too early, or its chunks are malformed.", title=title)
    response.headers["Connection"] = "close"
    return response


def _unexpected(failure: Exception) -> Response:
    error(Event.REQUEST_FAILED, path=request.path, exc_info=failure)
    words = "Something went wrong on our side; the log has the details."
    return problem(500, errors.Unexpected.code, words, title=_title(errors.Unexpected), retryable=True)


def _title(kind: type[errors.FramefleetError]) -> str:
    """The first sentence of what its class says of it."""
    words = " ".join((inspect.getdoc(kind) or kind.code).split())
    return words.partition(". ")[0].rstrip(".").partition(":")[0] + "."


def _answered() -> Iterator[tuple[type[errors.FramefleetError], int]]:
    """Each error that has a status, and those derived from it that have none of their own."""
    pending = list(STATUS.items())
    while pending:
        kind, status = pending.pop()
        yield kind, status
        derived = (child for child in kind.__subclasses__() if child not in STATUS and child not in OF_WORKERS)
        pending += [(child, status) for child in derived]

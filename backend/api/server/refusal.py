"""What the server itself answers, before a request reaches the application: the same problems, with a stable code."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from waitress.task import ErrorTask

from backend.api.errors import problem

# Of waitress's own errors, by status. Their texts hold nothing of the request.
_CODES = {
    400: "invalid_request",
    413: "upload_too_large",
    431: "headers_too_large",
    500: "internal_error",
    501: "not_implemented",
}


@dataclass(frozen=True)
class Refusal:
    """In place of waitress's Error, as the `error` of a request."""

    status: int
    code: str
    title: str
    retry_after_sec: int | None = None


HEAD_TOO_SLOW = Refusal(408, "request_timeout", "The head of the request did not come in time.", 1)
BODY_TOO_SLOW = Refusal(408, "request_timeout", "The body of the request came too slowly: send it again.", 1)
URI_TOO_LONG = Refusal(414, "uri_too_long", "The address of the request is too long.")
TOO_MANY_UPLOADS = Refusal(
    503,
    "server_busy",
    "Too many large uploads are under way: wait a little, or send the file in parts (/api/v1/uploads).",
    10,
)
STORAGE_FULL = Refusal(
    507,
    "storage_full",
    "There is no room for this body on the server's disk now: wait a little, or send smaller parts.",
    30,
)


class RefusalTask(ErrorTask):  # type: ignore[misc]
    """Writes application/problem+json and ends the connection."""

    def execute(self) -> None:
        refusal = _refusal(self.request.error)
        shown = problem(refusal.status, refusal.code, refusal.title, retryable=refusal.retry_after_sec is not None)
        body = shown.get_data()
        self.status = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
        self.response_headers += [
            ("Content-Type", shown.headers["Content-Type"]),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if refusal.retry_after_sec is not None:
            self.response_headers.append(("Retry-After", str(refusal.retry_after_sec)))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(b"" if self.request.command == "HEAD" else body)


def _refusal(error: Any) -> Refusal:
    if isinstance(error, Refusal):
        return error
    return Refusal(error.code, _CODES.get(error.code, "invalid_request"), f"{error.reason}: {error.body}")

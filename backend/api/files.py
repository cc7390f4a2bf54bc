"""Serves an object of the store, or a part of it."""

from __future__ import annotations

from flask import Response
from werkzeug.datastructures import ContentRange

from backend.api.byte_ranges import Asked, asked_bytes
from backend.api.transfer import with_bytes
from backend.errors import ObjectNotFound, SourceNotFound
from backend.storage.base import ObjectStore, Source
from backend.storage.names import content_disposition

# A page that a job made may show itself and its own pictures, and do nothing.
PAGE_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"


def send_object(store: ObjectStore, key: str, content_type: str, *, attachment: str | None = None) -> Response:
    """As `send_source`. Raises ObjectNotFound."""
    try:
        source = store.source(key)
    except SourceNotFound:  # whose sentence names a path of this machine
        raise ObjectNotFound("The job has no such file yet.") from None
    response = send_source(source, content_type)
    if content_type.startswith("text/html"):
        response.headers["Content-Security-Policy"] = PAGE_POLICY
    if attachment is not None:
        response.headers["Content-Disposition"] = content_disposition(attachment)
    return response


def send_source(source: Source, content_type: str) -> Response:
    """200, 206 for a range, or 304. Raises PreconditionFailed, RequestedRangeNotSatisfiable."""
    etag = source.info.etag.strip('"')
    asked = asked_bytes(source.info.size_bytes, etag)
    response = _answer(source, asked, content_type)
    response.headers["Accept-Ranges"] = "bytes"
    response.set_etag(etag)
    # Kept by the browser alone, and asked for again before every use: results are written anew by a retry.
    response.headers["Cache-Control"] = "no-cache, private"
    return response


def _answer(source: Source, asked: Asked, content_type: str) -> Response:
    if asked.status == 304:
        return Response(status=304)
    response = Response(status=asked.status, content_type=content_type)
    with_bytes(response, source, asked.start, asked.stop)
    if asked.status == 206:
        response.content_range = ContentRange("bytes", asked.start, asked.stop, source.info.size_bytes)
    return response

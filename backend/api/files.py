"""Serves an object of the store with HTTP ranges."""

from __future__ import annotations

from flask import Response, request
from werkzeug.datastructures import ContentRange

from backend.api.transfer import with_bytes
from backend.errors import ObjectNotFound, SourceNotFound
from backend.storage.base import ObjectStore, Source
from backend.storage.names import content_disposition

# A page that a job made may show itself and its own pictures, and do nothing.
PAGE_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"


def send_object(store: ObjectStore, key: str, content_type: str, *, attachment: str | None = None) -> Response:
    """200, or 206 for a range, or 416. Raises ObjectNotFound."""
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
    """200, or 206 for a range, or 416."""
    size = source.info.size_bytes
    wanted = request.range.range_for_length(size) if request.range else None
    if request.range and wanted is None and size:
        response = Response(status=416)
        response.headers["Content-Range"] = f"bytes */{size}"
        return response
    start, stop = wanted or (0, size)
    response = Response(status=206 if wanted else 200, content_type=content_type)
    with_bytes(response, source, start, stop)
    if wanted:
        response.content_range = ContentRange("bytes", start, stop, size)
    response.headers["Accept-Ranges"] = "bytes"
    response.set_etag(source.info.etag.strip('"'))
    return response

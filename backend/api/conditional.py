"""Answers that a client polls: with a strong ETag over what they say, and 304 for who knows it already."""

from __future__ import annotations

import hashlib
from typing import Any, cast
from urllib.parse import urlencode

from flask import Response, jsonify, request

ETAG_CHARACTERS = 32


def linked(response: Response, parameter: str, cursor: str | None) -> Response:
    """With a Link to the next page: the same query from the cursor on (RFC 8288)."""
    if cursor is not None:
        kept = [pair for pair in request.args.items(multi=True) if pair[0] not in (parameter, "before")]
        response.headers["Link"] = f'<{request.path}?{urlencode([*kept, (parameter, cursor)])}>; rel="next"'
    return response


def polled(resource: dict[str, Any], *, poll_after_seconds: int | None = None) -> Response:
    """The resource as JSON, or 304 without a body when If-None-Match names it. `Retry-After` says when to ask again."""
    response = jsonify(resource)
    response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:ETAG_CHARACTERS])
    # Kept by the browser alone, and asked for again before every use.
    response.headers["Cache-Control"] = "no-cache, private"
    if poll_after_seconds is not None:
        response.headers["Retry-After"] = str(poll_after_seconds)
    return cast(Response, response.make_conditional(request))

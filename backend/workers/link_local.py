"""Small HTTP requests to what answers beside a worker, such as the ECS agent: no proxy, no redirect, no waiting."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

TIMEOUT_SEC = 2.0
MAX_ANSWER_BYTES = 64 * 1024


def ask(
    method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body. Raises OSError when there is no answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SEC)
    try:
        connection.request(method, parts.path or "/", body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read(MAX_ANSWER_BYTES)
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__} from {parts.hostname}") from error
    finally:
        connection.close()

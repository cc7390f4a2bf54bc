"""Small HTTP requests to what answers beside a worker, the ECS agent or Kubernetes: no proxy, redirect or waiting."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

TIMEOUT_SEC = 2.0
MAX_ANSWER_BYTES = 64 * 1024


def ask(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> tuple[int, bytes]:
    """Status and body. With `tls` it is spoken, whatever the URL's scheme. Raises OSError when there is no answer."""
    parts = urlsplit(url)
    connection = (
        http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SEC)
        if tls is None
        else http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SEC, context=tls)
    )
    try:
        connection.request(method, parts.path or "/", body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read(MAX_ANSWER_BYTES)
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__} from {parts.hostname}") from error
    finally:
        connection.close()

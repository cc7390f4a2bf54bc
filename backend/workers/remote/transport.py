"""Requests to the one server that a remote worker works for, and to places that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from backend.access.loopback import is_loopback
from backend.errors import InvalidRequest, ServerUnavailable, StorageError
from backend.queue.messages import MAX_ARTIFACT_BYTES
from backend.storage.guard import safe_url

CONNECT_SEC = 5.0
# Below a third of a lease, so that a heartbeat has a second try.
ANSWER_SEC = 15.0
CONNECTIONS = 4
BLOCK_BYTES = 256 * 1024
MAX_ANSWER_BYTES = 64 * 2**20
MAX_OBJECT_BYTES = MAX_ARTIFACT_BYTES


@dataclass(frozen=True)
class Reply:
    """`headers` by their names in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Body = Iterator[bytes] | bytes | None


class Transport(Protocol):
    base_url: str  # without a slash at its end

    def send(self, method: str, path: str, headers: Mapping[str, str], body: Body = None) -> Reply:
        """Raises ServerUnavailable. No redirect is followed: the token is for this server alone."""
        ...


class HttpTransport:
    """Over connections that are kept. Certificates are checked, against those of SSL_CERT_FILE where that is set."""

    def __init__(self, base_url: str, *, allow_http: bool = False) -> None:
        """Raises InvalidRequest for what is no URL, and for http:// to another machine unless that is allowed."""
        self.base_url = _checked(base_url, allow_http=allow_http)
        timeout = urllib3.Timeout(connect=CONNECT_SEC, read=ANSWER_SEC)
        self._pool = urllib3.connectionpool.connection_from_url(
            self.base_url, timeout=timeout, maxsize=CONNECTIONS, retries=False
        )
        self._prefix = urlsplit(self.base_url).path

    def send(self, method: str, path: str, headers: Mapping[str, str], body: Body = None) -> Reply:
        try:
            response = self._pool.urlopen(
                method,
                self._prefix + path,
                headers=dict(headers),
                body=body,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
            )
            return _reply(response, MAX_OBJECT_BYTES if method == "GET" else MAX_ANSWER_BYTES)
        except (HTTPError, OSError) as failure:
            raise ServerUnavailable(_why(self.base_url, failure)) from None


def fetch(url: str) -> bytes | None:
    """The bytes behind a link that the server signed; None where there is no such object. Raises StorageError."""
    with urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SEC, read=ANSWER_SEC), retries=False
    ) as connections:
        try:
            response = connections.request("GET", url, redirect=False, preload_content=False)
            reply = _reply(response, MAX_OBJECT_BYTES)
        except (HTTPError, OSError) as failure:  # urllib3's message holds the signature
            raise StorageError(f"{safe_url(url)} cannot be reached ({type(failure).__name__}).") from None
    if reply.status == 404:
        return None
    if reply.status != 200:
        raise StorageError(f"{safe_url(url)} was not given ({reply.status}): look at the store.")
    return reply.body


def blocks_of(data: bytes) -> Iterator[bytes]:
    view = memoryview(data)
    for offset in range(0, len(data), BLOCK_BYTES):
        yield bytes(view[offset : offset + BLOCK_BYTES])


def _checked(url: str, *, allow_http: bool) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise InvalidRequest("--server: give the address of a framefleet API, as in https://fleet.example.com.")
    if parts.scheme == "http" and not (allow_http or is_loopback(parts.hostname)):
        raise InvalidRequest(
            "--server: over http:// anybody on the way reads the token. Use https://, or --allow-http on a network "
            "of your own."
        )
    return url.rstrip("/")


def _reply(response: urllib3.BaseHTTPResponse, max_bytes: int) -> Reply:
    """With the body as it was sent: nobody asked for a compressed one. Raises HTTPError for one that is too long."""
    body = bytearray()
    for part in response.stream(BLOCK_BYTES, decode_content=False):
        body += part
        if len(body) > max_bytes:
            response.close()
            raise HTTPError("the answer is too long")
    response.release_conn()
    return Reply(response.status, {name.lower(): value for name, value in response.headers.items()}, bytes(body))


def _why(base_url: str, failure: Exception) -> str:
    if isinstance(failure, SSLError):
        return f"{base_url} has no certificate that this machine trusts: mend it there, or set SSL_CERT_FILE here."
    return f"{base_url} cannot be reached ({type(failure).__name__}): check the network, and whether the API runs."

"""A video behind an http(s) URL, read by range; or fetched once, where the server knows no ranges."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import quote, urljoin

import tenacity
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from backend.errors import (
    FramefleetError,
    MediaTooLarge,
    SourceChanged,
    SourceForbidden,
    SourceNotFound,
    SourceUnreachable,
    StorageError,
    UnsupportedInput,
)
from backend.storage.base import ObjectInfo
from backend.storage.files import pread_all
from backend.storage.guard import Target, connect, parse_target, safe_url

__all__ = ["HttpSource", "safe_url"]

FIRST_READ_BYTES = 64 * 1024
COPY_BYTES = 256 * 1024
MAX_REDIRECTS = 5
TRIES = 3
# A body may take this long, and a server that sends slower than this is as good as dead.
BODY_GRACE_SEC = 60
SLOWEST_BYTES_PER_SEC = 32 * 1024

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_REDIRECTS = {301, 302, 303, 307, 308}
_BUSY = {408, 425, 429}

_retrying = tenacity.retry(
    retry=tenacity.retry_if_exception_type(SourceUnreachable),
    stop=tenacity.stop_after_attempt(TRIES),
    wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=2, jitter=0.2),
    reraise=True,
)


@dataclass(frozen=True)
class _Hop:
    """Where the URL ends after its redirects, and the checked address that serves it."""

    target: Target
    pool: urllib3.HTTPConnectionPool
    was_redirected: bool


class HttpSource:
    """Bytes behind a URL of the public internet; every read compares the version with the one at the start.

    Only public addresses are met, unless `allow_private`; each redirect is checked anew.
    Raises UnsupportedInput, SourceNotFound, SourceForbidden, SourceUnreachable, MediaTooLarge above `max_bytes`.
    """

    def __init__(self, url: str, *, allow_private: bool = False, max_bytes: int) -> None:
        parse_target(url)
        self._url = url
        self._name = safe_url(url)
        # Two URLs may differ in their query alone, which must not be shown.
        self.uri = f"{self._name}#{hashlib.sha256(url.encode()).hexdigest()[:16]}"
        self._allow_private = allow_private
        self._max_bytes = max_bytes
        self._hop: _Hop | None = None
        self._spool: BinaryIO | None = None
        self._head = b""
        self.info = self._open()

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`. Raises SourceChanged when the server has another version by now."""
        length = min(length, self.info.size_bytes - offset)
        if length <= 0:
            return b""
        if self._spool is not None:
            return pread_all(self._spool.fileno(), offset, length)
        if offset + length <= len(self._head):
            return self._head[offset : offset + length]
        data = b""
        while len(data) < length:  # a server may send less than it was asked for
            data += self._fetch(offset + len(data), length - len(data))
        return data

    def close(self) -> None:
        """Closes the connections and the temporary file; the garbage collector does so too."""
        if self._hop is not None:
            self._hop.pool.close()
        if self._spool is not None:
            self._spool.close()

    @_retrying
    def _open(self) -> ObjectInfo:
        """The first bytes tell size and version, so no HEAD is needed: signed URLs often allow none."""
        with self._get(f"bytes=0-{FIRST_READ_BYTES - 1}") as response:
            if response.status == 200:
                return self._download(response)
            if response.status == 416 and response.headers.get("Content-Range") == "bytes */0":
                return ObjectInfo(0, _version(response, 0) or "empty")
            if response.status == 206:
                start, end, size_bytes = self._content_range(response)
                if start == 0 and size_bytes is not None:
                    self._check_size(size_bytes)
                    self._head = self._body(response, min(end + 1, FIRST_READ_BYTES))
                    return ObjectInfo(size_bytes, _version(response, size_bytes) or f"size-{size_bytes}")
        with self._get(None) as response:  # ranges of a size that the server does not tell are of no use
            if response.status != 200:
                raise self._refusal(response.status)
            return self._download(response)

    def _download(self, response: urllib3.BaseHTTPResponse) -> ObjectInfo:
        """The whole body, into a file without a name."""
        self._check_size(response.length_remaining or 0)
        spool = tempfile.TemporaryFile()  # noqa: SIM115  # read_at uses it from here on
        digest = self._copy(response, spool)
        size_bytes = spool.tell()
        self._spool = spool
        return ObjectInfo(size_bytes, _version(response, size_bytes) or digest)

    @_retrying
    def _fetch(self, offset: int, length: int) -> bytes:
        with self._get(f"bytes={offset}-{offset + length - 1}") as response:
            if response.status != 206:
                raise SourceUnreachable(f"{self._name} no longer serves ranges: try again later.")
            start, end, size_bytes = self._content_range(response)
            version = _version(response, self.info.size_bytes) or f"size-{self.info.size_bytes}"
            if version != self.info.etag or size_bytes not in (None, self.info.size_bytes):
                raise SourceChanged(f"{self._name} changed meanwhile: submit the job again.")
            if start != offset or not start <= end < offset + length:
                raise SourceUnreachable(f"{self._name} sent other bytes than it was asked for: try again.")
            return self._body(response, end - start + 1)

    @contextmanager
    def _get(self, byte_range: str | None) -> Iterator[urllib3.BaseHTTPResponse]:
        """A 200, 206 or 416. What stays unread of it closes the connection; a failure forgets where the URL led."""
        response = None
        try:
            response = self._answer(byte_range)
            yield response
        except (HTTPError, OSError) as error:
            self._hop = None
            raise self._unreachable(error) from None  # urllib3's message holds the path with its query
        except SourceUnreachable:
            self._hop = None
            raise
        finally:
            if response is not None:
                response.close()  # a body read to its end has put its connection back into the pool by now

    def _answer(self, byte_range: str | None) -> urllib3.BaseHTTPResponse:
        hop = self._hop
        response = _request(hop.pool, hop.target, byte_range) if hop else self._walk(byte_range)
        # A redirect's signed URL runs out long before the first one does: ask for a fresh one, once.
        if hop and hop.was_redirected and 400 <= response.status < 500 and response.status != 416:
            response.close()
            response = self._walk(byte_range)
        if response.status not in (200, 206, 416):
            response.close()
            raise self._refusal(response.status)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            response.close()
            raise UnsupportedInput(f"{self._name} sends compressed bytes only: serve the file as it is.")
        return response

    def _walk(self, byte_range: str | None) -> urllib3.BaseHTTPResponse:
        """Follows redirects by hand, so that each hop's address is checked before anything is sent there."""
        url = self._url
        for count in range(MAX_REDIRECTS + 1):
            target = parse_target(url)
            pool, response = self._reach(target, byte_range)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                self._hop = _Hop(target, pool, was_redirected=count > 0)
                return response
            response.close()
            pool.close()
            # Header bytes arrive as Latin-1, whatever they were meant to be.
            url = urljoin(url, quote(location.encode("latin-1", "replace"), safe="%/:?#[]@!$&'()*+,;=~"))
        raise UnsupportedInput(f"{self._name} redirects more than {MAX_REDIRECTS} times: give the final URL.")

    def _reach(
        self, target: Target, byte_range: str | None
    ) -> tuple[urllib3.HTTPConnectionPool, urllib3.BaseHTTPResponse]:
        """The first of the host's addresses that takes a connection."""
        failure: HTTPError | None = None
        for pool in connect(target, allow_private=self._allow_private):
            try:
                return pool, _request(pool, target, byte_range)
            except (NewConnectionError, ConnectTimeoutError) as error:
                failure = error
        raise self._unreachable(failure)

    def _content_range(self, response: urllib3.BaseHTTPResponse) -> tuple[int, int, int | None]:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None:
            raise UnsupportedInput(f"{self._name} answers ranges without saying which: serve it from another server.")
        start, end, size = match.groups()
        return int(start), int(end), None if size == "*" else int(size)

    def _body(self, response: urllib3.BaseHTTPResponse, length: int) -> bytes:
        data = b"".join(_stream(response, length))
        if len(data) != length:
            raise SourceUnreachable(f"{self._name} broke off in the middle: try again.")
        return data

    def _copy(self, response: urllib3.BaseHTTPResponse, spool: BinaryIO) -> str:
        digest = hashlib.sha256()
        for part in _stream(response):
            digest.update(part)
            self._check_size(spool.tell() + len(part))
            try:
                spool.write(part)
            except OSError as error:
                raise StorageError(f"The temporary folder cannot take the download ({error.strerror}).") from error
        spool.flush()
        return f"sha256-{digest.hexdigest()}"

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise MediaTooLarge(f"{self._name} is larger than {self._max_bytes} bytes: give a shorter video.")

    def _refusal(self, status: int) -> FramefleetError:
        if status in (404, 410):
            return SourceNotFound(f"{self._name} does not exist ({status}): check the URL.")
        if status in (401, 403, 407):
            return SourceForbidden(f"{self._name} may not be read ({status}): give a URL that is signed and in force.")
        if status >= 500 or status in _BUSY:
            return SourceUnreachable(f"{self._name} does not answer now ({status}): try again later.")
        return UnsupportedInput(f"{self._name} cannot be read ({status}): give the URL of the video itself.")

    def _unreachable(self, error: Exception | None) -> SourceUnreachable:
        if isinstance(error, SSLError):
            return SourceUnreachable(f"{self._name} has no valid certificate, or does not speak TLS: check its set-up.")
        return SourceUnreachable(f"{self._name} cannot be reached ({type(error).__name__}): try again later.")


def _request(pool: urllib3.HTTPConnectionPool, target: Target, byte_range: str | None) -> urllib3.BaseHTTPResponse:
    headers = {"Host": target.host_header, "Accept-Encoding": "identity", "User-Agent": "framefleet"}
    if byte_range is not None:
        headers["Range"] = byte_range
    return pool.urlopen(
        "GET", target.path, headers=headers, redirect=False, preload_content=False, decode_content=False
    )


def _stream(response: urllib3.BaseHTTPResponse, limit_bytes: int | None = None) -> Iterator[bytes]:
    """The body in parts, no more than the limit of it.

    The socket's timeout starts anew with every byte, so a slow drip needs a bound of its own; read1, since read would
    wait until its buffer is full.
    """
    started, received = time.monotonic(), 0
    while part := response.read1(COPY_BYTES, decode_content=False):
        yield part if limit_bytes is None else part[: limit_bytes - received]
        received += len(part)
        if limit_bytes is not None and received > limit_bytes:
            return
        if time.monotonic() - started > BODY_GRACE_SEC + received / SLOWEST_BYTES_PER_SEC:
            raise HTTPError("the body came too slowly")


def _version(response: urllib3.BaseHTTPResponse, size_bytes: int) -> str | None:
    """The strongest validator the server gives: ETag, else modification time with the size."""
    modified = response.headers.get("Last-Modified")
    return response.headers.get("ETag") or (f"{modified}-{size_bytes}" if modified else None)

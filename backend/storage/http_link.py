"""The way to the bytes behind a URL: redirects, checked addresses, refusals told in words, and the source's pace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import quote, urljoin

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from backend.errors import (
    FramefleetError,
    SourceExpired,
    SourceForbidden,
    SourceNotFound,
    SourceUnreachable,
    UnsupportedInput,
)
from backend.storage.guard import (
    CONNECT_TIMEOUT_SEC,
    NO_HOSTS,
    READ_TIMEOUT_SEC,
    OwnHosts,
    Target,
    connect,
    parse_target,
    safe_url,
)
from backend.storage.pace import CUT_EVERY_SEC, SLOWEST_BYTES_PER_SEC, Cutoff, Pace, TooSlow, within
from backend.storage.signed_links import has_expired, says_expired

COPY_BYTES = 256 * 1024
REFUSAL_BYTES = 4096
MAX_REDIRECTS = 3

_REDIRECTS = {301, 302, 303, 307, 308}
_BUSY = {408, 425, 429}


@dataclass(frozen=True)
class _Hop:
    """Where the URL ends after its redirects, and the checked address that serves it."""

    target: Target
    pool: urllib3.HTTPConnectionPool
    was_redirected: bool


class Link:
    """One URL, asked again and again over connections that are kept.

    Raises UnsupportedInput for a malformed URL.
    """

    def __init__(
        self,
        url: str,
        *,
        allow_private: bool,
        stall_sec: float,
        own_hosts: OwnHosts = NO_HOSTS,
        cutoff: Cutoff | None = None,
    ) -> None:
        parse_target(url)
        self.name = safe_url(url)
        self.pace = Pace(stall_sec, cutoff)
        self._url = url
        self._allow_private = allow_private
        self._own_hosts = own_hosts
        self._hop: _Hop | None = None

    def close(self) -> None:
        if self._hop is not None:
            self._hop.pool.close()

    @contextmanager
    def get(self, byte_range: str | None) -> Iterator[urllib3.BaseHTTPResponse]:
        """A 200, 206 or 416. What stays unread of it closes the connection; a failure forgets where the URL led."""
        response = None
        try:
            self._check_pace()
            with within(self.pace):
                response = self._answer(byte_range)
                yield response
        except (HTTPError, OSError) as error:
            self._hop = None
            self._check_pace()
            raise self._unreachable(error) from None  # urllib3's message holds the path with its query
        except SourceUnreachable:
            self._hop = None
            self._check_pace()
            raise
        finally:
            if response is not None:
                response.close()  # a body read to its end has put its connection back into the pool by now

    def _answer(self, byte_range: str | None) -> urllib3.BaseHTTPResponse:
        hop = self._hop
        response = self._request(hop.pool, hop.target, byte_range) if hop else self._walk(byte_range)
        # A redirect's signed URL runs out long before the first one does: ask for a fresh one, once.
        if hop and hop.was_redirected and 400 <= response.status < 500 and response.status != 416:
            response.close()
            response = self._walk(byte_range)
        if response.status not in (200, 206, 416):
            said = self._said(response) if 400 <= response.status < 404 else b""
            response.close()
            raise self.refusal(response.status, said)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            response.close()
            raise UnsupportedInput(f"{self.name} sends compressed bytes only: serve the file as it is.")
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
            if target.scheme == "https" and not url.lower().startswith("https://"):
                raise UnsupportedInput(f"{self.name} redirects from https to plain http: give the final URL.")
        raise UnsupportedInput(f"{self.name} redirects more than {MAX_REDIRECTS} times: give the final URL.")

    def _reach(
        self, target: Target, byte_range: str | None
    ) -> tuple[urllib3.HTTPConnectionPool, urllib3.BaseHTTPResponse]:
        """The first of the host's addresses that takes a connection."""
        failure: HTTPError | None = None
        for pool in connect(target, allow_private=self._allow_private, own_hosts=self._own_hosts):
            try:
                return pool, self._request(pool, target, byte_range)
            except (NewConnectionError, ConnectTimeoutError) as error:
                failure = error
        raise self._unreachable(failure)

    def body(self, response: urllib3.BaseHTTPResponse, length: int) -> bytes:
        data = b"".join(parts_of(response, length, self.pace))
        if len(data) != length:
            raise SourceUnreachable(f"{self.name} broke off in the middle: try again.")
        return data

    def _request(
        self, pool: urllib3.HTTPConnectionPool, target: Target, byte_range: str | None
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Host": target.host_header, "Accept-Encoding": "identity", "User-Agent": "framefleet"}
        if byte_range is not None:
            headers["Range"] = byte_range
        left_sec = max(CUT_EVERY_SEC, self.pace.left_sec())
        response = pool.urlopen(
            "GET",
            target.path,
            headers=headers,
            redirect=False,
            preload_content=False,
            decode_content=False,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT_SEC, left_sec), read=min(READ_TIMEOUT_SEC, left_sec)),
        )
        if self.pace.is_over:  # a head that was cut reads like a short one
            response.close()
            self._check_pace()
        return response

    def _check_pace(self) -> None:
        self.pace.cutoff.check(self.name)
        if self.pace.is_over:
            raise TooSlow(
                f"{self.name} sends too slowly: it fell {self.pace.stall_sec:.0f} s behind "
                f"{SLOWEST_BYTES_PER_SEC >> 10} KiB/s. Serve the file from a faster place."
            )

    def _said(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """The beginning of a refusal, as far as it comes; it is looked at and shown to nobody."""
        with suppress(HTTPError, OSError):
            return b"".join(parts_of(response, REFUSAL_BYTES, self.pace))
        return b""

    def refusal(self, status: int, said: bytes = b"") -> FramefleetError:
        if 400 <= status < 404 and (has_expired(self._url) or says_expired(said)):
            return SourceExpired(
                f"The signed link {self.name} has expired ({status}): submit the job with a fresh one."
            )
        if status in (404, 410):
            return SourceNotFound(f"{self.name} does not exist ({status}): check the URL.")
        if status in (401, 403, 407):
            return SourceForbidden(f"{self.name} may not be read ({status}): give a URL that is signed and in force.")
        if status >= 500 or status in _BUSY:
            return SourceUnreachable(f"{self.name} does not answer now ({status}): try again later.")
        return UnsupportedInput(f"{self.name} cannot be read ({status}): give the URL of the video itself.")

    def _unreachable(self, error: Exception | None) -> SourceUnreachable:
        if isinstance(error, SSLError):
            return SourceUnreachable(f"{self.name} has no valid certificate, or does not speak TLS: check its set-up.")
        return SourceUnreachable(f"{self.name} cannot be reached ({type(error).__name__}): try again later.")


def parts_of(response: urllib3.BaseHTTPResponse, limit_bytes: int | None, pace: Pace) -> Iterator[bytes]:
    """The body in parts, no more than the limit of it. read1, since read would wait until its buffer is full."""
    received = 0
    while part := response.read1(COPY_BYTES, decode_content=False):
        pace.earn(len(part))
        yield part if limit_bytes is None else part[: limit_bytes - received]
        received += len(part)
        if limit_bytes is not None and received > limit_bytes:
            return
        if pace.is_over:
            break
    if pace.is_over:  # where no length was promised, a connection that was cut looks like the end
        raise HTTPError("the body came too slowly")

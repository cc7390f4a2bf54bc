"""Requests to one server: with the key, over connections that are kept, and again where that can help."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import tenacity
import urllib3
from urllib3.exceptions import HTTPError, SSLError

from backend.client.errors import ClientError, Unreachable, error_of

CONNECTIONS = 8
CONNECT_SEC = 10.0
ANSWER_SEC = 60.0
MAX_ANSWER_BYTES = 256 * 2**20
LONGEST_PAUSE_SEC = 60.0  # however long a Retry-After is
PATIENCE_SEC = 120.0  # with the pauses between tries
BUSY = frozenset({429, 502, 503, 504})
PROBLEM = "application/problem+json"

Result = TypeVar("Result")
Body = bytes | Iterator[bytes] | None  # blocks go out under a Content-Length of the caller


@dataclass(frozen=True)
class Answer:
    """`headers` by their names in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """Raises Unreachable: whoever answers something else is no framefleet API."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Unreachable("The answer is no JSON: is this the address of a framefleet API?") from None


class Busy(Exception):
    """Another try can help: nothing was answered, or that it is to be asked later."""

    def __init__(self, failure: ClientError, after_sec: float | None = None) -> None:
        self.failure = failure
        self.after_sec = after_sec


class Connection:
    def __init__(self, url: str, key: str | None, *, allow_http: bool = False, patience_sec: float = PATIENCE_SEC):
        """Raises ClientError for what is no URL, and for http:// to another machine with a key."""
        self.url = _checked(url, has_key=key is not None, allow_http=allow_http)
        self._patience_sec = patience_sec
        self._key_header = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = urllib3.Timeout(connect=CONNECT_SEC, read=ANSWER_SEC)
        self.pools = urllib3.PoolManager(timeout=timeout, maxsize=CONNECTIONS, retries=False)

    def close(self) -> None:
        self.pools.clear()

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self.ask("GET", f"{path}?{urlencode(given)}" if given else path, headers=headers)

    def ask(
        self,
        method: str,
        path: str,
        *,
        json_body: Any = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        may_repeat: bool = True,
    ) -> Answer:
        """The answer: 2xx or 304. `may_repeat`: whether it may be sent again where nobody knows if it arrived.

        Raises ApiError for every other answer, Unreachable.
        """
        given = dict(headers or {})
        if json_body is not None:
            body, given["Content-Type"] = json.dumps(json_body).encode(), "application/json"

        return self.insist(lambda: self.once(method, path, given, body, may_repeat=may_repeat))

    def insist(self, act: Callable[[], Result]) -> Result:
        """`act` again and again while it raises Busy, after pauses that grow or that the server asks for."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Busy),
            stop=tenacity.stop_before_delay(self._patience_sec),
            wait=_pause_sec,
            reraise=True,
        )
        try:
            return retrying(act)
        except Busy as busy:
            raise busy.failure from None

    def open(self, method: str, path: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """An answer whose body the caller reads, and closes. No redirect is followed. Raises Busy."""
        try:
            return self.pools.request(
                method,
                self.url + path,
                headers={**self._key_header, **headers},
                redirect=False,
                preload_content=False,
            )
        except (HTTPError, OSError) as failure:
            raise Busy(self.unreachable(failure)) from None

    def unreachable(self, failure: Exception) -> Unreachable:
        if isinstance(failure, SSLError):
            return Unreachable(
                f"{self.url} has no certificate that this machine trusts: mend it, or set SSL_CERT_FILE."
            )
        why = type(failure).__name__
        return Unreachable(
            f"{self.url} cannot be reached ({why}): check the address, the network, and whether it runs."
        )

    def once(
        self, method: str, path: str, headers: Mapping[str, str], body: Body, *, may_repeat: bool = True
    ) -> Answer:
        """Raises Busy where another try can help, and what `ask` raises."""
        try:
            response = self.pools.request(
                method,
                self.url + path,
                headers={**self._key_header, **headers},
                body=body,
                redirect=False,
                preload_content=False,
            )
            answer = read_answer(response)
        except (HTTPError, OSError) as failure:
            unreachable = self.unreachable(failure)
            if may_repeat or isinstance(failure, urllib3.exceptions.NewConnectionError):
                raise Busy(unreachable) from None
            raise unreachable from None
        return checked(answer)


def read_answer(response: urllib3.BaseHTTPResponse) -> Answer:
    """Raises HTTPError for one that breaks off or is too long."""
    body = bytearray()
    for block in response.stream(256 * 1024):
        body += block
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            raise HTTPError("the answer is too long")
    response.release_conn()
    return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, bytes(body))


def checked(answer: Answer) -> Answer:
    """Raises Busy for what is to be asked later, ApiError for every other answer but 2xx and 304."""
    if 200 <= answer.status < 300 or answer.status == 304:
        return answer
    failure = error_of(answer.status, _problem(answer))
    if answer.status in BUSY or (answer.status == 409 and failure.retryable):  # the same request is in flight
        raise Busy(failure, seconds(answer.headers.get("retry-after")))
    raise failure


def seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After; None for a date, or without one."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None


def _problem(answer: Answer) -> dict[str, Any]:
    if answer.headers.get("content-type", "").partition(";")[0] != PROBLEM:
        return {}
    try:
        problem = json.loads(answer.body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


_backoff = tenacity.wait_exponential_jitter(multiplier=0.5, max=10, jitter=0.5)


def _pause_sec(state: tenacity.RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome else None
    asked_sec = failure.after_sec if isinstance(failure, Busy) else None
    return max(min(asked_sec or 0.0, LONGEST_PAUSE_SEC), _backoff(state))


def _checked(url: str, *, has_key: bool, allow_http: bool) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ClientError("Give the address of a framefleet API, as in https://films.example.com.", code="bad_address")
    if parts.scheme == "http" and has_key and not (allow_http or _is_loopback(parts.hostname)):
        raise ClientError(
            "Over http:// anybody on the way reads the key: use https://, or allow_http on a network of your own.",
            code="bad_address",
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

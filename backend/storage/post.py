"""A POST to a URL that a user named: guarded as sources are, bounded in time, and never sent on elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import HTTPError

from backend.errors import SourceUnreachable, UnsupportedInput
from backend.storage.guard import NO_HOSTS, OwnHosts, Target, connect, parse_target
from backend.storage.pace import Pace, within


@dataclass(frozen=True)
class Answer:
    """What was answered, without its body, which nobody reads."""

    status: int
    retry_after_sec: float | None = None

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


def check_callback_url(url: str, field: str = "callback_url") -> None:
    """Raises UnsupportedInput for what is no http(s) URL, or has a user name in it."""
    try:
        parse_target(url)
    except UnsupportedInput as refusal:
        raise UnsupportedInput(f"{field}: {refusal.message}") from None


def host_of(url: str) -> str:
    """What logs may show of it: a callback's path and query are often its secret."""
    target = parse_target(url)
    return f"{target.scheme}://{target.host_header}"


def below(url: str, name: str) -> str:
    """`{url}/name`, before the query if there is one."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}", fragment=""))


def post_json(
    url: str, body: Mapping[str, Any], *, allow_private: bool, timeout_sec: float, own_hosts: OwnHosts = NO_HOSTS
) -> None:
    """Raises what `post` raises, and SourceUnreachable for every answer but 2xx."""
    headers = {"Content-Type": "application/json"}
    sent = json.dumps(dict(body)).encode()
    answer = post(url, sent, headers, allow_private=allow_private, timeout_sec=timeout_sec, own_hosts=own_hosts)
    if not answer.is_success:
        raise _not_taken(url, f"status {answer.status}")


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow_private: bool,
    timeout_sec: float,
    own_hosts: OwnHosts = NO_HOSTS,
) -> Answer:
    """Sends it; what is answered is not read. Redirects are not followed: they are an answer.

    Raises UnsupportedInput for a host that is not on the public internet, SourceUnreachable for one that does not
    answer within `timeout_sec` in all.
    """
    target = parse_target(url)
    pace = Pace(timeout_sec)
    failure = "no answer"
    with pace.waiting():
        for pool in connect(target, allow_private=allow_private, own_hosts=own_hosts):
            left_sec = pace.left_sec()
            if left_sec <= 0:
                break
            try:
                with within(pace):
                    answer = _exchange(pool, target, body, headers, left_sec)
            except (HTTPError, OSError) as error:  # its message holds the path
                failure = type(error).__name__
                continue
            finally:
                pool.close()
            if not pace.is_over:  # a head that was cut reads like a short one
                return answer
    raise _not_taken(url, failure)


def _exchange(
    pool: urllib3.HTTPConnectionPool, target: Target, body: bytes, headers: Mapping[str, str], left_sec: float
) -> Answer:
    response = pool.urlopen(
        "POST",
        target.path,
        body=body,
        headers={"Host": target.host_header, "User-Agent": "framefleet", **headers},
        redirect=False,
        preload_content=False,
        timeout=urllib3.Timeout(connect=left_sec, read=left_sec),
    )
    response.close()
    return Answer(response.status, _seconds(response.headers.get("Retry-After")))


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After in seconds; None for a date, which needs a clock that both sides share."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None


def _not_taken(url: str, failure: str) -> SourceUnreachable:
    return SourceUnreachable(f"{host_of(url)} did not take the callback ({failure}).")

"""A POST to a URL that a user named: guarded as sources are, bounded in time, and never sent on elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import HTTPError

from backend.errors import SourceUnreachable, UnsupportedInput
from backend.storage.guard import NO_HOSTS, OwnHosts, connect, parse_target
from backend.storage.pace import Pace, within


def check_callback_url(url: str) -> None:
    """Raises UnsupportedInput for what is no http(s) URL, or has a user name in it."""
    try:
        parse_target(url)
    except UnsupportedInput as refusal:
        raise UnsupportedInput(f"callback_url: {refusal.message}") from None


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
    """Sends it; what is answered is not read. Redirects are not followed, and are no success.

    Raises UnsupportedInput for a host that is not on the public internet, SourceUnreachable for every answer but 2xx
    and for a host that takes longer than `timeout_sec` in all.
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
                    response = pool.urlopen(
                        "POST",
                        target.path,
                        body=json.dumps(dict(body)).encode(),
                        headers={
                            "Host": target.host_header,
                            "Content-Type": "application/json",
                            "User-Agent": "framefleet",
                        },
                        redirect=False,
                        preload_content=False,
                        timeout=urllib3.Timeout(connect=left_sec, read=left_sec),
                    )
                status = response.status
                response.close()
            except (HTTPError, OSError) as error:  # its message holds the path
                failure = type(error).__name__
                continue
            finally:
                pool.close()
            if 200 <= status < 300 and not pace.is_over:  # a head that was cut reads like a short one
                return
            failure = f"status {status}"
            break
    raise SourceUnreachable(f"{host_of(url)} did not take the callback ({failure}).")

"""A small JSON document behind a URL, within a bound of time and of size."""

from __future__ import annotations

import json
from typing import Any

from urllib3.exceptions import HTTPError

from backend.errors import MediaTooLarge, SourceUnreachable
from backend.storage.http_link import Link, parts_of


def fetch_json(url: str, *, max_bytes: int, timeout_sec: float, allow_private: bool = True) -> Any:
    """For URLs of the operator's own: any address may be met.

    Raises what Link does, MediaTooLarge, and SourceUnreachable for what is no JSON.
    """
    link = Link(url, allow_private=allow_private, stall_sec=timeout_sec)
    try:
        with link.pace.waiting(), link.get(None) as response:
            data = b"".join(parts_of(response, max_bytes + 1, link.pace))
    except HTTPError as error:
        raise SourceUnreachable(f"{link.name} broke off ({type(error).__name__}): try again later.") from None
    finally:
        link.close()
    if len(data) > max_bytes:
        raise MediaTooLarge(f"{link.name} is larger than {max_bytes} bytes.")
    try:
        return json.loads(data)
    except ValueError:
        raise SourceUnreachable(f"{link.name} is no JSON.") from None

"""Which bytes of a file a request asks for: preconditions and ranges of RFC 9110, sections 13 and 14."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import request
from werkzeug.exceptions import PreconditionFailed, RequestedRangeNotSatisfiable
from werkzeug.http import quote_etag

_UNIT = re.compile(r"\s*bytes\s*=(.*)", re.IGNORECASE | re.DOTALL)
# A number of more digits than any size has makes the header one that may be ignored.
_RANGE = re.compile(r"([0-9]{1,30})-([0-9]{1,30})?|-([0-9]{1,30})")


@dataclass(frozen=True)
class Asked:
    """`status`: 200 for the whole, 206 for a part, 304 for whoever has it already. The bytes are [start, stop)."""

    status: int
    start: int
    stop: int


def asked_bytes(size_bytes: int, etag: str) -> Asked:
    """Of a file with this strong etag (without quotes). Raises PreconditionFailed, RequestedRangeNotSatisfiable.

    There is no date of last change to compare with, so headers with dates are ignored, as the RFC says, and an If-Range
    with one gets the whole file.
    """
    if "If-Match" in request.headers and not request.if_match.contains(etag):
        raise PreconditionFailed("The file is another one than If-Match names: fetch it anew.")
    if "If-None-Match" in request.headers and request.if_none_match.contains_weak(etag):
        return Asked(304, 0, 0)
    part = _part(size_bytes) if _wants_part(etag) else None
    return Asked(200, 0, size_bytes) if part is None else Asked(206, *part)


def _wants_part(etag: str) -> bool:
    return request.method == "GET" and request.headers.get("If-Range") in (None, quote_etag(etag))


def _part(size_bytes: int) -> tuple[int, int] | None:
    """None where the whole is to be sent: without a range, for one that is malformed or in other units, and for
    several at once, which nobody has to serve as a multipart body."""
    ranges = _ranges(request.headers.get("Range", ""))
    if not ranges or not size_bytes:
        return None
    found = [part for part in (_within(each, size_bytes) for each in ranges) if part]
    if not found:
        raise RequestedRangeNotSatisfiable(size_bytes, description=f"The file has {size_bytes} bytes.")
    return found[0] if len(found) == 1 else None


def _ranges(header: str) -> list[tuple[int | None, int | None]]:
    """(first, last), the first None where it is the last so many bytes; empty where it is no range of bytes."""
    unit = _UNIT.fullmatch(header)
    ranges: list[tuple[int | None, int | None]] = []
    for text in unit[1].split(",") if unit else ():
        if not text.strip(" \t"):  # a list may have empty elements
            continue
        match = _RANGE.fullmatch(text.strip(" \t"))
        if match is None:
            return []
        first, last, suffix = (None if group is None else int(group) for group in match.groups())
        if first is not None and last is not None and last < first:
            return []
        ranges.append((first, last) if first is not None else (None, suffix))
    return ranges


def _within(asked: tuple[int | None, int | None], size_bytes: int) -> tuple[int, int] | None:
    first, last = asked
    if first is None:
        assert last is not None, "a suffix has a length"
        start, stop = max(0, size_bytes - last), size_bytes
    else:
        start, stop = first, size_bytes if last is None else min(last + 1, size_bytes)
    return (start, stop) if start < stop else None

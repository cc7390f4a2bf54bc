"""Signed links: when one runs out, as its own query says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

EXPIRED_WORDS = (b"Request has expired", b"ExpiredToken", b"Signature not valid in the specified time frame")


def expires_at(url: str) -> datetime | None:
    """For links signed for S3, GCS, CloudFront (version 2 and 4) or Azure; None for every other."""
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    try:
        return _expires_at(query)
    except (ValueError, OverflowError):
        return None


def has_expired(url: str) -> bool:
    end = expires_at(url)
    return end is not None and end <= datetime.now(UTC)


def is_if_absent(url: str) -> bool:
    """Whether the link was signed for a place where there is nothing: it takes `If-None-Match: *` alone."""
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    return "if-none-match" in query.get("x-amz-signedheaders", "").split(";")


def says_expired(body: bytes) -> bool:
    """Whether the store's answer names this reason."""
    return any(words in body for words in EXPIRED_WORDS)


def _expires_at(query: Mapping[str, str]) -> datetime | None:
    for vendor in ("x-amz", "x-goog"):
        if f"{vendor}-expires" in query and f"{vendor}-date" in query:
            signed_at = datetime.strptime(query[f"{vendor}-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return signed_at + timedelta(seconds=int(query[f"{vendor}-expires"]))
    if "expires" in query and {"signature", "key-pair-id"} & set(query):
        return datetime.fromtimestamp(int(query["expires"]), UTC)
    if "se" in query and "sig" in query:
        end = datetime.fromisoformat(query["se"])
        return end if end.tzinfo else end.replace(tzinfo=UTC)
    return None

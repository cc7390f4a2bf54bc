"""Which version of the bytes behind a URL is meant, although servers' validators differ, are weak, or are not there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import urllib3

SAMPLE_BYTES = 64 * 1024
_SAMPLE = re.compile(r"(?:(.+) )?(sample-[0-9a-f]{32})")


@dataclass(frozen=True)
class Version:
    """A strong ETag, where there is one, and what was sampled: either is enough to know the bytes again.

    As text it is a source's etag, which rows and artifacts keep.
    """

    etag: str | None
    sample: str | None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.etag, self.sample)))


def parse_version(text: str) -> Version:
    match = _SAMPLE.fullmatch(text)
    return Version(match[1], match[2]) if match else Version(text, None)


def sample(size_bytes: int, read: Callable[[int, int], bytes]) -> str:
    """A digest of the size and of the first, middle and last 64 KiB."""
    digest = hashlib.sha256(str(size_bytes).encode())
    for offset in sorted({0, max(0, (size_bytes - SAMPLE_BYTES) // 2), max(0, size_bytes - SAMPLE_BYTES)}):
        digest.update(read(offset, min(SAMPLE_BYTES, size_bytes - offset)))
    return f"sample-{digest.hexdigest()[:32]}"


def validator_of(response: urllib3.BaseHTTPResponse) -> str | None:
    """What the server says of the version: ETag, else the modification time."""
    return response.headers.get("ETag") or response.headers.get("Last-Modified")


def strong(validator: str | None) -> str | None:
    """The validator if it is an ETag that stands for each byte (RFC 9110, 8.8.1)."""
    return validator if validator is not None and validator.startswith('"') else None

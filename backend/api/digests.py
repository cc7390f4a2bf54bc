"""Content-Digest and Repr-Digest (RFC 9530): the SHA-256 that a sender says of its bytes."""

from __future__ import annotations

import base64
import binascii
import re

from flask import request

from backend.errors import InvalidRequest

HEADERS = ("Content-Digest", "Repr-Digest")  # of a PUT without an encoding they say the same
_SHA256 = re.compile(r"(?:^|,)\s*sha-256\s*=\s*:([^:]*):")
SHA256_BYTES = 32


def said_sha256() -> str | None:
    """In hex; None where none is said. Other algorithms are left alone, as the RFC has it. Raises InvalidRequest."""
    for header in HEADERS:
        found = _SHA256.search(request.headers.get(header, ""))
        if found is not None:
            return _hex(found[1], header)
    return None


def _hex(text: str, header: str) -> str:
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != SHA256_BYTES:
        raise InvalidRequest(f"{header}: write sha-256=:BASE64: with the 32 bytes of the digest.")
    return digest.hex()

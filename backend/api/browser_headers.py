"""What answers tell browsers: which scripts run, what a page may fetch, and who may embed it."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from flask import Response, g, request

from backend.api.context import context
from backend.settings import Settings

NONCE_BYTES = 16
# Nothing of what is no page of ours runs or loads anything, should a browser show it as one.
CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# Scripts run by their nonce alone: a result that a job wrote is served from this origin too.
PAGE = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:{store}; connect-src 'self'{store}; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
AWS_HOSTS = "https://*.amazonaws.com"


def page_policy(nonce: str) -> str:
    return PAGE.format(nonce=nonce, store="".join(f" {each}" for each in store_origins(context().settings)))


def nonce() -> str:
    """For the scripts of this answer."""
    if "nonce" not in g:
        g.nonce = secrets.token_urlsafe(NONCE_BYTES)
    return str(g.nonce)


def store_origins(settings: Settings) -> list[str]:
    """Where the links that our store signs lead to; none where the API serves the bytes itself."""
    if not settings.storage_root_url.startswith(("s3://", "gs://")):
        return []
    if settings.s3_endpoint_url is None:
        return [AWS_HOSTS if settings.storage_root_url.startswith("s3://") else "https://storage.googleapis.com"]
    endpoint = urlsplit(settings.s3_endpoint_url)
    # A bucket may be the first part of the host's name.
    return [f"{endpoint.scheme}://{endpoint.netloc}", f"{endpoint.scheme}://*.{endpoint.netloc}"]


def guard_browser(response: Response) -> Response:
    """After every request."""
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CLOSED)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if request.path.startswith("/api/"):
        headers.setdefault("Cache-Control", "no-store")
    return response

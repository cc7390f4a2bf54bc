"""What answers tell browsers: which scripts run, what a page may fetch, and who may embed it."""

from __future__ import annotations

import secrets
from functools import lru_cache
from urllib.parse import urlsplit

from flask import Response, g, request

from backend.api.context import context
from backend.settings import Settings
from backend.storage import open_store

NONCE_BYTES = 16
# Nothing of what is no page of ours runs or loads anything, should a browser show it as one.
CLOSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# Scripts run by their nonce alone: a result that a job wrote is served from this origin too.
PAGE = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:{store}; connect-src 'self'{store}; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def page_policy(nonce: str) -> str:
    return PAGE.format(nonce=nonce, store="".join(f" {each}" for each in store_origins(context().settings)))


def nonce() -> str:
    """For the scripts of this answer."""
    if "nonce" not in g:
        g.nonce = secrets.token_urlsafe(NONCE_BYTES)
    return str(g.nonce)


@lru_cache(maxsize=8)
def _store_origins(url: str, endpoint: str | None, region: str | None, style: str) -> tuple[str, ...]:
    """As the links themselves have it: one host, which is the bucket's own wherever it has one."""
    given = {"storage_url": url, "s3_endpoint_url": endpoint, "s3_region": region, "s3_addressing_style": style}
    # Signing asks nobody; with the real keys it might ask for a role's.
    settings = Settings.model_validate(given | {"s3_access_key_id": "x", "s3_secret_access_key": "x"})
    link = open_store(settings).presign_get("x", expires_sec=60)
    if link is None:
        return ()
    parts = urlsplit(link)
    return (f"{parts.scheme}://{parts.netloc}",)


def store_origins(settings: Settings) -> tuple[str, ...]:
    """Where the links that our store signs lead to; none where the API serves the bytes itself."""
    if not settings.storage_root_url.startswith(("s3://", "gs://")):
        return ()
    endpoint, region = settings.s3_endpoint_url, settings.s3_region
    return _store_origins(settings.storage_root_url, endpoint, region, settings.s3_addressing_style)


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

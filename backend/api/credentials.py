"""The key that a request shows: in its Authorization header, or by the session that a browser signed in to."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import g, request
from werkzeug.exceptions import Forbidden

from backend.access.keys import StoredKey
from backend.access.tenants import DEFAULT_TENANT
from backend.api.access import EVERYBODY, Caller, Scope
from backend.api.context import context
from backend.api.locality import is_from_this_machine
from backend.api.rates import Counted, network_of
from backend.errors import CallerRefused, KeyMissing, RateLimited
from backend.events import Event, warn

COOKIE = "framefleet_session"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
MAX_TOKEN_CHARACTERS = 200
KEY_BEGINS = "ff_"
METRICS_ALONE = Caller(DEFAULT_TENANT, frozenset({Scope.METRICS}), "METRICS_TOKEN")
MISSING = (
    "Send a key: Authorization: Bearer ff_…. `framefleet keys create NAME` makes one; on the page, sign in with it."
)


@dataclass(frozen=True)
class Shown:
    """What a request shows of itself."""

    token: str
    is_session: bool

    @property
    def is_key(self) -> bool:
        """Whether it wants to be one of ours."""
        return not self.is_session and self.token.startswith(KEY_BEGINS)


def shown() -> Shown | None:
    """A header goes before a cookie. Raises Forbidden for what a page of another site makes a browser do."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return Shown(token.strip(), is_session=False)
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        return None
    check_own_page()
    return Shown(cookie, is_session=True)


def check_own_page() -> None:
    """A browser sends its cookie along whoever made the request, but it says who did. Raises Forbidden."""
    if request.method in SAFE_METHODS:
        return
    origin, settings = request.headers.get("Origin"), context().settings
    if settings.cors_credentials and origin in settings.cors_origin_list:
        return
    is_own = _host_of(origin) == request.host if origin else request.headers.get("Sec-Fetch-Site") == "same-origin"
    if not is_own:
        raise Forbidden("A session is for the page of this server alone: elsewhere send a key in the header.")


def identified() -> Caller:
    """On whose behalf the request is made. Raises KeyMissing, KeyInvalid, KeyExpired, KeyRevoked, RateLimited,
    Forbidden, DatabaseUnavailable."""
    what = shown()
    if what is None:
        return _without_key()
    if not what.is_session and _is_metrics_token(what.token):
        return METRICS_ALONE
    try:
        return caller_with(key_behind(what))
    except CallerRefused:
        # A proxy's own token; the cookie of another server at the same name, or an old one: no key was meant.
        if not what.is_key and _needs_none():
            return EVERYBODY
        raise


def key_behind(what: Shown) -> StoredKey:
    """Raises KeyInvalid, KeyExpired, KeyRevoked, RateLimited, DatabaseUnavailable."""
    app, address = context(), network_of(request.environ.get("REMOTE_ADDR", ""))
    token = what.token[:MAX_TOKEN_CHARACTERS]
    # Who shares the address of somebody that guesses, behind a proxy, is let in with a key that is known here.
    if not app.keys.knows(token, is_session=what.is_session):
        limited(app.rates.look(Counted.FAILURE, address))
    try:
        return app.keys.key_of_session(token) if what.is_session else app.keys.key_of(token)
    except CallerRefused as refused:
        g.challenge = 'Bearer error="invalid_token"'
        app.rates.take(Counted.FAILURE, address)
        warn(Event.CALLER_REFUSED, path=request.path, address=request.environ.get("REMOTE_ADDR"), code=refused.code)
        raise


def caller_with(key: StoredKey) -> Caller:
    return Caller(key.tenant, key.scopes, key.name)


def limited(wait_sec: int) -> None:
    """Raises RateLimited where there is something to wait for."""
    if wait_sec:
        raise RateLimited(f"Too many requests: ask again in {wait_sec} s.", wait_sec)


def _without_key() -> Caller:
    if not _needs_none():
        raise KeyMissing(MISSING)
    return EVERYBODY


def _needs_none() -> bool:
    match context().settings.api_access:
        case "open":
            return True
        case "auto":
            return is_from_this_machine()
        case "keys":
            return False


def _is_metrics_token(token: str) -> bool:
    wanted = context().settings.metrics_token
    return wanted is not None and hmac.compare_digest(
        token.encode("latin-1", "replace"), wanted.get_secret_value().encode()
    )


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None

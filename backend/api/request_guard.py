"""What is refused of any request before its route is asked: foreign hosts, doubtful paths, pages of other sites."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

from flask import Response, request
from werkzeug.exceptions import Forbidden

from backend.api.context import context
from backend.errors import HostNotAllowed, InvalidRequest

# Load balancers ask for these by address; they say nothing that is anybody's.
ANY_HOST = ("/health", "/ready")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_LOOPBACK_NAME = re.compile(r"(.*\.)?localhost\.?")
# Separators, dots and NUL in escapes, and steps: a proxy's rules and we would not see the same path.
_DOUBTFUL = re.compile(r"%2f|%5c|%2e|%00|\\|[\0-\x20\x7f]|/\.{1,2}(/|;|$)", re.IGNORECASE)

CORS_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
CORS_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, Range"
EXPOSED_HEADERS = "Content-Disposition, Content-Range, ETag, Link, Location, Retry-After"
PREFLIGHT_SECONDS = 600


def check_request() -> Response | None:
    """Before every request. The answer to a preflight of an origin that is allowed. Raises HostNotAllowed,
    InvalidRequest, Forbidden."""
    check_path()
    if request.path not in ANY_HOST:
        check_host()
    origin = request.headers.get("Origin")
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return _preflight(origin)
    if request.method not in SAFE_METHODS:
        _check_site(origin)
    return None


def check_path() -> None:
    """A path that a proxy may have understood in another way is refused, and so is one that a header shortened."""
    if request.environ.get("SCRIPT_NAME"):
        raise InvalidRequest("The header SCRIPT_NAME is not taken.")
    path = str(request.environ.get("PATH_INFO", "")).encode("latin-1", "replace")
    target = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI") or quote(path)
    raw = _path_of(str(target))
    if _DOUBTFUL.search(raw) or unquote_to_bytes(raw.encode("latin-1", "replace")) != path:
        raise InvalidRequest("The path has a separator, a dot or a NUL in an escape, or a step that is . or ..")


def check_host() -> None:
    """A name that leads here by its owner's will (DNS rebinding) makes a browser's page of theirs one of ours."""
    if not is_allowed_host(_host_name(), context().settings.allowed_host_names):
        raise HostNotAllowed("Nothing is known of this Host: whoever runs this server names it in ALLOWED_HOSTS.")


def is_allowed_host(name: str, allowed: tuple[str, ...]) -> bool:
    """Loopback names and addresses always: no page of another site can have one as its own."""
    if _LOOPBACK_NAME.fullmatch(name):
        return True
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return any(name == each or each == "*" or (each[:2] == "*." and name.endswith(each[1:])) for each in allowed)


def allow_origin(response: Response) -> Response:
    """After every request: what CORS says to the page that asked."""
    settings = context().settings
    if not settings.cors_origin_list:
        return response
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin in settings.cors_origin_list:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        if settings.cors_credentials:
            response.headers["Access-Control-Allow-Credentials"] = "true"
    return response


def _preflight(origin: str | None) -> Response | None:
    if origin not in context().settings.cors_origin_list:
        raise Forbidden("Pages of this origin may not call: whoever runs this server names it in CORS_ORIGINS.")
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = CORS_METHODS
    response.headers["Access-Control-Allow-Headers"] = CORS_HEADERS
    response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response


def _check_site(origin: str | None) -> None:
    """A page of another site may make a browser post here; the browser says so. Programs send neither header."""
    if origin is not None and origin in context().settings.cors_origin_list:
        return
    if request.headers.get("Sec-Fetch-Site") == "cross-site" or (origin is not None and not _is_ours(origin)):
        raise Forbidden("This request comes from a page of another site.")


def _is_ours(origin: str) -> bool:
    try:
        return urlsplit(origin).netloc == request.host
    except ValueError:
        return False


def _host_name() -> str:
    """Without its port, in small letters; empty for what is no host."""
    try:
        return (urlsplit(f"//{request.headers.get('Host', '')}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _path_of(target: str) -> str:
    """Of the request's target, as it came. Raises InvalidRequest for a target with another host than Host's."""
    if target.startswith("/") or "://" not in target:
        return target.partition("?")[0]
    authority, slash, rest = target.partition("://")[2].partition("/")
    if authority != request.headers.get("Host"):
        raise InvalidRequest("The request's target and its Host differ.")
    return (slash + rest).partition("?")[0] or "/"

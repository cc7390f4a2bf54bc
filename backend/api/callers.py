"""Who may call the routes that are not everybody's: a token in a header, a token of OIDC, or this machine alone."""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

from flask import request
from pydantic import SecretStr

from backend.api.context import context
from backend.errors import CallerRefused
from backend.events import Event, warn

PROCESS_HEADER, CLEANUP_HEADER = "X-Process-Token", "X-Cleanup-Token"
# Whoever passes requests on says so; then nobody knows where they come from.
PASSED_ON = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via")


def check_process_caller() -> None:
    """Raises CallerRefused, KeysUnavailable. All that is configured must hold."""
    app = context()
    if app.settings.process_token is None and app.bearer is None:
        _check_local("PROCESS_TOKEN or OIDC_AUDIENCE")
    if app.settings.process_token is not None:
        _check_token(PROCESS_HEADER, app.settings.process_token)
    if app.bearer is not None:
        app.bearer.check(request.headers.get("Authorization", ""))


def check_cleanup_caller() -> None:
    """Raises CallerRefused."""
    token = context().settings.cleanup_token
    if token is None:
        _check_local("CLEANUP_TOKEN")
    else:
        _check_token(CLEANUP_HEADER, token)


def _check_token(header: str, token: SecretStr) -> None:
    given = request.headers.get(header, "").encode("latin-1", "replace")
    if not hmac.compare_digest(given, token.get_secret_value().encode()):
        raise _refused(f"Send the right token in the header {header}.")


def _check_local(setting: str) -> None:
    """The server says which address it listens on, as WSGI's SERVER_NAME."""
    is_local = (
        _is_loopback(request.environ.get("SERVER_NAME", ""))
        and _is_loopback(request.environ.get("REMOTE_ADDR", ""))
        and _is_loopback(urlsplit(f"//{request.host}").hostname or "")  # a name that leads here today is no proof
        and not any(name in request.headers for name in PASSED_ON)
    )
    if not is_local:
        raise _refused(f"This route is for this machine alone until {setting} is set.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or the path of a socket
        return False


def _refused(words: str) -> CallerRefused:
    warn(Event.CALLER_REFUSED, path=request.path, address=request.environ.get("REMOTE_ADDR"))
    return CallerRefused(words)

"""Who may call the routes that are not everybody's: a token in a header, a token of OIDC, or this machine alone."""

from __future__ import annotations

import hmac

from flask import request
from pydantic import SecretStr

from backend.api.context import context
from backend.api.locality import is_from_this_machine
from backend.errors import CallerRefused
from backend.events import Event, warn

PROCESS_HEADER, CLEANUP_HEADER = "X-Process-Token", "X-Cleanup-Token"


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
    if not is_from_this_machine():
        raise _refused(f"This route is for this machine alone until {setting} is set.")


def _refused(words: str) -> CallerRefused:
    warn(Event.CALLER_REFUSED, path=request.path, address=request.environ.get("REMOTE_ADDR"))
    return CallerRefused(words)

"""Whether a request comes from this machine itself."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request

from backend.access.loopback import is_loopback

# Whoever passes requests on says so; then nobody knows where they come from.
PASSED_ON = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via")


def is_from_this_machine() -> bool:
    """The server says which address it listens on, as WSGI's SERVER_NAME."""
    return (
        is_loopback(request.environ.get("SERVER_NAME", ""))
        and is_loopback(request.environ.get("REMOTE_ADDR", ""))
        and is_loopback(_asked_host())  # a name that leads here today is no proof
        and not any(name in request.headers for name in PASSED_ON)
        # nginx, unless it is told more, says nothing but this: it asks in HTTP/1.0, under our own address.
        and request.environ.get("SERVER_PROTOCOL") != "HTTP/1.0"
    )


def _asked_host() -> str:
    try:
        return urlsplit(f"//{request.host}").hostname or ""
    except ValueError:  # no address, as in [::1
        return ""

"""Before every request: whether its caller may call the view that it leads to."""

from __future__ import annotations

from flask import Flask, current_app, g, request
from werkzeug.exceptions import Forbidden

from backend.api.access import EVERYBODY, access_of


def register(app: Flask) -> None:
    app.before_request(_admit)


def _admit() -> None:
    """Raises Forbidden."""
    if request.endpoint is None or _is_own_answer():
        return  # nothing of ours runs
    access = access_of(current_app.view_functions[request.endpoint])
    if access is None:
        raise Forbidden("Nobody may call this route: it does not say whom it is for.")
    if access.scope is not None:
        g.caller = EVERYBODY


def _is_own_answer() -> bool:
    """Flask answers OPTIONS by itself, from the routes."""
    rule = request.url_rule
    return request.method == "OPTIONS" and rule is not None and bool(getattr(rule, "provide_automatic_options", False))

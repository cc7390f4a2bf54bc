"""Before every request: whether its caller may call the view that it leads to, and how often."""

from __future__ import annotations

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import Forbidden

from backend.api.access import Caller, Scope, access_of, require
from backend.api.context import context
from backend.api.credentials import identified, limited
from backend.api.locality import is_from_this_machine
from backend.api.rates import Counted, network_of
from backend.api.streams import OF_ONE_TENANT, STREAMED
from backend.errors import Busy


def register(app: Flask) -> None:
    app.before_request(_admit)
    app.after_request(_say_how)
    app.teardown_request(_end_stream)


def _admit() -> None:
    """Raises Forbidden, ScopeMissing, RateLimited, and what a key that does not hold raises."""
    if request.endpoint is None or _is_own_answer():
        return  # nothing of ours runs
    access = access_of(current_app.view_functions[request.endpoint])
    if access is None:
        raise Forbidden("Nobody may call this route: it does not say whom it is for.")
    if access.scope is None:
        return
    g.caller = identified()
    _count(g.caller, access.scope)
    require(access.scope)
    _begin_stream(g.caller)


def _begin_stream(caller: Caller) -> None:
    """Raises Busy. Of this machine without a key nobody is counted."""
    if caller.key_name is None or not request.environ.get(STREAMED):
        return
    if not context().streams.begin(caller.tenant):
        raise Busy(f"Of one tenant {OF_ONE_TENANT} large bodies are read at once: wait a little, or send parts.")
    g.streams_of = caller.tenant


def _end_stream(failure: BaseException | None) -> None:
    if "streams_of" in g:
        context().streams.end(g.pop("streams_of"))


def _count(caller: Caller, scope: Scope) -> None:
    if is_from_this_machine():
        return
    who = f"key {caller.key_name}" if caller.key_name else network_of(request.environ.get("REMOTE_ADDR", ""))
    is_new = scope is Scope.JOBS_WRITE and request.method == "POST"
    limited(context().rates.take(Counted.CREATE if is_new else Counted.READ, who))


def _is_own_answer() -> bool:
    """Flask answers OPTIONS by itself, from the routes."""
    rule = request.url_rule
    return request.method == "OPTIONS" and rule is not None and bool(getattr(rule, "provide_automatic_options", False))


def _say_how(response: Response) -> Response:
    """RFC 6750: what a refused client would have to send."""
    if response.status_code == 401 or (response.status_code == 403 and "challenge" in g):
        response.headers["WWW-Authenticate"] = g.get("challenge", "Bearer")
    return response

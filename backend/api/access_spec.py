"""What each operation asks of its caller, in the OpenAPI document: read from the marks on the views."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask

from backend.api.access import access_of
from backend.api.credentials import COOKIE

KEY, SESSION = "api_key", "session"
SCHEMES: dict[str, Any] = {
    KEY: {"type": "http", "scheme": "bearer", "description": "a key, as `framefleet keys create NAME` makes it"},
    SESSION: {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "of a browser that signed in"},
}
_PLACE = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


def describe(app: Flask, spec: dict[str, Any]) -> None:
    """Adds `security`, with the scope, to every operation that needs one."""
    for rule in app.url_map.iter_rules():
        access = access_of(app.view_functions[rule.endpoint])
        operations = spec["paths"].get(_PLACE.sub(r"{\1}", rule.rule), {})
        if access is None or access.scope is None:
            continue
        for method in rule.methods or ():
            if method.lower() in operations:
                operations[method.lower()]["security"] = [{KEY: [access.scope]}, {SESSION: [access.scope]}]

"""Health for load balancers and people."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi import APIBlueprint, Tag
from sqlalchemy import text

from backend.api.context import context

blueprint = APIBlueprint("system", __name__, abp_tags=[Tag(name="system")])


@blueprint.get("/health", summary="The process lives")
def health() -> Response:
    return jsonify({"ok": True})


@blueprint.get("/ready", summary="The database answers")
def ready() -> Response:
    """503 with a problem when it does not."""
    with context().database.transaction() as connection:
        connection.execute(text("SELECT 1"))
    return jsonify({"ok": True})

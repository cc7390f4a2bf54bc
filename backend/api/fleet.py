"""/api/v1/fleet: pause and resume all workers."""

from __future__ import annotations

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint, Tag

from backend.api import schemas
from backend.api.access import Scope, needs
from backend.api.context import context
from backend.errors import InvalidRequest
from backend.jobs.resource import API
from backend.queue.fleet import FleetState, fleet_state, pause_fleet, resume_fleet

MAX_REASON_CHARACTERS = 500

blueprint = APIBlueprint(
    "fleet",
    __name__,
    url_prefix=f"{API}/fleet",
    abp_tags=[Tag(name="fleet")],
    abp_responses={"4XX": schemas.Problem, "5XX": schemas.Problem},
)


@blueprint.get("", summary="Whether the fleet is paused", responses={200: schemas.FleetResource})
@needs(Scope.FLEET_ADMIN)
def get_fleet() -> Response:
    return _answer(fleet_state(context().database))


@blueprint.post("/pause", summary="Pause all workers", responses={200: schemas.FleetResource})
@needs(Scope.FLEET_ADMIN)
def pause() -> Response:
    """No worker claims anything until the fleet is resumed; work in hand goes on. Body: none or `{"reason": …}`."""
    return _answer(pause_fleet(context().database, _reason()))


@blueprint.post("/resume", summary="Resume all workers", responses={200: schemas.FleetResource})
@needs(Scope.FLEET_ADMIN)
def resume() -> Response:
    return _answer(resume_fleet(context().database))


def _reason() -> str | None:
    request.max_content_length = 8 * MAX_REASON_CHARACTERS
    if not request.get_data(cache=True):
        return None
    body = request.get_json(silent=True, force=True)
    reason = body.get("reason") if isinstance(body, dict) else body
    if not isinstance(body, dict) or set(body) - {"reason"} or not isinstance(reason, str | None):
        raise InvalidRequest('Send nothing, or a JSON object as in {"reason": "store is away"}.')
    if reason is not None and (len(reason) > MAX_REASON_CHARACTERS or not _is_storable(reason)):
        raise InvalidRequest(f"reason: at most {MAX_REASON_CHARACTERS} characters of text")
    return reason


def _is_storable(text: str) -> bool:
    """PostgreSQL's text holds neither NUL nor half of a surrogate pair."""
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)


def _answer(state: FleetState) -> Response:
    paused_at = state.paused_at.isoformat() if state.paused_at else None
    return jsonify({"paused": state.paused, "paused_at": paused_at, "reason": state.reason})

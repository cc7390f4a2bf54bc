"""/api/v1/fleet: pause and resume all workers."""

from __future__ import annotations

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from backend.api import schemas
from backend.api.access import Scope, caller, needs
from backend.api.answers import json_body
from backend.api.context import context
from backend.api.locality import is_from_this_machine
from backend.api.new_job import parsed
from backend.jobs.resource import API
from backend.queue.fleet import FleetState, fleet_state, pause_fleet, resume_fleet

MAX_REASON_CHARACTERS = 500
MAX_BODY_BYTES = 16 * MAX_REASON_CHARACTERS  # a character takes up to twelve as JSON escapes it

blueprint = APIBlueprint(
    "fleet",
    __name__,
    url_prefix=f"{API}/fleet",
    abp_tags=[Tag(name="fleet")],
    abp_responses={"4XX": schemas.Problem, "5XX": schemas.Problem},
)


class Pause(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(None, max_length=MAX_REASON_CHARACTERS)


@blueprint.get("", summary="Whether the fleet is paused", responses={200: schemas.FleetResource})
@needs(Scope.FLEET_ADMIN)
def get_fleet() -> Response:
    return _answer(fleet_state(context().database))


@blueprint.post(
    "/pause",
    summary="Pause all workers",
    responses={200: schemas.FleetResource},
    request_body=json_body(Pause, required=False),
)
@needs(Scope.FLEET_ADMIN)
def pause() -> Response:
    """No worker claims anything until the fleet is resumed; work in hand goes on. Body: none or `{"reason": …}`."""
    return _answer(pause_fleet(context().database, _reason(), _who()))


@blueprint.post("/resume", summary="Resume all workers", responses={200: schemas.FleetResource})
@needs(Scope.FLEET_ADMIN)
def resume() -> Response:
    return _answer(resume_fleet(context().database))


def _reason() -> str | None:
    request.max_content_length = MAX_BODY_BYTES
    return parsed(Pause, request.get_json()).reason if request.get_data(cache=True) else None


def _who() -> str:
    """For whoever asks later who paused it."""
    return caller().key_name or ("this machine" if is_from_this_machine() else "a caller without a key")


def _answer(state: FleetState) -> Response:
    paused_at = state.paused_at.isoformat() if state.paused_at else None
    told = {"paused_at": paused_at, "paused_by": state.paused_by, "reason": state.reason}
    return jsonify({"paused": state.paused, **told})

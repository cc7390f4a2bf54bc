"""/api/v1/fleet: pause and resume all workers, what they have to do, and what failed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from backend.api import schemas
from backend.api.access import Scope, caller, needs
from backend.api.answers import POLLED_HEADERS, json_answer, json_body, unchanged
from backend.api.conditional import polled
from backend.api.context import context
from backend.api.locality import is_from_this_machine
from backend.api.new_job import parsed
from backend.jobs.resource import API, chunk_resource
from backend.queue.figures import read_figures
from backend.queue.fleet import FleetState, fleet_state, pause_fleet, resume_fleet
from backend.queue.fleet_work import FailedChunk, failed_chunks, fleet_history, lanes_now
from backend.states import DeepMode

MAX_REASON_CHARACTERS = 500
MAX_BODY_BYTES = 16 * MAX_REASON_CHARACTERS  # a character takes up to twelve as JSON escapes it

blueprint = APIBlueprint(
    "fleet",
    __name__,
    url_prefix=f"{API}/fleet",
    abp_tags=[Tag(name="fleet")],
    abp_responses={"4XX": schemas.Problem, "5XX": schemas.Problem},
)


class HistoryQuery(schemas.Query):
    hours: int = Field(24, ge=1, le=48, description="how far the history goes back")


class LaneNow(BaseModel):
    """The chunks of one tenant in one mode."""

    deep_mode: DeepMode
    tenant: str
    queued: int
    processing: int
    on_hold: int = Field(description="of paused jobs, and of jobs whose source fails")
    oldest_queued_seconds: int = Field(description="how long the one that waits longest has been due")


class Sample(BaseModel):
    """Of the GPU fleet: means over the time from `at` to the next one, and the chunks completed in it."""

    at: str
    queued: int
    processing: int
    workers: int
    completed_chunks: int


class FleetQueue(BaseModel):
    lanes: list[LaneNow]
    figures: dict[str, float] = Field(description="as the metrics send them: docs/metrics.md")
    history: list[Sample] = Field(description="300 at most; those written while an analysis worker ran")


class FailedChunkResource(schemas.ChunkResource):
    job_id: UUID
    job_name: str | None = Field(description="null for another tenant's")
    tenant: str
    retryable: bool = Field(description="whether this caller may retry the job")


class FailedChunks(BaseModel):
    chunks: list[FailedChunkResource]


class Pause(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(None, max_length=MAX_REASON_CHARACTERS)


@blueprint.get("", summary="Whether the fleet is paused", responses={200: schemas.FleetResource})
@needs(Scope.FLEET_ADMIN)
def get_fleet() -> Response:
    return _answer(fleet_state(context().database))


@blueprint.get(
    "/queue",
    summary="What there is to do, by lane, and how that was",
    responses={200: json_answer(FleetQueue, "the queue", **POLLED_HEADERS), 304: unchanged()},
)
@needs(Scope.FLEET_ADMIN)
def get_queue(query: HistoryQuery) -> Response:
    database = context().database
    figures = {name: round(value, 2) for name, _, value in read_figures(database).named()}
    history = fleet_history(database, query.hours)
    return polled({"lanes": lanes_now(database), "figures": figures, "history": history})


@blueprint.get(
    "/failed-chunks",
    summary="The chunks of the jobs that failed last",
    responses={200: json_answer(FailedChunks, "the chunks", **POLLED_HEADERS), 304: unchanged()},
)
@needs(Scope.FLEET_ADMIN)
def get_failed_chunks() -> Response:
    """Of a week. To try one again, `retry` its job: another tenant's is retried by that tenant."""
    return polled({"chunks": [_failed(each) for each in failed_chunks(context().database)]})


def _failed(failed: FailedChunk) -> dict[str, Any]:
    is_own = failed.tenant == caller().tenant
    return {
        **chunk_resource(failed.chunk),
        "job_id": str(failed.chunk.job_id),
        "job_name": failed.job_name if is_own else None,
        "tenant": failed.tenant,
        "retryable": is_own,
    }


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

"""For load balancers, operators and Prometheus: health, metrics, workers, the GPU."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any, Literal

from flask import Response, jsonify
from flask_openapi import APIBlueprint, Tag
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, Field

from backend import __version__
from backend.api.access import Scope, caller, needs, open_to_all
from backend.api.answers import POLLED_HEADERS, json_answer, unchanged
from backend.api.conditional import polled
from backend.api.context import context
from backend.api.metrics import exposition
from backend.db.migrate import check_schema
from backend.errors import ObjectNotFound
from backend.jobs.resource import API
from backend.jobs.waiting import person
from backend.media.gpu import gpu_facts
from backend.queue.figures import GPU_WORKER, list_workers
from backend.queue.fleet_now import ANALYSIS_WORKER, recent_fleet

READY_KEY = "probes/ready"  # of no object

blueprint = APIBlueprint("system", __name__, abp_tags=[Tag(name="system")])


class Ok(BaseModel):
    ok: Literal[True]


class WorkerResource(BaseModel):
    worker_id: str
    kind: str = Field(description="gpu_chunk_worker, analysis_worker, …")
    state: str = Field(description="working, idle, draining (asked to stop), or silent (not heard of for 45 s)")
    machine: str | None = Field(description="its host's name; of a remote worker the name that its token was given")
    device: str | None = Field(description="what it detects on: a GPU's name, or CPU, 2 threads, OpenVINO")
    job_id: str | None = Field(description="what it works on")
    job_name: str | None = Field(description="null for another tenant's")
    phase: str | None
    chunk_index: int | None
    working_since: str | None
    trouble: str | None = Field(description="why it claims nothing")
    hardware: list[str] = Field(description="its encoders and decoders that were tried and work: h264_nvenc, nvdec")
    started_at: str
    seen_at: str


class WorkerList(BaseModel):
    workers: list[WorkerResource]


class WorkerCounts(BaseModel):
    """Of workers that live."""

    chunk: int
    analysis: int


class Status(BaseModel):
    paused: bool = Field(description="the whole fleet: nothing is claimed")
    paused_at: str | None
    paused_by: str | None
    reason: str | None
    workers: WorkerCounts
    version: str
    scopes: list[Scope] = Field(description="what the caller's key is for")


class Gpu(BaseModel):
    """Nulls where the API's machine has no NVIDIA GPU; the workers' GPUs are their own."""

    cuda_available: bool
    device_name: str | None
    memory_total_mb: int | None
    memory_used_mb: int | None
    memory_reserved_mb: int | None
    memory_free_mb: int | None
    hardware: list[str] = Field(description="its encoders and decoders that were tried and work: h264_nvenc, nvdec")


WORKERS: dict[Any, Any] = {200: json_answer(WorkerList, "the workers", **POLLED_HEADERS), 304: unchanged()}


@blueprint.get("/health", summary="The process lives", responses={200: Ok})
@open_to_all
def health() -> Response:
    return jsonify({"ok": True})


@blueprint.get("/ready", summary="Database and store answer", responses={200: Ok})
@open_to_all
def ready() -> Response:
    """503 with a problem that says what is wrong: `database_unavailable` where the database does not answer, or lacks
    this version's tables; `storage_error` where the object store does not answer, or lacks the bucket."""
    app = context()
    check_schema(app.database)
    with app.database_of_caller.transaction():
        pass  # the role that requests run as can be taken
    with suppress(ObjectNotFound):  # which tells more than a HEAD: that has no words for a bucket that is missing
        app.store.get(READY_KEY)
    return jsonify({"ok": True})


@blueprint.get(
    "/metrics",
    summary="For Prometheus",
    responses={200: {"description": "text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
@needs(Scope.METRICS)
def metrics() -> Response:
    app = context()
    text_format = exposition(app.database, app.settings.prometheus_multiproc_dir)
    return Response(text_format, content_type=CONTENT_TYPE_PLAIN_0_0_4)


@blueprint.get("/gpu", summary="The GPU of the API's machine", responses={200: Gpu})
@needs(Scope.METRICS)
def gpu() -> Response:
    return jsonify(asdict(gpu_facts()) | {"hardware": context().hardware})


@blueprint.get(
    f"{API}/status",
    summary="Whether work goes on, and what the caller may do",
    responses={200: json_answer(Status, "the status", **POLLED_HEADERS), 304: unchanged()},
)
@needs(Scope.JOBS_READ)
def status() -> Response:
    """For a page that is open for long: one small answer, and 304 while nothing changes."""
    fleet, mine = recent_fleet(context().database), caller().scopes
    name = fleet.paused_by
    return polled(
        {
            "paused": fleet.paused_at is not None,
            "paused_at": fleet.paused_at.isoformat() if fleet.paused_at else None,
            "paused_by": person(name) if name and Scope.FLEET_ADMIN not in mine else name,
            "reason": fleet.reason,
            "workers": {"chunk": fleet.living(GPU_WORKER), "analysis": fleet.living(ANALYSIS_WORKER)},
            "version": __version__,
            "scopes": sorted(mine),
        }
    )


@blueprint.get(f"{API}/workers", summary="Who works, and on what", responses=WORKERS)
@needs(Scope.FLEET_ADMIN)
def workers() -> Response:
    return polled({"workers": list_workers(context().database, named_for=caller().tenant)})

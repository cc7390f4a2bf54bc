"""For load balancers, operators and Prometheus: health, metrics, workers, the GPU."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Literal

from flask import Response, jsonify
from flask_openapi import APIBlueprint, Tag
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, Field

from backend.api.access import Scope, needs, open_to_all
from backend.api.context import context
from backend.api.gpu import gpu_facts
from backend.api.metrics import exposition
from backend.db.migrate import check_schema
from backend.errors import ObjectNotFound
from backend.jobs.resource import API
from backend.queue.figures import list_workers

READY_KEY = "probes/ready"  # of no object

blueprint = APIBlueprint("system", __name__, abp_tags=[Tag(name="system")])


class Ok(BaseModel):
    ok: Literal[True]


class WorkerResource(BaseModel):
    worker_id: str
    kind: str = Field(description="gpu_chunk_worker, analysis_worker, …")
    state: str = Field(description="working, idle, draining (asked to stop), or silent (not heard of for 45 s)")
    job_id: str | None
    chunk_index: int | None
    trouble: str | None = Field(description="why it claims nothing")
    hardware: list[str] = Field(description="its encoders and decoders that were tried and work: h264_nvenc, nvdec")
    started_at: str
    seen_at: str


class WorkerList(BaseModel):
    workers: list[WorkerResource]


class Gpu(BaseModel):
    """Nulls where the API's machine has no NVIDIA GPU; the workers' GPUs are their own."""

    cuda_available: bool
    device_name: str | None
    memory_total_mb: int | None
    memory_used_mb: int | None
    memory_reserved_mb: int | None
    memory_free_mb: int | None
    hardware: list[str] = Field(description="its encoders and decoders that were tried and work: h264_nvenc, nvdec")


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


@blueprint.get(f"{API}/workers", summary="Who works, and on what", responses={200: WorkerList})
@needs(Scope.FLEET_ADMIN)
def workers() -> Response:
    return jsonify({"workers": list_workers(context().database)})

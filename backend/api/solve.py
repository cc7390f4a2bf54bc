"""POST /api/v1/jobs/{id}/solve: the camera path that a version with these parameters would have."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from backend.api import schemas
from backend.api.access import Scope, needs
from backend.api.answers import RETRY_AFTER, json_answer
from backend.api.context import context
from backend.api.jobs import PROBLEMS
from backend.api.new_job import MAX_JSON_BYTES
from backend.api.versions import asked_params
from backend.db.models import Job
from backend.errors import InvalidState
from backend.jobs.earlier import StoredEarlier
from backend.jobs.resource import API
from backend.jobs.versions import check_same_chunks, shared_chunks
from backend.kinds import kind_named
from backend.kinds.path_preview import Gathered, PathPreview, SolvedPath
from backend.media.facts import VideoFacts
from backend.media.sound_facts import as_probed
from backend.vision.window import Floats

DECIMALS = 1


class SolveRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    params: dict[str, Any] = Field(default_factory=dict, description="laid over the job's own, name by name")
    around_sec: float | None = Field(
        None, ge=0, strict=False, description="from the first frame: only what a change at that time changes"
    )


class SplitFrames(BaseModel):
    start: int
    stop: int
    windows: list[list[tuple[float, float, float, float]]] = Field(
        description="of each frame from start on: x, y, width, height of each further panel"
    )


class Solved(BaseModel):
    frames: int = Field(description="of the film")
    from_frame: int = Field(description="the first one in the arrays")
    x: list[float] = Field(description="of the window's left edge, a value for each frame, in source pixels")
    y: list[float]
    width: list[float]
    height: list[float]
    panels: list[SplitFrames] = Field(description="where the picture is split: the windows beside the first one")
    shots: list[tuple[int, int]] = Field(description="[first frame, frame behind the last]")
    output_size: tuple[int, int]
    subject_track_ids: list[int]
    whole: bool
    certificate: dict[str, Any] | None = Field(description="of a whole path, as camera_path.json has it")
    warnings: list[str]


SOLVED: dict[Any, Any] = {
    200: json_answer(Solved, "the path"),
    429: json_answer(schemas.Problem, "busy", **RETRY_AFTER),
}

blueprint = APIBlueprint("solve", __name__, url_prefix=API, abp_tags=[Tag(name="jobs")], abp_responses=PROBLEMS)


@blueprint.before_request
def _bound_json() -> None:
    request.max_content_length = MAX_JSON_BYTES


@blueprint.post("/jobs/<uuid:job_id>/solve", summary="Solve a camera path without rendering it", responses=SOLVED)
@needs(Scope.JOBS_READ)
def solve(path: schemas.JobPath, body: SolveRequest) -> Response:
    """Nothing is stored. 409 until the chunks are analysed; 429 `busy` while others solve, with Retry-After."""
    app = context()
    job = app.jobs.get(path.job_id)
    kind = kind_named(job.kind)
    if kind.preview is None:
        raise InvalidState(f"Jobs of kind {job.kind} have no camera path that could be edited.")
    params = asked_params(job, body.params)
    check_same_chunks(job, params)
    facts = as_probed(job.probe)
    if not isinstance(facts, VideoFacts):  # only kinds of videos have paths, so nobody has looked yet
        raise InvalidState("The job is not planned yet; there is something to change once its chunks are analysed.")
    with app.editing.turns.one():
        gathered = _gathered(job, kind.preview, facts)
        solved = kind.preview.solve(gathered, facts, kind.parse_params(params), body.around_sec)
    return jsonify(shown(solved))


def _gathered(job: Job, preview: PathPreview[Any], facts: VideoFacts) -> Gathered:
    """Of the job's chunks, which are those of its whole family."""
    app = context()

    def gather() -> Gathered:
        chunks = shared_chunks(app.jobs, job)
        earlier = StoredEarlier(app.store, job.id, {}, lambda: chunks, lambda: None)
        return preview.gather(earlier, facts, kind_named(job.kind).parse_params(job.params), app.settings)

    return app.editing.gathered(job.version_of or job.id, gather)


def shown(solved: SolvedPath) -> dict[str, Any]:
    return {
        "frames": solved.frames,
        "from_frame": solved.from_frame,
        **{name: _rounded(getattr(solved, name)) for name in ("x", "y", "width", "height")},
        "panels": list(solved.panels),
        "shots": [list(shot) for shot in solved.shots],
        "output_size": list(solved.output_size),
        "subject_track_ids": list(solved.subject_track_ids),
        "whole": solved.certificate is not None,
        "certificate": solved.certificate,
        "warnings": list(solved.warnings),
    }


def _rounded(values: Floats) -> list[float]:
    return [float(value) for value in values.round(DECIMALS).tolist()]

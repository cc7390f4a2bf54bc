"""Old and new workers on one queue: nobody claims what it does not know, and nothing of it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from backend.db.engine import Database
from backend.errors import ArtifactCorrupt, NewerVersion
from backend.jobs.service import JobService, NewJob
from backend.kinds.crop_params import CropParams
from backend.media.facts import VideoFacts
from backend.queue.figures import read_figures
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from backend.storage import open_store
from backend.versions import SCHEMA_VERSION
from backend.vision.artifacts import ChunkArtifact, load_artifact, sha256_hex
from backend.workers.janitor import Janitor
from backend.workers.vitals import presence
from tests.conftest import Said
from tests.integration.conftest import wait_until
from tests.integration.queue.helpers import (
    aggregating_job,
    claim_of,
    complete_and_claim,
    job_claim_of,
    job_row,
    planned_job,
    sql,
)

NEWER = {
    "a kind": "UPDATE video_analysis_jobs SET kind = 'dubbing' WHERE id = :id",
    "a version": f"UPDATE video_analysis_jobs SET schema_version = {SCHEMA_VERSION + 1} WHERE id = :id",
}
# The shape of what is written, for SCHEMA_VERSION. Different now? Raise the number, and write the new shape here: the
# workers of the version before must not claim what they cannot read.
SHAPE = {
    "version": 7,
    "params": (
        "aspect conf crf draw_timestamp fill hdr iou keep_aspect keyframes max_upscale min_crop_ratio "
        "output_height output_width padding_ratio pose preset sample_fps shots smooth_alpha smoothing subject "
        "time_sec width x y zoom"
    ),
    "facts": (
        "appearance audio_codecs clock codec coded_height coded_width container deep duration_pts duration_seconds fps "
        "frame_count frames_listed full_range has_audio height interlaced keyframe_pts light_level mastering matrix "
        "mirrored peak_nits primaries rotation sample_aspect_ratio seconds_cut_off start_pts time_base transfer width"
    ),
    "artifact": (
        "boxes camera chunk_index class classes confidence cuts_pts detections detector end_pts etag frame_pts "
        "frame_size id job_id level looks motion mouths params_sha256 pts sampled_pts schema size source speech "
        "start_pts time_base tracks voice"
    ),
}

NOT_WRITTEN = "most_frames"  # a fact for the planner alone (backend/jobs/plan.py)


def fields_of(schema: dict[str, Any]) -> str:
    """Names of fields, of those of parts too."""
    parts = [schema, *schema.get("$defs", {}).values()]
    return " ".join(sorted({name for part in parts for name in part.get("properties", {})}))


def test_whoever_changes_what_is_written_raises_the_version() -> None:
    shapes = {"params": CropParams, "facts": VideoFacts, "artifact": ChunkArtifact}
    now = {name: fields_of(model.model_json_schema()) for name, model in shapes.items()}  # type: ignore[attr-defined]
    now["facts"] = now["facts"].replace(f"{NOT_WRITTEN} ", "")
    assert now | {"version": SCHEMA_VERSION} == SHAPE


@pytest.fixture(params=NEWER.values(), ids=NEWER)
def make_newer(request: pytest.FixtureRequest, database: Database) -> Callable[[UUID], object]:
    return lambda job_id: sql(database, request.param, id=job_id)


def test_a_chunk_that_a_worker_does_not_know_is_left_in_the_queue_and_others_go_on(
    database: Database, queue: Queue, make_newer: Callable[[UUID], object]
) -> None:
    newer, known = planned_job(database, 2), planned_job(database, 2)
    make_newer(newer)
    first = claim_of(queue)
    _, second = complete_and_claim(queue, first)
    assert second is not None
    assert {first.job_id, second.job_id} == {known}
    assert queue.claim_chunk(DeepMode.GPU) is None
    assert not queue.has_queued(DeepMode.GPU)
    rows = sql(database, "SELECT status, attempts, failures FROM video_analysis_chunks WHERE job_id = :id", id=newer)
    assert rows == [{"status": "queued", "attempts": 0, "failures": 0}] * 2


def test_a_job_that_a_worker_does_not_know_is_neither_planned_nor_joined(
    database: Database, queue: Queue, service: JobService, make_newer: Callable[[UUID], object]
) -> None:
    ready = aggregating_job(database, queue)
    unplanned = service.create(NewJob("crop", "file:///film.mp4", "film.mp4", {})).id
    for job_id in (ready, unplanned):
        make_newer(job_id)
    assert queue.claim_job(JobStatus.QUEUED) is None
    assert queue.claim_job(JobStatus.AGGREGATING) is None
    assert [job_row(database, job_id)["failures"] for job_id in (ready, unplanned)] == [0, 0]


def test_a_job_that_turns_out_too_new_is_left_to_newer_workers(database: Database, queue: Queue) -> None:
    job_id = aggregating_job(database, queue)
    queue.put_back_job(job_claim_of(queue), NewerVersion("The artifact is of a newer version."))
    sql(database, "UPDATE video_analysis_jobs SET available_at = now()")
    assert queue.claim_job(JobStatus.AGGREGATING) is None
    assert job_row(database, job_id)["failures"] == 0


@pytest.mark.parametrize("change", [{"poses": []}, {"schema": "framefleet.chunk/2"}], ids=["field", "schema"])
def test_an_artifact_of_a_newer_worker_is_not_called_corrupt(change: dict[str, object]) -> None:
    artifact: dict[str, object] = {
        "schema": "framefleet.chunk/1", "job_id": "j", "chunk_index": 0, "source": {"etag": "e", "size": 1},
        "params_sha256": "0" * 64, "time_base": [1, 1000], "start_pts": 0, "end_pts": 10, "frame_size": [16, 16],
        "detector": {}, "frame_pts": [0], "sampled_pts": [0], "tracks": [], "detections": [],
    }  # fmt: skip
    sound = json.dumps(artifact).encode()
    assert load_artifact(sound, expected_sha256=sha256_hex(sound)).job_id == "j"
    newer = json.dumps(artifact | change).encode()
    with pytest.raises(NewerVersion):
        load_artifact(newer, expected_sha256=sha256_hex(newer))
    with pytest.raises(ArtifactCorrupt):
        load_artifact(newer, expected_sha256=sha256_hex(sound))


def test_work_that_no_worker_knows_is_counted_and_said(
    database: Database, queue: Queue, settings: Settings, said: list[Said], make_newer: Callable[[UUID], object]
) -> None:
    planned_job(database, 1)
    make_newer(planned_job(database, 3))
    janitor = Janitor(database, queue, open_store(settings), settings)
    assert read_figures(database).unknown_jobs == 0  # no worker at all is another alarm
    with presence("gpu_chunk_worker", settings, database):
        wait_until(lambda: read_figures(database).workers, 60, "the worker's row")
        assert read_figures(database).unknown_jobs == 1
        janitor.report_unknown_work()
        (told,) = [each for each in said if each.event == "work_unknown"]
        assert (told.level, told.fields["jobs"]) == ("warning", 1)
        sql(database, f"UPDATE workers SET knows = '{{crop,dubbing}}', schema_version = {SCHEMA_VERSION + 1}")
        assert read_figures(database).unknown_jobs == 0

"""A long film's job cancelled in the middle of each step: whoever has it in work finds out before it writes more."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.db.engine import Database
from backend.settings import Settings
from backend.vision.pose.detector import PoseDetector
from tests.integration.every_kind import Asked
from tests.integration.striking import cancelled_in, finish, steps_of, take_back
from tests.integration.studio import Studio, living_worker
from tests.integration.whole_films import ffmpeg

CROP = Asked("crop", {"sample_fps": 2, "preset": "ultrafast"})
STEPS = steps_of(CROP)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    picture = ("-f", "lavfi", "-i", "testsrc2=r=10:s=192x108", "-f", "lavfi", "-i", "sine=r=48000", "-t", 4)
    ffmpeg(*picture, "-c:v", "libx264", "-preset", "ultrafast", "-g", 10, "-pix_fmt", "yuv420p", "-c:a", "aac", path)
    return path


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[f"{step.phase}-{step.role}" for step in STEPS])
def test_a_job_cancelled_in_any_step_leaves_no_film_and_no_work(
    number: int, database: Database, settings: Settings, pose_detector: PoseDetector, clip: Path, tmp_path: Path
) -> None:
    cutting = settings.model_copy(update={"chunk_seconds": 2.0, "render_fanout_seconds": 2.0, "detector": "hog"})
    with living_worker(database, cutting):
        studio = Studio(database, cutting, pose_detector)
        job_id = studio.plan(clip.as_uri(), CROP.kind, **CROP.params)
        for earlier in STEPS[:number]:
            finish(studio, job_id, earlier)
        cancelled_in(STEPS[number], job_id, cutting, tmp_path / "worker.log")
        take_back(studio)
        studio.run()
    job = studio.service.get(job_id)
    assert (job.status, job.output_uri) == ("cancelled", None)
    assert {chunk.status for chunk in studio.service.chunks(job_id)} <= {"completed", "failed"}

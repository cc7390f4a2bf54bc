"""Pose jobs through the queue: who claims them, both deep modes, what is stored where, what is said without a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import boto3
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.api.app import create_app
from backend.db.engine import Database
from backend.jobs.layout import result_key
from backend.settings import Settings
from backend.states import DeepMode
from backend.vision.pose.detector import PoseDetector
from backend.workers.needs import needs_ahead
from tests.conftest import SAMPLE_PHOTO, Said
from tests.integration.conftest import read_film
from tests.integration.studio import Studio, living_worker
from tests.integration.whole_films import ffmpeg

QUICK: dict[str, Any] = {"sample_fps": 2, "preset": "ultrafast"}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of a photo of people, with a tone."""
    path = tmp_path_factory.mktemp("street") / "street <b>.mp4"
    ffmpeg(
        "-loop", "1", "-framerate", "10", "-i", SAMPLE_PHOTO, "-f", "lavfi", "-i", "sine=r=48000", "-t", "3", "-vf",
        "scale=320:-2", "-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p", path,
    )  # fmt: skip
    return path


@pytest.fixture
def posing(settings: Settings, pose_model: Path) -> Settings:
    return settings.model_copy(
        update={"pose_model_name": str(pose_model), "chunk_seconds": 1.5, "render_fanout_seconds": 2.0}
    )


@pytest.fixture
def studio(database: Database, posing: Settings, pose_detector: PoseDetector) -> Iterator[Studio]:
    with living_worker(database, posing):
        yield Studio(database, posing, pose_detector)


def test_it_goes_through_its_phases_and_its_results_lie_where_they_are_looked_for(
    studio: Studio, street: Path, said: list[Said], tmp_path: Path
) -> None:
    job_id = studio.plan(street.as_uri(), "pose", render=True, **QUICK)
    shown, chunks = [], []
    while studio.step():
        shown.append(studio.resource(job_id)["progress_pct"])
        chunks.append(studio.resource(job_id)["chunks_pct"])
    done = studio.resource(job_id)
    assert (done["status"], done["stage"], done["progress_pct"]) == ("done", "DONE", 100), done["error"]
    assert shown == sorted(shown) and max(shown[:-1]) <= 99
    assert (chunks[:2], chunks[-1]) == ([50, 99], 100)
    assert {chunk.phase for chunk in studio.service.chunks(job_id)} == {"landmarks", "render"}
    assert done["detector"]["type"] == "yolo-pose"
    results = json.loads(studio.store.get(result_key(job_id, "final_results.json")))
    assert results["schema"] == "framefleet.pose/1" and results["job_id"] == str(job_id)
    assert len(results["people"]) >= 2
    output_key = studio.service.get(job_id).output_key
    assert output_key is not None and output_key.endswith("_pose.json")
    assert json.loads(studio.store.get(output_key)) == results
    film = studio.file(job_id, "skeleton.mp4", tmp_path)
    assert read_film(film).seconds == pytest.approx(read_film(street).seconds, abs=1e-6)
    assert read_film(film).audio_sec == pytest.approx(3, abs=0.1)
    client = create_app(studio.settings).test_client()
    served = client.get(f"/api/v1/jobs/{job_id}/output")
    assert (served.status_code, served.mimetype, served.get_json()) == (200, "application/json", results)
    report = client.get(done["links"]["report.html"])
    assert (report.status_code, report.mimetype) == (200, "text/html")
    assert report.text == studio.store.get(result_key(job_id, "report.html")).decode()
    assert "chunks/chunk_0001.json" in " ".join(studio.store.list(f"jobs/{job_id}/"))
    assert not [each for each in said if each.level == "error"]


def test_over_s3_the_report_and_the_results_are_read_back_over_the_api(
    s3_server: str, database: Database, posing: Settings, pose_detector: PoseDetector, street: Path
) -> None:
    bucket = f"films-{uuid4()}"
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket=bucket)
    client.upload_file(str(street), bucket, "in/street.mp4")
    remote = Settings.model_validate(posing.model_dump(exclude_unset=True) | {"storage_url": f"s3://{bucket}/store"})
    app = create_app(remote.model_copy(update={"allowed_prefixes": f"s3://{bucket}/in/"}))
    api = app.test_client()
    asked = {"kind": "pose", "input": f"s3://{bucket}/in/street.mp4", "params": {"sample_fps": 2}}
    job_id = api.post("/api/v1/jobs", json=asked).get_json()["id"]
    app.extensions["framefleet"].planners.shutdown()  # it has planned the job
    studio = Studio(database, remote, pose_detector)
    while studio.step():
        continue
    done = api.get(f"/api/v1/jobs/{job_id}").get_json()
    assert (done["status"], done["total_chunks"]) == ("done", 2), done["error"]
    assert done["output"]["uri"] == f"s3://{bucket}/in/street_pose.json"
    results = api.get(done["links"]["final_results.json"]).get_json()
    assert len(results["people"]) >= 2 and len(results["timeline"]) == 6
    beside = client.get_object(Bucket=bucket, Key="in/street_pose.json")
    assert json.loads(beside["Body"].read()) == results
    report = api.get(done["links"]["report.html"])
    assert (report.status_code, report.mimetype) == (200, "text/html")
    assert f"jobs/{job_id}/report.html" in " ".join(studio.store.list(f"jobs/{job_id}/"))
    assert "<svg" in report.text or "<img" in report.text
    app.extensions["framefleet"].database.close()


def test_deep_mode_cpu_is_one_chunk_with_the_same_landmarks_and_the_same_source_again_is_adopted(
    studio: Studio, database: Database, posing: Settings, pose_detector: PoseDetector, street: Path, said: list[Said]
) -> None:
    first, second = studio.plan(street.as_uri(), "pose", **QUICK), studio.plan(street.as_uri(), "pose", **QUICK)
    studio.run()
    assert [each.event for each in said].count("chunk_adopted") == 2
    whole = Studio(database, posing.model_copy(update={"reuse_chunks": False}), pose_detector, DeepMode.CPU)
    third = whole.plan(street.as_uri(), "pose", **QUICK)
    whole.run()
    done = whole.resource(third)
    assert (done["status"], done["deep_mode"], done["total_chunks"]) == ("done", "cpu", 1)
    assert studio.resource(first)["total_chunks"] == 2
    one, other, last = (
        json.loads(studio.store.get(result_key(each, "final_results.json"))) for each in (first, second, third)
    )
    assert one["timeline"] == other["timeline"] == last["timeline"]


class Shown:
    """A detector that keeps the pictures which it is shown."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.pictures: list[NDArray[np.uint8]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def detect(self, pictures: Sequence[NDArray[np.uint8]], **options: Any) -> Any:
        self.pictures += pictures
        return self._inner.detect(pictures, **options)


def test_poses_beside_another_result_are_those_of_a_pose_job_and_cost_no_second_decode(
    studio: Studio,
    database: Database,
    posing: Settings,
    pose_detector: PoseDetector,
    street: Path,
    tmp_path: Path,
) -> None:
    people, poses = Shown(pose_detector), Shown(pose_detector)
    settings = posing.model_copy(update={"reuse_chunks": False})
    both = Studio(database, settings, poses, people=lambda: people)
    asked = both.plan(street.as_uri(), "crop", pose=True, **QUICK)
    both.run()
    assert len(poses.pictures) >= 6
    assert all(one is other for one, other in zip(people.pictures, poses.pictures, strict=True))
    alone, plain = both.plan(street.as_uri(), "pose", **QUICK), both.plan(street.as_uri(), "crop", **QUICK)
    both.run()

    def left(job_id: UUID, name: str) -> dict[str, Any]:
        found = json.loads(studio.store.get(result_key(job_id, name)))
        return {field: value for field, value in found.items() if field != "job_id"}

    assert [both.resource(each)["status"] for each in (asked, alone, plain)] == ["done"] * 3, both.resource(asked)
    assert left(asked, "tracks.json") == left(plain, "tracks.json") and left(plain, "tracks.json")["tracks"]
    assert left(asked, "final_results.json") == left(alone, "final_results.json")
    films = [both.output(each, tmp_path) for each in (asked, plain)]
    assert read_film(films[0]).seconds == read_film(films[1]).seconds
    assert "report.html" in both.resource(asked)["links"] and "report.html" not in both.resource(plain)["links"]
    assert both.resource(asked)["detector"]["pose_type"] == "yolo-pose"


def test_what_a_job_of_two_results_left_is_adopted_by_the_next(
    studio: Studio, street: Path, said: list[Said], database: Database, posing: Settings, pose_detector: PoseDetector
) -> None:
    both = Studio(database, posing, pose_detector, people=lambda: pose_detector)
    first, second = (both.plan(street.as_uri(), "crop", pose=True, **QUICK) for _ in range(2))
    both.run()
    assert [both.resource(each)["status"] for each in (first, second)] == ["done"] * 2
    assert [each.event for each in said].count("chunk_adopted") == 2


def test_a_worker_without_a_pose_model_leaves_pose_jobs_to_others(
    studio: Studio, database: Database, settings: Settings, pose_detector: PoseDetector, street: Path
) -> None:
    job_id = studio.plan(street.as_uri(), "pose", **QUICK)
    other = Studio(database, settings, pose_detector)
    assert other.queue.claim_chunk(DeepMode.GPU) is None
    assert not other.queue.has_queued(DeepMode.GPU)
    assert needs_ahead(database, other.tools, None) == {"detector"}
    assert needs_ahead(database, studio.tools, None) == {"detector", "pose"}
    assert needs_ahead(database, other.tools, job_id) == {"pose"}
    assert studio.queue.claim_chunk(DeepMode.GPU) is not None


def test_run_without_a_pose_model_says_what_to_set_and_starts_nothing(street: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "POSE_MODEL_NAME"}
    project = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "backend", "run", "pose", str(street)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": project},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "set POSE_MODEL_NAME" in " ".join(done.stderr.split())
    assert not (tmp_path / ".framefleet" / "postgres").exists()

"""Kinds whose windows and regions a user sets, from the request to the film: PostgreSQL, S3, both workers."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.db.engine import Database
from backend.db.models import Job
from backend.jobs.plan import Planner
from backend.jobs.progress import progress_of
from backend.jobs.service import JobService, NewJob
from backend.kinds.tools import Tools
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from backend.versions import SCHEMA_VERSION
from backend.vision.detector import Detections
from backend.workers.analysis_worker import Aggregator
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.loop import WorkerLoop
from tests.conftest import Said
from tests.integration.films import Shape, grey, write_film
from tests.integration.queue.helpers import sql
from tests.integration.test_render import luma_of
from tests.integration.whole_films import Nobody

WIDTH, HEIGHT, FRAMES = 192, 108, 60
LAMP = (24, 40)  # width, height of what moves
STEP_PX = 2
QUICK = {"preset": "ultrafast", "crf": 6}
FIXED = {"x": 96, "y": 54, "radius_x": 30, "radius_y": 30}


class SeesTheLamp(Nobody):
    """A detector for whom the one bright thing is a person."""

    def detect(self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float) -> list[Detections]:
        return [self._lamp(picture) for picture in pictures]

    def _lamp(self, picture: NDArray[np.uint8]) -> Detections:
        rows, columns = np.nonzero(picture.max(axis=2) > 160)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return Detections(np.array([box], np.float64), np.array([0.9]))


class Studio:
    """A planner and both workers of one installation, in this process; everything else is in the bucket."""

    def __init__(self, database: Database, settings: Settings, s3: Any, bucket: str, folder: Path) -> None:
        self.database, self.settings, self.s3, self.bucket, self.folder = database, settings, s3, bucket, folder
        self.service, self.store, self.queue = JobService(database), open_store(settings), Queue(database, settings)
        tools = Tools(settings, SeesTheLamp)
        self.chunks = ChunkWorker(self.queue, self.store, tools, takes_next=False)
        self.whole = Aggregator(database, self.queue, self.store, settings)
        self.loop = WorkerLoop("test", lambda: False, self.queue.tend, settings)

    def like(self, **changes: Any) -> Studio:
        """Another on the same database and bucket."""
        settings = Settings.model_validate(self.settings.model_dump(exclude_unset=True) | changes)
        return Studio(self.database, settings, self.s3, self.bucket, self.folder)

    def shoot(self, kind: str, **params: Any) -> tuple[Job, list[int]]:
        """The job at its end, and the percents that it showed."""
        job_id = self.service.create(NewJob(kind, f"s3://{self.bucket}/in/clip.mp4", "clip.mp4", QUICK | params)).id
        claim = self.queue.claim_job(JobStatus.QUEUED, job_id)
        assert claim is not None
        Planner(self.database, self.queue, self.store, self.settings).plan(claim)
        shown = [self._pct(job_id)]
        while self.whole.work_once(self.loop) or self.chunks.work_once(self.loop):
            shown.append(self._pct(job_id))
        return self.service.get(job_id), shown

    def film(self, job: Job) -> Path:
        assert job.output_uri is not None, job.error_message
        path = self.folder / f"{job.kind}.mp4"
        self.s3.download_file(self.bucket, job.output_uri.removeprefix(f"s3://{self.bucket}/"), str(path))
        return path

    def _pct(self, job_id: Any) -> int:
        return progress_of(self.database, [self.service.get(job_id)])[0].pct


@pytest.fixture
def studio(s3_server: str, database: Database, settings: Settings, clip: Path, tmp_path: Path) -> Studio:
    s3 = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    bucket = f"films-{uuid.uuid4()}"
    s3.create_bucket(Bucket=bucket)
    s3.upload_file(str(clip), bucket, "in/clip.mp4")
    changes = {"storage_url": f"s3://{bucket}/store", "chunk_seconds": 1.0, "render_fanout_seconds": 1.0}
    return Studio(
        database, Settings.model_validate(settings.model_dump(exclude_unset=True) | changes), s3, bucket, tmp_path
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright thing goes to the right over noise; 2.4 s."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    ground = np.random.default_rng(4).integers(40, 120, (HEIGHT, WIDTH), np.uint8)
    seconds = [Fraction(number, 25) for number in range(FRAMES)]
    shape = Shape(colour={"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}, gop=10)
    return write_film(path, (grey(lit(ground, number)) for number in range(FRAMES)), seconds, shape)


def lit(ground: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    luma, x = ground.copy(), left_of(number)
    luma[30 : 30 + LAMP[1], x : x + LAMP[0]] = 230
    return luma


def left_of(number: int) -> int:
    return 20 + STEP_PX * number


def share_out(database: Database) -> None:
    """A chunk worker lives, so that films are rendered in pieces."""
    values = f"('w', 'gpu_chunk_worker', {SCHEMA_VERSION})"
    sql(database, f"INSERT INTO workers (worker_id, kind, schema_version) VALUES {values}")


def mean_column(luma: NDArray[np.uint8]) -> float:
    return float(np.nonzero(luma > 180)[1].mean()) + 0.5


def test_framing_follows_its_keyframes(studio: Studio) -> None:
    keys = [
        {"frame": 0, "x": 0, "y": 0, "width": 96, "height": 96},
        {"frame": FRAMES - 1, "x": 59, "y": 12, "width": 96, "height": 96},
    ]
    job, shown = studio.shoot("framing", keyframes=keys)
    assert (job.status, job.phase) == ("done", "list"), job.error_message
    assert job.output_uri == f"s3://{studio.bucket}/in/clip_framed.mp4"
    pictures = luma_of(studio.film(job))
    assert len(pictures) == FRAMES and pictures[0].shape == (96, 96)
    for number in (0, 20, 40):  # the lamp is whole in the window
        assert mean_column(pictures[number]) == pytest.approx(left_of(number) + 12 - number, abs=0.5)
    assert shown == sorted(shown) and shown[-1] == 100


def test_a_region_follows_its_track(studio: Studio) -> None:
    """All but the lamp is black, wherever it goes: chunks joined over their seams, and a film in pieces."""
    share_out(studio.database)
    region = {"track_id": 1, "room": 0.5}
    job, shown = studio.shoot(
        "overlay", highlight_regions=[region], effect_type="spotlight", darken_strength=0, feather=0, sample_fps=25
    )
    assert (job.status, job.phase) == ("done", "render"), job.error_message
    for number, luma in enumerate(luma_of(studio.film(job))):
        rows, columns = np.nonzero(luma > 24)
        assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((left_of(number) + 12, 50), abs=1.5)
        assert np.ptp(columns) + 1 == pytest.approx(LAMP[0] * 1.5, abs=4)
        assert np.ptp(rows) + 1 == pytest.approx(LAMP[1] * 1.5, abs=4)
    assert shown == sorted(shown) and shown[-1] == 100
    assert b'"id":1' in studio.store.get(f"jobs/{job.id}/tracks.json")


def test_a_followed_region_adopts_what_a_crop_found_and_passes_over_jobs_without_detection(
    studio: Studio, said: list[Said]
) -> None:
    """It would be cut otherwise; the newest earlier job on the source has pieces of a film and no such chunks."""
    share_out(studio.database)
    cropped, _ = studio.shoot("crop", aspect="1:1", sample_fps=5)
    fixed, _ = studio.shoot("overlay", highlight_regions=[FIXED])
    assert (cropped.status, fixed.status, fixed.phase) == ("done", "done", "render")
    assert fixed.completed_chunks > 0
    said.clear()
    bounds = {"chunk_seconds": 0.6, "chunk_seconds_min": 0.5, "chunk_seconds_max": 4.0}
    studio = studio.like(**bounds)
    job, _ = studio.shoot("overlay", highlight_regions=[{"track_id": 1}], sample_fps=5)
    assert job.status == "done", job.error_message
    chunks = {each.id: studio.service.chunks(each.id) for each in (cropped, job)}
    ours, theirs = (
        [(chunk.start_pts, chunk.end_pts) for chunk in chunks[each.id] if chunk.phase == "detect"]
        for each in (job, cropped)
    )
    assert ours == theirs and len(ours) == 3
    assert [each.event for each in said].count("chunk_adopted") == 3


def test_fixed_regions_need_nobody_who_detects(studio: Studio) -> None:
    job, shown = studio.shoot("overlay", highlight_regions=[FIXED], effect_type="spotlight", darken_strength=0)
    assert (job.status, job.phase, job.total_chunks) == ("done", "list", 0), job.error_message
    luma = luma_of(studio.film(job))[0]
    assert luma[:10].max() <= 20 and luma[44:64, 86:106].mean() > 50
    assert shown == sorted(shown)


def test_what_does_not_fit_this_film_fails_the_job_by_name_and_writes_nothing(studio: Studio) -> None:
    job, _ = studio.shoot("framing", keyframes=[{"frame": 0, "x": 100, "y": 0, "width": 96, "height": 96}])
    assert (job.status, job.error_code, job.output_uri) == ("failed", "invalid_params", None)
    assert (job.error_message or "").startswith("keyframes.0: the window of 96x96 at 100,0 leaves the picture")
    listed = studio.s3.list_objects_v2(Bucket=studio.bucket, Prefix="in/")["Contents"]
    assert [each["Key"] for each in listed] == ["in/clip.mp4"]

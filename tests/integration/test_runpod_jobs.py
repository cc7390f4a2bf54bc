"""What RunPod's worker makes of whole requests over S3, and of one that is cancelled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.local.sample import make_sample
from backend.settings import Settings
from backend.workers.runpod_handler import Handler
from tests.integration.conftest import read_film
from tests.integration.test_render import deep_film


@pytest.fixture
def bucket(s3_server: str, tmp_path: Path) -> Any:
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket="editor")
    client.upload_file(str(make_sample(tmp_path / "clip.mp4", seconds=1)), "editor", "in/clip.mp4")
    return client


@pytest.fixture
def handler(bucket: Any, database: Database, settings: Settings) -> Handler:
    given = {"default_bucket": "editor", "detector": "hog"}
    found = Settings.model_validate(settings.model_dump(exclude_unset=True) | given)
    return Handler(database, found, lambda request, progress: None)


EDITS = {
    "framing": {"crop_keyframes": [{"frame": 0, "x": 0, "y": 0, "width": 360, "height": 640}], "output_width": 90},
    "annotate": {"draw": "boxes,ids,labels", "sample_fps": 2},
}


@pytest.mark.parametrize("kind", EDITS)
def test_framing_and_annotate_are_there(handler: Handler, bucket: Any, tmp_path: Path, kind: str) -> None:
    asked = {"job_id": "e", "type": kind, "input_video_key": "in/clip.mp4"}
    asked |= {"params": {"preset": "ultrafast", **EDITS[kind]}}  # type: ignore[dict-item]
    answer = handler.answer({"id": "r-1", "input": asked})
    assert answer == {"status": "success", "output_video_key": "output/e/video.mp4"}
    bucket.download_file("editor", "output/e/video.mp4", str(tmp_path / "film.mp4"))
    film = read_film(tmp_path / "film.mp4")
    assert (len(film.pts), film.audio_sec is not None) == (25, True)


def test_the_older_form_of_encoding_becomes_a_film(handler: Handler, bucket: Any, tmp_path: Path) -> None:
    bucket.upload_file(str(tmp_path / "clip.mp4"), "editor", "show/may/raw.mp4")
    asked = {"name": "cut", "input_video_name": "raw.mp4", "bucket": "editor", "bucket_parent_folder": "show/may"}
    answer = handler.answer({"id": "r-2", "input": {"task": "ENCODING", "parameters": asked}})
    made = {"output_video_key": "show/may/cut.mp4", "output_uri": "gs://editor/show/may/cut.mp4"}
    assert answer == {"status": "success", **made}
    bucket.download_file("editor", "show/may/cut.mp4", str(tmp_path / "cut.mp4"))
    before, after = read_film(tmp_path / "clip.mp4"), read_film(tmp_path / "cut.mp4")
    assert (after.size, after.seconds) == (before.size, before.seconds)
    assert after.audio_sec == pytest.approx(before.audio_sec, abs=0.01)


def test_no_encoder_left_fails_the_job_and_is_no_success(
    handler: Handler, bucket: Any, database: Database, tmp_path: Path
) -> None:
    """A predecessor printed a line and reported success. No encoder takes a picture of 8x8 as ten-bit HEVC."""
    grey = [np.full((8, 8), 500, np.uint16), *[np.full((4, 4), 512, np.uint16)] * 2]
    tiny = deep_film(tmp_path / "tiny.mkv", grey, colorspace=9, color_primaries=9, color_trc=16, color_range=1)
    bucket.upload_file(str(tiny), "editor", "in/tiny.mkv")
    asked = {"job_id": "tiny", "type": "encode", "input_video_key": "in/tiny.mkv", "params": {"hdr": "keep"}}
    answer = handler.answer({"id": "r-3", "input": asked})
    assert answer == {"status": "error", "error": "encode_failed: Every encoder refused the picture."}
    assert [(job.status, job.error_code) for job in JobService(database).list()] == [("failed", "encode_failed")]
    assert bucket.list_objects_v2(Bucket="editor", Prefix="output/tiny/")["KeyCount"] == 0

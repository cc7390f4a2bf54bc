"""/api/pipeline, reading without credentials, and the split's manifest: what two predecessors' clients use."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray

from backend.api import pipeline
from backend.api.app import create_app
from backend.db.engine import Database
from backend.errors import FramefleetError
from backend.jobs.plan import Planner
from backend.jobs.service import JobService, NewJob
from backend.queue.queue import Queue
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_source, open_store
from backend.storage.presign import presign
from backend.workers.one_job import OneJob
from backend.workers.runpod_handler import Handler
from tests.integration.conftest import read_film
from tests.integration.test_render import luma_of
from tests.integration.whole_films import ffmpeg
from tests.loopback import Request, loopback

SEGMENTS = "pipelines/show-1/stage/segmentation/audio_segments"


@pytest.fixture
def videos(s3_server: str) -> Any:
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket="videos")
    for left in client.list_objects_v2(Bucket="videos").get("Contents", ()):  # servers of one process share it
        client.delete_object(Bucket="videos", Key=left["Key"])
    return client


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings.model_copy(update={"allowed_prefixes": "s3://videos"}))
    yield app.test_client()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine that has none: neither in its environment nor in files nor from its cloud."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


def public(objects: dict[str, bytes], asked: list[str]) -> Any:
    def answer(request: Request) -> tuple[int, bytes]:
        asked.append(request.path)
        found = objects.get(unquote(request.path))
        return (403, b"") if found is None else (200, found)  # as a bucket that nobody may list

    return answer


def test_the_status_tells_which_segments_are_there(videos: Any, client: FlaskClient) -> None:
    for index in (0, 2, 70):
        videos.put_object(Bucket="videos", Key=f"{SEGMENTS}/segment_{index}.wav", Body=b"RIFF")
    videos.put_object(Bucket="videos", Key=f"{SEGMENTS}/segment_1.wav.part", Body=b"")
    shown = client.get("/api/pipeline/status?job_id=show-1&expected=3").get_json()
    assert (shown["job_id"], shown["expected"], shown["ready"]) == ("show-1", 3, 2)
    assert [(each["index"], each["ready"]) for each in shown["segments"]] == [(0, True), (1, False), (2, True)]
    assert shown["segments"][1]["uri"] == f"s3://videos/{SEGMENTS}/segment_1.wav"
    unknown = client.get("/api/pipeline/status?job_id=show-1").get_json()
    assert (unknown["ready"], len(unknown["segments"])) == (2, 64)  # the first 64 where nobody says how many
    for bad in ("job_id=../x", "job_id=a&expected=0", "expected=3"):
        assert client.get(f"/api/pipeline/status?{bad}").status_code == 422


def test_the_status_is_read_where_anybody_may_read_when_the_api_has_no_credentials(
    no_credentials: None, settings: Settings
) -> None:
    with loopback(public({f"/v/{SEGMENTS}/segment_1.wav": b"RIFF"}, [])) as address:
        app = create_app(settings.model_copy(update={"videos_public_base_url": f"{address}/v"}))
        shown = app.test_client().get("/api/pipeline/status?job_id=show-1&expected=2").get_json()
    app.extensions["framefleet"].database.close()
    assert [each["ready"] for each in shown["segments"]] == [False, True]


def test_without_credentials_a_bucket_is_read_from_its_public_address(no_credentials: None, settings: Settings) -> None:
    asked: list[str] = []
    with loopback(public({"/pub/in/a film?.mp4": b"bytes of it"}, asked)) as address:
        given = settings.model_copy(update={"public_base_url": f"{address}/pub/", "public_bucket": "open"})
        source = open_source("s3://open/in/a film?.mp4", given)
        assert source.read_at(0, 5) == b"bytes"
        with pytest.raises(FramefleetError) as other:
            open_source("s3://closed/in/a film?.mp4", given)
        everything = given.model_copy(update={"public_bucket": None})
        assert open_source("s3://closed/in/a film?.mp4", everything).info.size_bytes == 11
    assert other.value.code == "no_presign_method_available"
    assert other.value.message.startswith("NO_PRESIGN_METHOD_AVAILABLE: ")
    assert "R2_PUBLIC_BASE_URL" in other.value.message
    assert "/pub/in/a%20film%3F.mp4" in asked


RATE = 8000


def noise(seconds: float) -> NDArray[np.int16]:
    return np.random.default_rng(3).integers(-20_000, 20_000, int(seconds * RATE), dtype=np.int16)


def wav(samples: NDArray[np.int16]) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples.tobytes())
    return file.getvalue()


def samples_of(data: bytes) -> NDArray[np.int16]:
    with wave.open(io.BytesIO(data)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, RATE)
        return np.frombuffer(sound.readframes(sound.getnframes()), np.int16)


def body_of(videos: Any, key: str) -> bytes:
    return bytes(videos.get_object(Bucket="videos", Key=key)["Body"].read())


def work_on_all(database: Database, settings: Settings) -> None:
    """One worker, on each job until it is over."""
    store = open_store(settings)
    for job in JobService(database).list():
        over = OneJob(job.id, database, store, settings, Surroundings(store)).run(listens=False)
        assert over.status == "done", (over.kind, over.error_code, over.error_message)


SPANS = [{"start_sec": 0, "duration_sec": 0.5}, {"start_sec": 0.5, "duration_sec": 1.25}]


def test_a_pipeline_is_staged_and_cut_to_the_sample(
    videos: Any, client: FlaskClient, database: Database, settings: Settings
) -> None:
    sound = noise(2)
    videos.put_object(Bucket="videos", Key="in/talk of may.wav", Body=wav(sound))
    videos.put_object(Bucket="videos", Key="in/face.png", Body=b"a face")
    videos.put_object(Bucket="videos", Key="in/spans.json", Body=json.dumps(SPANS).encode())
    asked = {
        "job_id": "show-1",
        "master_audio_r2_uri": "s3://videos/in/talk of may.wav",
        "presenter_image_r2_uri": "s3://videos/in/face.png",
        "segments_uri": "s3://videos/in/spans.json",
    }
    answer = client.post("/api/pipeline/segment", json=asked)
    assert answer.status_code == 202, answer.get_json()
    work_on_all(database, settings)
    assert body_of(videos, "pipelines/show-1/inputs/audio/talk_of_may.wav") == wav(sound)
    assert body_of(videos, "pipelines/show-1/inputs/image/face.png") == b"a face"
    assert np.array_equal(samples_of(body_of(videos, f"{SEGMENTS}/segment_0.wav")), sound[:4000])
    assert np.array_equal(samples_of(body_of(videos, f"{SEGMENTS}/segment_1.wav")), sound[4000:14000])
    shown = client.get("/api/pipeline/status?job_id=show-1&expected=2").get_json()
    assert (shown["ready"], [each["ready"] for each in shown["segments"]]) == (2, [True, True])
    again = client.post("/api/pipeline/segment", json=asked).get_json()
    assert again == answer.get_json()
    assert len(JobService(database).list()) == 4


def test_a_worker_without_any_credentials_does_a_pipeline_of_signed_links(
    videos: Any, settings: Settings, database: Database, request: pytest.FixtureRequest
) -> None:
    sound = noise(1)
    videos.put_object(Bucket="videos", Key="in/talk.wav", Body=wav(sound))
    app = create_app(settings.model_copy(update={"fully_presigned": True, "allowed_prefixes": "s3://videos"}))
    asked = {"job_id": "show-1", "master_audio_r2_uri": "s3://videos/in/talk.wav", "segments": SPANS[:1]}
    answer = app.test_client().post("/api/pipeline/segment", json=asked)
    assert answer.status_code == 202, answer.get_json()
    app.extensions["framefleet"].planners.shutdown()
    shown = app.test_client().get("/api/v1/jobs").get_data(as_text=True)
    assert "Signature" not in shown and "inputs/audio" not in answer.get_json()["segments"][0]["uri"]
    request.getfixturevalue("no_credentials")
    bare = settings.model_copy(update={"s3_access_key_id": None, "s3_secret_access_key": None})
    with pytest.raises(FramefleetError, match="NO_PRESIGN_METHOD_AVAILABLE"):
        open_source("s3://videos/in/talk.wav", bare)
    work_on_all(database, bare)
    assert np.array_equal(samples_of(body_of(videos, f"{SEGMENTS}/segment_0.wav")), sound[:4000])
    assert body_of(videos, "pipelines/show-1/inputs/audio/talk.wav") == wav(sound)
    app.extensions["framefleet"].database.close()


WORDS = "1\n00:00:00,400 --> 00:00:05,000\nHello\n"


def test_runpods_tasks_run_on_signed_links_alone(
    videos: Any, settings: Settings, database: Database, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sound, clip = noise(1), tmp_path / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=gray:r=25:s=320x180:d=1", "-c:v", "libx264", "-preset", "ultrafast", clip)
    videos.put_object(Bucket="videos", Key="in/talk.wav", Body=wav(sound))
    videos.put_object(Bucket="videos", Key="in/words.srt", Body=WORDS.encode())
    videos.upload_file(str(clip), "videos", "in/clip.mp4")

    def get(name: str) -> str:
        return presign(f"s3://videos/in/{name}", "GET", settings)

    def put(name: str) -> dict[str, Any]:
        return {"output_put_url": presign(f"s3://videos/out/{name}", "PUT", settings)}

    tasks = {
        "AUDIO_TRIM": {"source_uri": get("talk.wav"), "start_sec": 0.25, "duration_sec": 0.5, **put("piece.wav")},
        "STAGE_OBJECT": {"source_uri": get("talk.wav"), **put("copy.wav")},
        "ENCODING": {
            "input_video_uri": get("clip.mp4"),
            "input_audio_uri": get("talk.wav"),
            "subtitles": True,
            "subtitles_uri": get("words.srt"),
            **put("film.mp4"),
        },
    }
    request.getfixturevalue("no_credentials")
    bare = settings.model_copy(update={"s3_access_key_id": None, "s3_secret_access_key": None})
    handler = Handler(database, bare, lambda request, progress: None)
    for number, (task, parameters) in enumerate(tasks.items()):
        answer = handler.answer({"id": f"r-{number}", "input": {"task": task, "parameters": parameters}})
        assert answer["status"] == "success", answer
        assert "Signature" not in str(answer)
    assert np.array_equal(samples_of(body_of(videos, "out/piece.wav")), sound[2000:6000])
    assert body_of(videos, "out/copy.wav") == wav(sound)
    (tmp_path / "film.mp4").write_bytes(body_of(videos, "out/film.mp4"))
    film = read_film(tmp_path / "film.mp4")
    assert (len(film.pts), film.audio_sec) == (25, pytest.approx(1, abs=0.05))
    assert [bool(np.ptp(luma) > 60) for luma in luma_of(tmp_path / "film.mp4")] == [False] * 10 + [True] * 15


BAD: list[tuple[Any, str]] = [
    ({}, "job_id"),
    ({"job_id": "a/b", "master_audio_http_url": "https://h/a.mp3", "segments": []}, "job_id"),
    ({"job_id": "a", "segments": [{"start_sec": 0, "duration_sec": 1}]}, "master_audio_r2_uri or"),
    ({"job_id": "a", "master_audio_http_url": "https://h/a.mp3"}, "segments or segments_uri"),
    ({"job_id": "a", "master_audio_http_url": "https://h/a.mp3", "segments": []}, "segments"),
    (
        {
            "job_id": "a",
            "master_audio_http_url": "https://h/a",
            "segments": [{"start_sec": -1, "duration_sec": 1}],
        },
        "segments.0.start_sec",
    ),
    (
        {
            "job_id": "a",
            "master_audio_r2_uri": "s3://b/a",
            "presenter_image_r2_uri": "s3://b/i",
            "presenter_image_http_url": "https://h/i",
            "segments": [{"start_sec": 0, "duration_sec": 1}],
        },
        "presenter_image_r2_uri or",
    ),
]


def test_a_document_without_end_takes_neither_disk_nor_thread(
    videos: Any, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "DOCUMENT_SEC", 0.3)
    asked = {"job_id": "a", "master_audio_http_url": "https://h/a.mp3"}
    with endless(fast=True) as address:  # that knows no ranges, so it would be fetched whole
        answer = client.post("/api/pipeline/segment", json={**asked, "segments_uri": address})
        assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_value"), answer.get_json()
    with endless(fast=False) as address:
        began = time.monotonic()
        answer = client.post("/api/pipeline/segment", json={**asked, "segments_uri": address})
        assert (answer.status_code, time.monotonic() - began < 2) == (503, True)
        with pipeline._documents, pipeline._documents:  # as many as may be read at once
            answer = client.post("/api/pipeline/segment", json={**asked, "segments_uri": address})
        assert (answer.status_code, answer.get_json()["code"]) == (429, "busy")


@contextmanager
def endless(*, fast: bool) -> Iterator[str]:
    """A server whose document never ends: as fast as it is read, or in drips that come fast enough to be waited for."""
    over = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while not over.is_set():
                peer, _ = server.accept()
                with peer, suppress(OSError):
                    peer.recv(4096)
                    peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[")
                    while not over.is_set():
                        peer.sendall(b" " * 65536 if fast else b" ")
                        over.wait(0 if fast else 0.05)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/spans.json"
    finally:
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(2)


def test_a_bad_pipeline_is_refused_by_name_and_makes_no_job(client: FlaskClient, database: Database) -> None:
    for body, words in BAD:
        answer = client.post("/api/pipeline/segment", json=body)
        assert answer.status_code == 422, body
        assert words in answer.get_json()["detail"], body
    assert JobService(database).list() == []


def test_the_split_manifest_has_right_starts(
    client: FlaskClient, database: Database, settings: Settings, tmp_path: Path
) -> None:
    """The predecessor's were "", "3", "33", "333": a text repeated."""
    clip = tmp_path / "film.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=r=25:s=64x48:d=12", "-c:v", "libx264", "-g", 25, clip)
    job = JobService(database).create(NewJob("crop", clip.as_uri(), clip.name, {}))
    queue = Queue(database, settings)
    claim = queue.claim_job(JobStatus.QUEUED, job.id)
    assert claim is not None
    threes = settings.model_copy(update={"chunk_seconds": 3.0})
    Planner(database, queue, open_store(settings), threes).plan(claim)
    split = client.get(f"/api/v1/jobs/{job.id}/segments").get_json()
    assert split["segment_count"] == 4
    assert [each["start_time"] for each in split["segments"]] == [0.0, 3.0, 6.0, 9.0]
    assert split["segments"][2] == {
        "request_id": str(job.id),
        "segment_file": f"jobs/{job.id}/chunks/chunk_0002.json",
        "segment_number": 2,
        "start_time": 6.0,
        "duration": 3.0,
        "original_video": clip.as_uri(),
    }
    rows = JobService(database).chunks(job.id)
    assert [chunk.start_sec for chunk in rows] == [0.0, 3.0, 6.0, 9.0]

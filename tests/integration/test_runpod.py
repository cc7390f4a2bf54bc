"""RunPod's worker: under the package's own test server, and what it makes of its clients' requests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from backend.db.engine import Database
from backend.errors import FramefleetError, InvalidRequest
from backend.jobs.service import JobService
from backend.settings import Settings
from backend.workers.runpod_handler import Handler
from backend.workers.runpod_input import new_job
from tests.integration.conftest import read_film, wait_until
from tests.loopback import Request, loopback
from tests.samples import make_sample


class Told:
    """What the front end and RunPod hear."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Any]] = []

    def __call__(self, request: Request) -> tuple[int, bytes]:
        body = request.body.decode()
        self.posts.append((request.path.partition("?")[0], json.loads(body) if body else None))
        return 200, b"{}"

    def under(self, prefix: str) -> list[tuple[str, Any]]:
        return [(path.removeprefix(prefix), body) for path, body in self.posts if path.startswith(prefix)]


@pytest.fixture
def bucket(s3_server: str, tmp_path: Path) -> Any:
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket="editor")
    client.upload_file(str(make_sample(tmp_path / "clip.mp4", seconds=1)), "editor", "in/clip.mp4")
    return client


@pytest.fixture
def runpod_server(s3_server: str, settings: Settings, tmp_path: Path) -> Iterator[tuple[str, Told]]:
    """The package's test server with our handler, which knows the store by its R2 names alone."""
    pytest.importorskip("runpod", reason="framefleet[runpod] is not installed")
    assert settings.database_url is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = Told()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
    with loopback(told) as address, (tmp_path / "runpod.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.workers.runpod_handler", "--rp_serve_api", "--rp_api_port", str(port)],
            env=kept
            | {
                "DATABASE_URL": settings.database_url.get_secret_value(),
                "FRAMEFLEET_DATA_DIR": str(tmp_path / "pod"),
                "R2_ENDPOINT": s3_server,
                "R2_ACCESS_KEY_ID": "testing",
                "R2_SECRET_ACCESS_KEY": "testing",
                "R2_BUCKET_NAME": "editor",
                "S3_REGION": "auto",
                "S3_ADDRESSING_STYLE": "path",
                "DETECTOR": "hog",
                "POLL_SECONDS": "0.1",
                "HTTP_ALLOW_PRIVATE": "true",
                "RUNPOD_WEBHOOK_POST_OUTPUT": f"{address}/runpod/$ID",
                "RUNPOD_AI_API_KEY": "nothing",
            },
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: process.poll() is not None or _answers(url), 60, "RunPod's test server")
            assert process.poll() is None, (tmp_path / "runpod.log").read_text()
            told.address = address  # type: ignore[attr-defined]
            yield url, told
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/openapi.json", timeout=1).ok
    except requests.RequestException:
        return False


def test_runpods_test_server_answers_both_predecessors_inputs(
    runpod_server: tuple[str, Told], bucket: Any, tmp_path: Path
) -> None:
    url, told = runpod_server
    address = told.address  # type: ignore[attr-defined]
    asked = {
        "job_id": "edit-7",
        "type": "framing",
        "input_video_key": "in/clip.mp4",
        "params": {
            "crop_keyframes": [{"frame": 0, "x": 0, "y": 0, "width": 360, "height": 640}],
            "output_width": 180,
            "output_height": 320,
            "preset": "ultrafast",
        },
        "callback_url": f"{address}/front",
    }
    answer = post(url, asked)
    assert answer["status"] == "COMPLETED", (answer, (tmp_path / "runpod.log").read_text()[-3000:])
    assert answer["output"] == {"status": "success", "output_video_key": "output/edit-7/video.mp4"}
    bucket.download_file("editor", "output/edit-7/video.mp4", str(tmp_path / "film.mp4"))
    made = read_film(tmp_path / "film.mp4")
    assert (len(made.pts), made.size, made.audio_sec is not None) == (25, (180, 320), True)
    said = told.under("/front")
    assert said[-1] == ("/complete", {"output_video_key": "output/edit-7/video.mp4"})
    assert {path for path, _ in said[:-1]} <= {"/progress"}
    progress = [body["output"] for _, body in told.under("/runpod") if body and body.get("status") == "IN_PROGRESS"]
    assert progress and all(set(each) == {"progress", "message"} for each in progress)
    small = {
        "original_video_uri": "s3://editor/in/clip.mp4",
        "resolution": "90p",
        "output_video_uri": "s3://editor/s.mp4",
    }
    answer = post(url, {"task": "DOWNSAMPLING", "parameters": small})
    assert answer["status"] == "COMPLETED", answer
    assert answer["output"] == {"status": "success", "output_video_key": "s.mp4", "output_uri": "s3://editor/s.mp4"}
    bucket.download_file("editor", "s.mp4", str(tmp_path / "small.mp4"))
    made = read_film(tmp_path / "small.mp4")
    assert (len(made.pts), made.size) == (25, (160, 90))
    answer = post(url, {"task": "DOWNSAMPLING", "parameters": {**small, "resolution": "tall"}})
    assert answer["status"] == "FAILED"
    assert answer["error"].startswith("invalid_params: resolution")


def post(url: str, given: dict[str, Any]) -> dict[str, Any]:
    return dict(requests.post(f"{url}/runsync", json={"input": given}, timeout=120).json())


@pytest.fixture
def pod(settings: Settings) -> Settings:
    return settings.model_copy(update={"default_bucket": "editor", "detector": "hog"})


@pytest.fixture
def handler(database: Database, pod: Settings) -> Handler:
    return Handler(database, pod, lambda request, progress: None)


BAD: list[tuple[Any, str]] = [
    (None, "input: send"),
    ({"job_id": "a"}, "input: send"),
    ({"type": "crop", "job_id": "../a", "input_video_key": "k"}, "invalid_request: job_id"),
    ({"type": "crop", "job_id": "a"}, "invalid_request: input_video_key"),
    ({"type": "crop", "job_id": "a", "input_video_key": "k", "params": {"aspct": 1}}, "no parameter 'aspct'"),
    ({"type": "knit", "job_id": "a", "input_video_key": "k"}, "no job kind 'knit'"),
    ({"type": "crop", "job_id": "a", "input_video_key": "k", "callback_url": "ftp://h"}, "callback_url"),
    ({"task": "KNIT", "parameters": {}}, "invalid_request: task"),
    ({"task": "STAGE_OBJECT", "parameters": {}}, "parameters.source_uri: is missing"),
    (
        {"task": "STAGE_OBJECT", "parameters": {"source_uri": "file:///etc/passwd"}},
        "parameters.source_uri: must be",
    ),
]


def test_a_bad_request_is_answered_with_what_is_wrong(handler: Handler, database: Database) -> None:
    for given, words in BAD:
        answer = handler.answer({"id": "r-1", "input": given})
        assert (answer["status"], set(answer)) == ("error", {"status", "error"}), given
        assert words in answer["error"], given
    assert JobService(database).list() == []


def _crop() -> dict[str, Any]:
    return {"type": "crop", "job_id": "a", "input_video_key": "k.mp4"}


def at_url(database: Database, pod: Settings, key: str, **changes: Any) -> None:
    """The job that RunPod asks for under the key has been made already, of what a URL holds."""
    JobService(database).create(replace(new_job({"id": key, "input": _crop()}, pod), output_uri=None, **changes))


def test_a_request_that_runpod_sends_again_is_one_job_and_its_failure_is_told(
    handler: Handler, database: Database, pod: Settings
) -> None:
    with loopback(lambda request: (404, b"")) as address:
        at_url(database, pod, "r-2", input_uri=f"{address}/none.mp4")
        answers = [handler.answer({"id": "r-2", "input": _crop()}) for _ in range(2)]
    assert len(JobService(database).list()) == 1
    assert answers[0] == answers[1]
    assert answers[0]["error"].startswith("input_not_found: ")


def test_a_callback_that_hangs_neither_fails_the_job_nor_hides_its_end(
    handler: Handler, database: Database, pod: Settings
) -> None:
    let_go, told = threading.Event(), []

    def answer(request: Request) -> tuple[int, bytes]:
        if request.path == "/front/progress":
            let_go.wait(60)
        elif request.method == "POST":
            told.append(request.path)
        return 200, b"bytes to copy"

    with loopback(answer) as address:
        at_url(
            database, pod, "r-3", kind="stage", params={}, input_uri=f"{address}/a.mp4", callback_url=f"{address}/front"
        )
        result = handler.answer({"id": "r-3", "input": _crop()})
        let_go.set()
    assert result["status"] == "success", result
    assert told == ["/front/complete"]


def test_the_worker_without_the_package_says_what_to_install(settings: Settings) -> None:
    code = "import sys; sys.modules['runpod'] = None; from backend.workers.runpod_handler import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "framefleet[runpod]" in done.stderr


def test_the_editors_size_and_names_hold_for_its_kinds(pod: Settings) -> None:
    window = {"frame": 0, "x": 0, "y": 0, "width": 9, "height": 16}
    asked = {"type": "framing", "job_id": "a", "input_video_key": "k.mp4", "params": {"crop_keyframes": [window]}}
    job = new_job({"id": "r-4", "input": asked}, pod)
    assert job.params == {"keyframes": [window], "output_width": 1080, "output_height": 1920}
    assert (job.input_uri, job.output_uri) == ("s3://editor/k.mp4", "s3://editor/output/a/video.mp4")


TASKS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "ENCODING",
        {
            "id": "7",
            "language": "deu",
            "subtitles": True,
            "input_video_uri": "gs://bkt/a.mp4",
            "input_audio_uri": "gs://bkt/a.wav",
            "subtitles_uri": "gs://bkt/a.ass",
            "output_video_uri": "gs://bkt/c.mp4",
        },
        {
            "kind": "encode",
            "input_uri": "gs://bkt/a.mp4",
            "output_uri": "gs://bkt/c.mp4",
            "params": {"audio_uri": "gs://bkt/a.wav", "subtitles_uri": "gs://bkt/a.ass", "language": "deu"},
        },
    ),
    (
        "ENCODING",
        {"name": "c", "input_video_name": "a.mov", "bucket": "bkt", "bucket_parent_folder": "x/y", "subtitles": False},
        {"kind": "encode", "input_uri": "gs://bkt/x/y/a.mov", "output_uri": "gs://bkt/x/y/c.mp4", "params": {}},
    ),
    (
        "DOWNSAMPLING",
        {"original_video_uri": "gs://bkt/a.mp4", "resolution": 240, "output_video_uri": "gs://bkt/c.mp4"},
        {
            "kind": "downsample",
            "input_uri": "gs://bkt/a.mp4",
            "output_uri": "gs://bkt/c.mp4",
            "params": {"resolution": 240},
        },
    ),
    (
        "AUDIO_TRIM",
        {"source_uri": "https://h/a.mp3", "start_sec": 1.5, "duration_sec": 2, "output_video_uri": "s3://bkt/c.wav"},
        {
            "kind": "audio_trim",
            "input_uri": "https://h/a.mp3",
            "output_uri": "s3://bkt/c.wav",
            "params": {"start_sec": 1.5, "duration_sec": 2},
        },
    ),
    (
        "STAGE_OBJECT",
        {"source_uri": "https://h/a.png", "dest_uri": "gs://bkt/a.png"},
        {"kind": "stage", "input_uri": "https://h/a.png", "output_uri": "gs://bkt/a.png", "params": {}},
    ),
]


@pytest.mark.parametrize(
    ("task", "parameters", "expected"), TASKS, ids=[f"{task}-{len(given)}" for task, given, _ in TASKS]
)
def test_a_task_is_the_job_that_its_parameters_name(
    pod: Settings, task: str, parameters: dict[str, Any], expected: dict[str, Any]
) -> None:
    pod = pod.model_copy(update={"allowed_prefixes": "gs://bkt, s3://bkt"})
    job = new_job({"id": "r-6", "input": {"task": task, "parameters": parameters}}, pod)
    assert {name: getattr(job, name) for name in expected} == expected
    parameters = {**parameters, "output_video": "x"}
    with pytest.raises(FramefleetError, match=r"parameters\.output_video: is not known"):
        new_job({"id": "r-7", "input": {"task": task, "parameters": parameters}}, pod)


def test_the_errors_of_requests_are_typed(settings: Settings) -> None:
    with pytest.raises(FramefleetError, match="R2_BUCKET_NAME"):
        new_job({"id": "x", "input": _crop()}, settings)


@pytest.mark.parametrize("scheme", ["s3", "gs"])
@pytest.mark.parametrize(
    ("task", "field", "name"),
    [
        ("STAGE_OBJECT", "input", "source_uri"),
        ("STAGE_OBJECT", "output", "dest_uri"),
        ("ENCODING", "params.subtitles_uri", "subtitles_uri"),
    ],
)
def test_no_request_reaches_what_other_jobs_have_in_the_store(
    pod: Settings, scheme: str, task: str, field: str, name: str
) -> None:
    opened = {"storage_url": "s3://films/store", "allowed_prefixes": "s3://films, gs://films"}
    shared = pod.model_copy(update=opened)
    source = "source_uri" if task == "STAGE_OBJECT" else "input_video_uri"
    parameters = {source: "https://h/a.mp4", name: f"{scheme}://films/store/jobs/x/source"}
    with pytest.raises(InvalidRequest, match=f"^{field}: this place is not open"):
        new_job({"id": "x", "input": {"task": task, "parameters": parameters}}, shared)
    parameters[name] = f"{scheme}://films/store/mine/source"
    new_job({"id": "x", "input": {"task": task, "parameters": parameters}}, shared)

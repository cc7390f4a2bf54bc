"""Worker processes, an S3 server and films to look at, for the tests that run the whole of it."""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import psycopg
import pytest

from backend.db.engine import Database
from backend.db.models import Chunk, Job
from backend.jobs.service import JobService
from backend.local.parts import Fleet, Worker
from backend.settings import Settings
from tests.moto_s3 import moto_server

CHUNK_WORKER = "backend.workers.gpu_chunk_worker"
ANALYSIS_WORKER = "backend.workers.analysis_worker"


def wait_until(condition: Callable[[], Any], timeout_sec: float, what: str) -> Any:
    """The condition's first true value; fails the test after the time."""
    deadline = time.monotonic() + timeout_sec
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    pytest.fail(f"{what}: not within {timeout_sec} s")


@dataclass
class Film:
    pts: list[int]
    time_base: Any
    size: tuple[int, int]
    video_sec: float
    audio_sec: float | None
    color: tuple[int, int, int, int]
    pix_fmt: str
    codec: str

    @property
    def seconds(self) -> list[float]:
        return [float(pts * self.time_base) for pts in self.pts]


def read_film(path: Path) -> Film:
    """Everything a test asks of a video file, by decoding it."""
    with av.open(str(path), metadata_errors="ignore") as container:
        video = container.streams.video[0]
        sound = container.streams.audio[0] if container.streams.audio else None
        context = video.codec_context
        pts = [frame.pts for frame in container.decode(video)]
        step = (pts[-1] - pts[0]) / max(1, len(pts) - 1)
        return Film(
            pts=pts,
            time_base=video.time_base,
            size=(context.width, context.height),
            video_sec=float((pts[-1] + step - pts[0]) * video.time_base),
            audio_sec=float(sound.duration * sound.time_base) if sound and sound.duration else None,
            color=(context.color_primaries, context.color_trc, context.colorspace, context.color_range),
            pix_fmt=context.pix_fmt or "",
            codec=context.codec.canonical_name,
        )


class Workers:
    """Worker processes on the test's database; they end with the test, and none may have logged an error."""

    def __init__(self, settings: Settings, database: Database, folder: Path) -> None:
        self.settings = settings
        self.database = database
        self.fleet = Fleet(settings, folder)

    def start_chunk_worker(self, name: str = "chunk-0") -> Worker:
        return self.fleet.start(CHUNK_WORKER, name=name)

    def start_analysis_worker(self) -> Worker:
        return self.fleet.start(ANALYSIS_WORKER, name="analysis")

    def wait_for_end(self, job: Job, timeout_sec: float = 90) -> Job:
        service = JobService(self.database)
        ended = ("done", "failed", "cancelled")

        def over() -> Job | None:
            now = service.get(job.id)
            return now if now.status in ended else None

        return wait_until(over, timeout_sec, "the job's end")

    def wait_for_work(self, job: Job, min_progress: float = 0.05) -> Chunk:
        """A chunk that somebody is in the middle of."""
        service = JobService(self.database)

        def working() -> Chunk | None:
            chunks = service.chunks(job.id)
            return next((c for c in chunks if c.status == "processing" and c.progress > min_progress), None)

        return wait_until(working, 60, "a chunk in work")

    def log(self, name: str) -> str:
        return (self.fleet.log_folder / f"{name}.log").read_text()


@pytest.fixture
def empty_url(postgres: str) -> Iterator[str]:
    """A database without any schema."""
    name = f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield postgres.replace("/postgres?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    database = Database(empty_url)
    yield database
    database.close()


@pytest.fixture
def workers(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workers]:
    monkeypatch.setenv("RETRY_BASE_SECONDS", "0")
    monkeypatch.setenv("HTTP_ALLOW_PRIVATE", "true")
    hasty = settings.model_copy(update={"poll_seconds": 0.1, "drain_seconds": 0, "detector": "hog"})
    workers = Workers(hasty, database, tmp_path / "logs")
    with workers.fleet:
        yield workers
    for log in sorted(workers.fleet.log_folder.glob("*.log")):  # shown beside a test that failed
        sys.stderr.write("\n".join([f"{log.name}:", *log.read_text().splitlines()[-20:], ""]))
    errors = [line for log in workers.fleet.log_folder.glob("*.log") for line in _errors(log)]
    assert not errors


def _errors(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if '"level": "error"' in line or "Traceback" in line]


@pytest.fixture
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an S3 server of this test; credentials for it are in the environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = moto_server(port)
    server.start()
    address = f"http://127.0.0.1:{port}"
    for name, value in {
        "S3_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "S3_ADDRESSING_STYLE": "path",
    }.items():
        monkeypatch.setenv(name, value)
    os.environ.pop("AWS_SESSION_TOKEN", None)
    yield address
    server.stop()

"""Links that hold secrets: nothing that people see has them, and rows forget them when nobody reads them any more."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.db.engine import Database
from backend.db.models import Base, Job
from backend.jobs.retention import Retention
from backend.jobs.service import JobService, NewJob
from backend.local.parts import open_log
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.storage import open_store
from backend.workers.one_job import OneJob
from tests.conftest import Said
from tests.integration.rows import sql
from tests.integration.whole_films import ffmpeg
from tests.loopback import Request, loopback
from tests.samples import make_sample

SECRET = "s3cr3t-s1gn4tur3"
QUERY = f"X-Amz-Signature={SECRET}&x=%22#{SECRET}"
SRT = b"1\n00:00:00,100 --> 00:00:00,600\nHello\n"
JOBS = "/api/v1/jobs"


class Elsewhere:
    """The client's own server: its film, sound and subtitles behind signed links, and what takes results and calls."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.told: list[str] = []

    def __call__(self, request: Request) -> tuple[int, bytes]:
        path, _, query = request.path.partition("?")
        assert SECRET in query, f"{path} was asked for without its signature"
        if request.method == "POST":
            self.told.append(path)
        if request.method == "PUT":
            self.files[path] = request.body
        if request.method != "GET":
            return 200, b""
        found = self.files.get(path)
        return (404, b"") if found is None else (200, found)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[tuple[Elsewhere, str]]:
    sound = tmp_path / "sound.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", sound)
    film = make_sample(tmp_path / "clip.mp4", seconds=1).read_bytes()
    server = Elsewhere({"/film.mp4": film, "/sound.wav": sound.read_bytes(), "/words.srt": SRT})
    with loopback(server) as address:
        yield server, address


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    app.extensions["framefleet"].plan_soon = lambda job_id: None  # the test's worker does
    yield app.test_client()
    app.extensions["framefleet"].database.close()


def body(address: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "encode",
        "input": f"{address}/film.mp4?{QUERY}",
        "params": {
            "audio_uri": f"{address}/sound.wav?{QUERY}",
            "subtitles_uri": f"{address}/words.srt?{QUERY}",
            "font_uris": [],
            "preset": "ultrafast",
        },
        "output_put_url": f"{address}/out.mp4?{QUERY}",
        "callback_url": f"{address}/front/{SECRET}?{QUERY}",
        **more,
    }


def rows(database: Database) -> str:
    """Every row of every table, as text."""
    return "\n".join(
        str(row) for table in Base.metadata.tables for row in sql(database, f"SELECT CAST(t AS text) FROM {table} t")
    )


def shown(client: FlaskClient, job_id: str) -> str:
    """What anybody can ask for about a job, and in lists."""
    job = client.get(f"{JOBS}/{job_id}").get_json()
    paths = [JOBS, f"{JOBS}/{job_id}", f"/status/{job_id}", "/metrics", "/api/v1/workers", *job["links"].values()]
    # Pictures are bytes of any kind.
    return "\n".join(client.get(path).data.decode("utf-8", errors="replace") for path in paths)


def stored(settings: Settings) -> str:
    store = open_store(settings)
    return "\n".join(key + store.get(key).decode("latin-1") for key in store.list("jobs/"))


def worked(database: Database, settings: Settings, job_id: str) -> Job:
    store = open_store(settings)
    return OneJob(UUID(job_id), database, store, settings, Surroundings(store)).run(listens=False)


def test_a_done_job_holds_no_link_and_nobody_was_shown_one(
    client: FlaskClient, elsewhere: tuple[Elsewhere, str], database: Database, settings: Settings,
    said: list[Said], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    server, address = elsewhere
    job_id = client.post(JOBS, json=body(address)).get_json()["id"]
    assert SECRET in rows(database), "the job needs its links until it is done"
    assert SECRET not in shown(client, job_id)
    job = worked(database, settings, job_id)
    assert (job.status, "/out.mp4" in server.files) == ("done", True), job.error_message
    assert [path for path in server.told if path.endswith("/complete")] == [f"/front/{SECRET}/complete"]
    assert (job.input_uri, job.output_put_url) == (f"{address}/film.mp4", None)
    assert job.params["audio_uri"] == f"{address}/sound.wav"
    output = capfd.readouterr()
    everything = [rows(database), shown(client, job_id), stored(settings), repr(said), output.out, output.err]
    assert [SECRET in each for each in everything] == [False] * len(everything)
    ours = "\n".join(record.getMessage() for record in caplog.records)
    assert SECRET not in ours


def test_a_cancelled_job_forgets_at_once_and_a_failed_one_when_it_cannot_be_retried(
    client: FlaskClient, elsewhere: tuple[Elsewhere, str], database: Database, settings: Settings, said: list[Said]
) -> None:
    server, address = elsewhere
    cancelled = client.post(JOBS, json=body(address, callback_url=None)).get_json()["id"]
    client.post(f"{JOBS}/{cancelled}/cancel")
    assert SECRET not in rows(database)
    server.files["/words.srt"] = b"once upon a time"
    failed = client.post(JOBS, json=body(address)).get_json()["id"]
    assert worked(database, settings, failed).status == "failed"
    assert SECRET not in shown(client, failed) and SECRET not in repr(said) and SECRET not in stored(settings)
    server.files["/words.srt"] = SRT
    client.post(f"{JOBS}/{failed}/retry")
    server.files.pop("/sound.wav")
    assert worked(database, settings, failed).status == "failed", "its links were still there to be read"
    assert "/front" in server.told[-1]
    sql(database, "UPDATE video_analysis_jobs SET completed_at = now() - interval '1 year' WHERE id = :id", id=failed)
    Retention(database, open_store(settings), settings)._mark()
    assert SECRET not in rows(database)


@pytest.mark.parametrize("secret", ["a", 'b"c', "d\\e", "f\ng", "h?i#j", "üñ"])
def test_whatever_a_query_is_made_of_the_parameters_stay_what_they_were(database: Database, secret: str) -> None:
    params = {"audio_uri": f'https://h/a"b\\c?{secret}', "subtitles_uri": f"HTTP://h/b#{secret}", "language": "deu"}
    service = JobService(database)
    job = service.create(NewJob("encode", f"https://h/v.mp4?{secret}", "v.mp4", params))
    scrubbed = service.cancel(job.id)
    assert scrubbed.input_uri == "https://h/v.mp4"
    wanted = job.params | {"audio_uri": 'https://h/a"b\\c', "subtitles_uri": "HTTP://h/b"}
    assert scrubbed.params == wanted


def test_objects_uris_keep_their_question_marks(database: Database) -> None:
    service = JobService(database)
    job = service.create(NewJob("encode", "s3://bkt/a?b#c.mp4", "v.mp4", {"audio_uri": "s3://bkt/a?b#c.wav"}))
    kept = service.cancel(job.id)
    assert (kept.input_uri, kept.params["audio_uri"]) == ("s3://bkt/a?b#c.mp4", "s3://bkt/a?b#c.wav")


def test_a_password_in_a_link_is_refused_before_it_is_written_anywhere(client: FlaskClient, database: Database) -> None:
    link = f"https://user:{SECRET}@example.com/a.mp4"
    for asked in ({"input": link}, {"input": "https://h/a", "kind": "encode", "params": {"audio_uri": link}}):
        answer = client.post(JOBS, json=asked)
        assert (answer.status_code, answer.get_json()["code"]) == (422, "unsupported_input")
        assert SECRET not in answer.get_data(as_text=True)
    assert SECRET not in rows(database)


def test_logs_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text("an earlier version's\n")
    path.chmod(0o644)
    for name in ("worker.log", "new.log"):
        with open_log(tmp_path / name) as log:
            log.write(b"event\n")
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert path.read_text() == "an earlier version's\nevent\n"
    (tmp_path / "link.log").symlink_to(path)
    with pytest.raises(OSError, match=r"link\.log"):
        open_log(tmp_path / "link.log")

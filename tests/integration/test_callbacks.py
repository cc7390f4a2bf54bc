"""Callbacks: what is told, once each, and that nobody who is told can hold up or fail a job."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from backend.api.app import create_app
from backend.db.engine import Database
from backend.errors import SourceUnreachable, UnsupportedInput
from backend.jobs.callbacks import Callbacks
from backend.jobs.service import JobService, NewJob
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode
from backend.storage import open_store
from backend.storage.post import below, post_json
from tests.conftest import Said
from tests.integration.conftest import Workers, wait_until
from tests.integration.queue.helpers import planned_job
from tests.loopback import Request, loopback

SECRET = "hunter2"


@dataclass
class Front:
    """A front end that keeps what it is told. `status` is what it answers; it answers only once it may."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    told: list[tuple[str, Any]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def __call__(self, request: Request) -> tuple[int, bytes, dict[str, str]]:
        assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
        self.told.append((request.path, json.loads(request.body)))
        self.may_answer.wait(30)
        return self.status, b"{}", self.headers


@pytest.fixture
def front() -> Iterator[Front]:
    front = Front()
    front.may_answer.set()
    with loopback(front) as front.address:
        yield front
        front.may_answer.set()


def execute(database: Database, statement: str, **params: Any) -> None:
    with database.transaction() as connection:
        connection.execute(text(statement), params)


def told_of(database: Database, url: str) -> UUID:
    """A planned job whose callbacks go to the URL."""
    job_id = planned_job(database, 2)
    execute(database, "UPDATE video_analysis_jobs SET callback_url = :url, callback_due_at = now()", url=url)
    return job_id


def move(database: Database, **columns: Any) -> None:
    """The job is moved on, and its next callback is due now."""
    given = ", ".join(f"{name} = :{name}" for name in columns)
    execute(database, f"UPDATE video_analysis_jobs SET {given}", **columns)
    execute(database, "UPDATE video_analysis_jobs SET callback_due_at = now() WHERE callback_due_at IS NOT NULL")


def test_progress_is_told_as_it_rises_and_the_end_once(database: Database, settings: Settings, front: Front) -> None:
    told_of(database, f"{front.address}/hook?key={SECRET}")
    callbacks = Callbacks(database, settings)
    callbacks.tell_due()
    move(database, stage="PROCESSING", status="processing")
    callbacks.tell_due()
    callbacks.tell_due()  # not due again yet
    move(database, stage="PROCESSING")  # due, and nothing new to tell
    callbacks.tell_due()
    move(database, status="done", output_uri="s3://films/output/a7/video.mp4")
    callbacks.tell_due()
    move(database, stage="DONE")
    Callbacks(database, settings).tell_due()  # another process, later
    assert front.told == [
        (f"/hook/progress?key={SECRET}", {"progress": 2, "message": "DEEP_QUEUED"}),
        (f"/hook/progress?key={SECRET}", {"progress": 2, "message": "PROCESSING"}),
        (f"/hook/complete?key={SECRET}", {"output_video_key": "output/a7/video.mp4"}),
    ]


def test_a_failure_is_told_with_whether_a_retry_helps_and_a_retried_job_is_told_of_again(
    database: Database, settings: Settings, front: Front
) -> None:
    job_id = told_of(database, front.address)
    said = {"error_code": "source_unreachable", "error_message": "No answer.", "error_retryable": True}
    move(database, status="failed", **said)
    callbacks = Callbacks(database, settings)
    callbacks.tell_due()
    JobService(database).retry(job_id)
    callbacks.tell_due()
    JobService(database).cancel(job_id)
    move(database, stage="DEEP_QUEUED")
    callbacks.tell_due()
    assert front.told == [
        ("/error", {"error": "No answer.", "should_retry": True}),
        ("/progress", {"progress": 2, "message": "DEEP_QUEUED"}),
        ("/error", {"error": "The job was cancelled.", "should_retry": False}),
    ]


def test_the_last_word_is_tried_again_until_it_is_taken_and_progress_is_not(
    database: Database, settings: Settings, front: Front, said: list[Said]
) -> None:
    told_of(database, f"{front.address}/hook?key={SECRET}")
    callbacks = Callbacks(database, settings)
    front.status = 500
    callbacks.tell_due()
    move(database, status="done", output_uri="gs://films/a.mp4")
    callbacks.tell_due()
    front.status = 204
    callbacks.tell_due()  # not yet: after a pause
    move(database, stage="DONE")
    callbacks.tell_due()
    assert [path.partition("?")[0] for path, _ in front.told] == ["/hook/progress", "/hook/complete", "/hook/complete"]
    failed = [each for each in said if each.event == "callback_failed"]
    assert len(failed) == 2
    assert failed[0].fields["callback"] == front.address
    assert SECRET not in json.dumps([each.fields for each in said], default=str)


def test_a_redirect_is_not_followed(database: Database, settings: Settings, front: Front, said: list[Said]) -> None:
    met: list[str] = []

    def elsewhere(request: Request) -> tuple[int, bytes]:
        met.append(request.path)
        return 200, b""

    with loopback(elsewhere) as address:
        front.status, front.headers = 307, {"Location": f"{address}/inside"}
        told_of(database, front.address)
        Callbacks(database, settings).tell_due()
    assert (len(front.told), met) == (1, [])
    assert "status 307" in str(next(each for each in said if each.event == "callback_failed").fields["message"])


def test_a_front_end_that_hangs_holds_up_neither_the_queue_nor_the_others(
    database: Database, settings: Settings, front: Front
) -> None:
    front.may_answer.clear()
    told_of(database, front.address)
    teller = threading.Thread(target=Callbacks(database, settings).tell_due)
    teller.start()
    while not front.told:
        time.sleep(0.01)
    queue = Queue(database, settings)
    claim = queue.claim_chunk(DeepMode.GPU)
    assert claim is not None
    queue.heartbeat_chunk(claim, 0.5)
    assert JobService(database).get(claim.job_id).status == "processing"
    front.may_answer.set()
    teller.join()


def test_what_does_not_answer_in_time_or_trickles_its_head_is_left(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle)
        thread.start()
        with pytest.raises(SourceUnreachable, match="did not take the callback"):
            url = f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}/progress"
            post_json(url, {}, allow_private=True, timeout_sec=0.3)
        stop.set()
        thread.join()


def test_nobody_inside_is_told(database: Database, settings: Settings, front: Front, said: list[Said]) -> None:
    told_of(database, front.address)
    guarded = settings.model_copy(update={"http_allow_private": False})
    Callbacks(database, guarded).tell_due()
    move(database, status="done")
    Callbacks(database, guarded).tell_due()
    assert front.told == []
    assert [each.event for each in said if each.event.startswith("callback_")] == ["callback_given_up"]


def test_a_bad_callback_url_is_refused_with_the_job(database: Database) -> None:
    for url in ("ftp://h/x", "http://user:word@h/x", "http://", "javascript:alert(1)", "http://h/ x"):
        with pytest.raises(UnsupportedInput, match=r"^callback_url: "):
            JobService(database).create(NewJob("crop", "https://h/a.mp4", "a.mp4", callback_url=url))
    assert JobService(database).list() == []


def test_an_analysis_worker_tells_what_ended_while_nobody_was_there_to_tell(
    database: Database, workers: Workers, front: Front
) -> None:
    job_id = told_of(database, front.address)
    webhook = {"url": f"{front.address}/webhook", "events": ["job.cancelled"]}
    execute(database, "UPDATE video_analysis_jobs SET webhook_url = :url, webhook_events = :events", **webhook)
    JobService(database).cancel(job_id)
    workers.start_analysis_worker()
    wait_until(lambda: len(front.told) == 2, 60, "the callback and the webhook")
    told = dict(front.told)
    assert told["/error"] == {"error": "The job was cancelled.", "should_retry": False}
    assert (told["/webhook"]["type"], told["/webhook"]["data"]["id"]) == ("job.cancelled", str(job_id))


def test_a_job_of_the_api_is_told_of(database: Database, settings: Settings, front: Front) -> None:
    app = create_app(settings)
    asked = {"input": "http://127.0.0.1:9/a.mp4", "callback_url": f"{front.address}/{SECRET}"}
    answer = app.test_client().post("/api/v1/jobs", json=asked)
    assert answer.status_code == 202
    app.extensions["framefleet"].planners.shutdown()
    Callbacks(database, settings).tell_due()
    assert [path for path, _ in front.told] == [f"/{SECRET}/progress"]
    assert SECRET not in answer.get_data(as_text=True)
    bad = {"file": (io.BytesIO(b"x"), "a.mp4"), "callback_url": "ftp://h/x"}
    assert app.test_client().post("/api/v1/jobs", data=bad).get_json()["code"] == "unsupported_input"
    assert list(open_store(settings).list("jobs/")) == []
    app.extensions["framefleet"].database.close()


def test_the_name_goes_before_the_query() -> None:
    assert below("https://h/a/?k=1#part", "error") == "https://h/a/error?k=1"
    assert below("https://h", "error") == "https://h/error"

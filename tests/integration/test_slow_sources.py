"""Servers that drip: they hold up nobody else's planning, and whoever cancels frees what they kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from backend.api.app import create_app
from backend.db.engine import Database
from backend.jobs.plan import Planner
from backend.jobs.planners import AT_ONCE, MOST, Planners
from backend.jobs.service import JobService, NewJob
from backend.queue import job_verbs
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from tests.conftest import Said
from tests.integration.conftest import Workers, wait_until
from tests.integration.rows import sql
from tests.integration.test_workers import submit
from tests.samples import make_sample
from tests.unit.test_http_source import Handler, Server, ranged, server

__all__ = ["server"]


class Dripping:
    """Answers a byte now and then, fast enough for every bound of speed: a source that never ends. Counts who waits."""

    def __init__(self) -> None:
        self.waiting = 0
        self.over = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, handler: Handler) -> None:
        with self._lock:
            self.waiting += 1
        try:
            handler.send_response(200)
            handler.send_header("Content-Length", str(10**9))
            handler.end_headers()
            while not self.over.wait(0.05):
                handler.wfile.write(bytes(4096))  # 80 KB a second
        finally:
            with self._lock:
                self.waiting -= 1
            handler.close_connection = True


@pytest.fixture
def drip(server: Server) -> Iterator[Dripping]:
    drip = Dripping()
    server.answers["/drip.mp4"] = drip
    yield drip
    drip.over.set()


@pytest.fixture
def film(server: Server, tmp_path: Any) -> str:
    server.answers["/film.mp4"] = ranged(make_sample(tmp_path / "clip.mp4", seconds=1).read_bytes())
    return f"http://localhost:{server.server_port}/film.mp4"  # another host by its name


@pytest.fixture
def at_once_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes longer than two seconds is slow, where a fleet waits for five."""
    monkeypatch.setattr("backend.jobs.planners.SLOW_SEC", 2.0)
    monkeypatch.setitem(job_verbs.SLOW_PLANS, "slow_seconds", 1.5)


def test_films_of_others_are_planned_while_some_servers_drip(
    server: Server, drip: Dripping, film: str, settings: Settings, database: Database, at_once_slow: None
) -> None:
    app = create_app(settings)
    client = app.test_client()

    def made(uri: str) -> str:
        return str(client.post("/api/v1/jobs", json={"input": uri}).get_json()["id"])

    dripping = [made(server.url(f"/drip.mp4?{number}")) for number in range(4)]
    wait_until(lambda: drip.waiting == AT_ONCE, 60, "the first ones that drip")
    others = [made(f"{film}?{number}") for number in range(2)]
    service = JobService(database)
    planned = lambda: all(service.get(UUID(job)).total_chunks for job in others)  # noqa: E731
    wait_until(planned, 60, "the plans of the others")
    assert drip.waiting == AT_ONCE, "no more of one host than that are waited for at the same time"
    for job in dripping:
        client.post(f"/api/v1/jobs/{job}/cancel")
    wait_until(lambda: drip.waiting == 0, 60, "the end of the reads of what was cancelled")
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


@pytest.mark.slow
def test_an_analysis_worker_does_its_other_work_while_servers_drip(
    server: Server, drip: Dripping, film: str, workers: Workers, database: Database, settings: Settings
) -> None:
    service = JobService(database)
    dripping = [service.create(NewJob("crop", server.url(f"/drip.mp4?{n}"), "a.mp4")).id for n in range(2)]
    workers.start_analysis_worker()
    wait_until(lambda: drip.waiting == len(dripping), 60, "those that drip")
    copied = service.create(NewJob("stage", film, "film.mp4"))
    assert workers.wait_for_end(copied).status == "done"
    assert drip.waiting == len(dripping)
    for job_id in dripping:
        service.cancel(job_id)
    wait_until(lambda: drip.waiting == 0, 60, "the end of the reads of what was cancelled")


def test_a_first_look_is_short_and_each_try_has_more_time(
    server: Server, drip: Dripping, settings: Settings, database: Database
) -> None:
    hasty = settings.model_copy(update={"first_look_seconds": 0.5, "max_attempts": 2, "retry_base_seconds": 0.0})
    job = submit(database, hasty, server.url("/drip.mp4"))
    assert (job.status, job.error_code, job.failures) == ("queued", "source_unreachable", 1)
    assert "FIRST_LOOK_SECONDS" in (job.error_message or "")
    queue = Queue(database, hasty)
    again = queue.claim_job(JobStatus.QUEUED, job.id)
    assert again is not None
    began = time.monotonic()
    Planner(database, queue, open_store(hasty), hasty).plan(again)
    assert time.monotonic() - began >= 2.0  # 0.5 s and four times that
    assert JobService(database).get(job.id).status == "failed"


def slow_plans(database: Database, *hosts: str, tenant: str = "default") -> None:
    """Claims by others, which have taken long already."""
    for host in hosts:
        job = JobService(database).create(NewJob("crop", f"https://{host}/a.mp4", "a.mp4", tenant=tenant))
        sql(
            database,
            "UPDATE video_analysis_jobs SET claimed_at = now() - interval '1 minute', claimed_by = 'other',"
            " lease_expires_at = now() + interval '1 minute' WHERE id = :id",
            id=job.id,
        )


@pytest.mark.parametrize(
    ("held", "uri", "is_claimed"),
    [
        ((), "https://a.example/x.mp4", True),
        (("a.example",), "https://a.example/x.mp4", True),
        (("a.example", "A.example"), "http://a.EXAMPLE/x.mp4", False),
        (("a.example", "a.example"), "https://b.example/x.mp4", True),
        (("a.example", "b.example", "c.example", "d.example"), "https://e.example/x.mp4", False),
        (("a.example", "b.example", "c.example", "d.example"), "s3://bucket/x.mp4", True),
    ],
)
def test_slow_hosts_hold_a_bounded_part_of_the_planners(
    database: Database, settings: Settings, held: tuple[str, ...], uri: str, is_claimed: bool
) -> None:
    slow_plans(database, *held)
    job = JobService(database).create(NewJob("crop", uri, "x.mp4"))
    assert (Queue(database, settings).claim_job(JobStatus.QUEUED, job.id) is not None) == is_claimed
    stranger = JobService(database).create(NewJob("crop", "https://a.example/x.mp4", "x.mp4", tenant="stranger"))
    assert Queue(database, settings).claim_job(JobStatus.QUEUED, stranger.id) is not None


@pytest.mark.slow
def test_a_chunk_and_an_aggregation_stop_reading_when_their_job_is_cancelled(
    server: Server, film: str, workers: Workers, database: Database, settings: Settings, said: list[Said]
) -> None:
    """The server serves the plan well, and then drips ranges."""
    answers, drips = server.answers["/film.mp4"], DrippingRanges()
    job = submit(database, settings, server.url("/film.mp4"), aspect="1:1")
    assert job.total_chunks == 1
    server.answers["/film.mp4"] = drips
    workers.start_chunk_worker()
    wait_until(lambda: drips.waiting, 60, "the chunk's read")
    JobService(database).cancel(job.id)
    wait_until(lambda: not drips.waiting, 60, "the end of the chunk's read")
    server.answers["/film.mp4"] = answers
    copied = submit(database, settings, server.url("/film.mp4?2"), aspect="1:1")
    wait_until(lambda: JobService(database).get(copied.id).status == "aggregating", 60, "its chunk")
    server.answers["/film.mp4"] = drips
    workers.start_analysis_worker()
    wait_until(lambda: drips.waiting, 60, "the aggregation's read")
    JobService(database).cancel(copied.id)
    wait_until(lambda: not drips.waiting, 60, "the end of the aggregation's read")
    drips.over.set()


class DrippingRanges(Dripping):
    def __call__(self, handler: Handler) -> None:
        first, last = handler.wanted(10**9)
        with self._lock:
            self.waiting += 1
        try:
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {first}-{last}/*")
            handler.send_header("Content-Length", str(last - first + 1))
            handler.end_headers()
            while not self.over.wait(0.05):
                handler.wfile.write(bytes(1))
        finally:
            with self._lock:
                self.waiting -= 1
            handler.close_connection = True


def test_a_turn_is_given_back_once_and_a_slow_plan_goes_on_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.jobs.planners.SLOW_SEC", 0.1)
    planners, go_on, begun = Planners(), threading.Event(), []

    def plan(number: int) -> None:
        begun.append(number)
        go_on.wait(20)

    for number in range(3):
        planners.submit(partial(plan, number))
    wait_until(lambda: len(begun) == 3, 60, "the third, in the turn of a slow one")
    go_on.set()
    planners.shutdown()
    at_work, most = [], []
    fast = Planners()
    monkeypatch.setattr("backend.jobs.planners.SLOW_SEC", 60)

    def quick(number: int) -> None:
        at_work.append(number)
        most.append(len(at_work))
        time.sleep(0.01)
        at_work.remove(number)

    for number in range(20):
        fast.submit(partial(quick, number))
    fast.shutdown()
    assert len(most) == 20 and max(most) <= AT_ONCE


def test_who_claims_first_gets_a_turn_that_begins_at_once_or_none() -> None:
    """A claim that waits for its turn would lose its lease."""
    with Planners() as planners:
        taken = [planners.turn() for _ in range(AT_ONCE)]
        assert all(taken) and planners.turn() is None
        for turn in taken:
            assert turn is not None
            turn.give_back()
        slow = []
        for _ in range(MOST):
            turn = planners.turn()
            assert turn is not None
            turn.pass_on()  # its source is slow
            slow.append(turn)
        assert planners.turn() is None, "there are no more threads than that"
        slow.pop().give_back()
        again = planners.turn()
        assert again is not None
        used = threading.Event()
        planners.use(again, used.set)
        assert used.wait(60)
        for turn in slow:
            turn.give_back()

"""A remote worker that is killed, cut off, revoked or lives in another hour: nothing is lost, nothing done twice."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.db.engine import Database
from backend.db.models import Job
from backend.jobs.service import JobService
from backend.queue.remote_workers import revoke_remote_worker
from backend.settings import Settings
from backend.workers.command import EXIT_BAD_SETUP
from tests.integration.conftest import Workers, read_film, wait_until
from tests.integration.queue.helpers import sql
from tests.integration.remote.conftest import RemoteMachine
from tests.integration.remote.cut import network
from tests.integration.test_workers import film_of, submit, tracks_of
from tests.samples import make_sample

pytestmark = pytest.mark.slow

LEASE_SEC = 4
FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"


class Disturbed:
    """One film of two chunks, an analysis worker beside the database, and an API."""

    def __init__(
        self, workers: Workers, api: Callable[..., str], database: Database, settings: Settings, folder: Path
    ) -> None:
        self.workers = workers
        self.database = database
        self.folder = folder
        self.settings = settings.model_copy(update={"chunk_seconds": 4.0, "lease_seconds": float(LEASE_SEC)})
        self.server = api(chunk_seconds=4.0, lease_seconds=float(LEASE_SEC))
        workers.start_analysis_worker()
        self.source = make_sample(folder / "clip.mp4", seconds=8).as_uri()
        self.job = submit(database, self.settings, self.source, aspect="9:16")

    def check_whole(self) -> Job:
        """The film has each frame once, and the tracks are those that undisturbed workers find."""
        disturbed = self.workers.wait_for_end(self.job)
        assert disturbed.status == "done", disturbed.error_message
        film = read_film(film_of(disturbed, self.settings, self.folder))
        assert film.pts == read_film(self.folder / "clip.mp4").pts
        self.workers.start_chunk_worker("undisturbed")
        undisturbed = self.workers.wait_for_end(submit(self.database, self.settings, self.source, aspect="9:16"))
        assert tracks_of(disturbed, self.settings) == tracks_of(undisturbed, self.settings)
        return disturbed

    def attempts(self) -> list[tuple[int, int]]:
        return [(chunk.attempts, chunk.failures) for chunk in JobService(self.database).chunks(self.job.id)]


@pytest.fixture
def one(
    workers: Workers,
    api: Callable[..., str],
    database: Database,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Disturbed:
    monkeypatch.setenv("REUSE_CHUNKS", "false")
    monkeypatch.setenv("LEASE_SECONDS", str(LEASE_SEC))
    return Disturbed(workers, api, database, settings, tmp_path)


def test_a_killed_remote_worker_costs_no_frame(one: Disturbed, machine: RemoteMachine) -> None:
    doomed = machine.start(one.server)
    chunk = one.workers.wait_for_work(one.job)
    assert (chunk.claimed_by or "").startswith("remote-1/desk/")
    doomed.kill()
    doomed.wait()
    machine.start(one.server, "laptop")
    one.check_whole()
    assert one.attempts()[chunk.chunk_index] == (2, 1)
    assert "remote-1/desk/" in (JobService(one.database).chunks(one.job.id)[chunk.chunk_index].failed_by or "")


def test_a_short_cut_of_the_network_is_waited_out(one: Disturbed, machine: RemoteMachine) -> None:
    with network(one.server) as line:
        machine.start(line.address)
        one.workers.wait_for_work(one.job)
        line.cut()
        wait_until(lambda: line.refused, 60, "the worker feels the cut")
        line.mend()
        one.check_whole()
    assert one.attempts() == [(1, 0), (1, 0)]


def test_who_is_cut_off_for_a_whole_lease_writes_nothing_more(one: Disturbed, machine: RemoteMachine) -> None:
    with network(one.server) as line:
        cut_off = machine.start(line.address)
        chunk = one.workers.wait_for_work(one.job)
        line.cut()
        machine.start(one.server, "laptop")
        one.workers.wait_for_end(one.job)
        line.mend()
        wait_until(lambda: '"claim_lost"' in machine.log() or '"chunk_put_back"' in machine.log(), 60, "it hears of it")
        one.check_whole()
        assert cut_off.poll() is None, "it goes on with other work"
    again = JobService(one.database).chunks(one.job.id)[chunk.chunk_index]
    assert (again.attempts, again.status) == (2, "completed")
    assert (again.claimed_by or "").startswith("remote-2/laptop/")


def test_a_token_revoked_in_the_middle_frees_the_chunk(one: Disturbed, machine: RemoteMachine) -> None:
    worker = machine.start(one.server)
    chunk = one.workers.wait_for_work(one.job)
    assert revoke_remote_worker(one.database, "desk") == 1
    freed = JobService(one.database).chunks(one.job.id)[chunk.chunk_index]
    assert (freed.status, freed.attempts, freed.failures) == ("queued", 1, 0)
    assert worker.wait(timeout=30) == EXIT_BAD_SETUP
    assert "access_revoked" in machine.log().splitlines()[-1]
    machine.start(one.server, "laptop")
    one.check_whole()
    assert one.attempts()[chunk.chunk_index] == (2, 0)


def test_a_token_that_is_not_accepted_ends_a_worker_at_its_start(one: Disturbed, machine: RemoteMachine) -> None:
    worker = machine.start(one.server, token="ff-1-" + "x" * 43)
    assert worker.wait(timeout=60) == EXIT_BAD_SETUP
    assert machine.log().splitlines()[-1].startswith("access_revoked: ")


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_machine_whose_clock_is_an_hour_off_works_as_any_other(
    one: Disturbed, machine: RemoteMachine, hours: int
) -> None:
    libraries = glob.glob(FAKETIME)
    if not libraries:
        pytest.skip("libfaketime is not on this machine: apt-get install faketime")
    skewed = {"LD_PRELOAD": libraries[0], "FAKETIME": f"{hours:+d}h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    machine.start(one.server, **skewed)
    done = one.check_whole()
    assert one.attempts() == [(1, 0), (1, 0)]
    said = machine.log().splitlines()[0].partition('"timestamp": "')[2][:13]  # to the hour
    assert said != time.strftime("%Y-%m-%dT%H", time.gmtime()), "its clock is off indeed"
    ages = sql(
        one.database,
        "SELECT extract(epoch FROM now() - completed_at)::float8 AS age FROM video_analysis_chunks WHERE job_id = :id",
        id=done.id,
    )
    assert all(0 <= row["age"] < 600 for row in ages)

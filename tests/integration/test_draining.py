"""Workers as processes that are told to stop: by a second signal, by the instance, in the middle of whatever it is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from backend.db.engine import Database
from backend.errors import SandboxTimeout
from backend.jobs.looks import probe_source
from backend.jobs.service import JobService
from backend.settings import Settings
from backend.storage.base import ObjectInfo
from backend.storage.range_reader import RangeReader
from backend.workers.drain import FORCE_GRACE_SEC
from tests.fake_kubernetes import POD, Cluster, make_authority, mount_account
from tests.integration.conftest import Workers, wait_until
from tests.integration.test_workers import submit
from tests.loopback import NOTICE, Agent, Metadata, loopback, refusal
from tests.media_children import media_children
from tests.samples import make_sample

AT_ONCE_SEC = FORCE_GRACE_SEC + 2.0  # the rest is a busy machine's

STUCK_WORKER = """
import threading
from backend import events
from backend.db.engine import Database
from backend.queue.queue import Queue
from backend.queue.outcome import give_back
from backend.settings import get_settings
from backend.states import DeepMode
from backend.workers.loop import WorkerLoop

events.configure()
settings = get_settings()
queue = Queue(Database(settings.database_url.get_secret_value()), settings)

def work_once():
    claim = queue.claim_chunk(DeepMode.GPU)
    ids = {"chunk_index": claim.chunk_index}
    with loop.holding(lambda: give_back(lambda: queue.release_chunk(claim), events.Event.CHUNK_RELEASED, ids)):
        print("holding", flush=True)
        threading.Event().wait()

loop = WorkerLoop("stuck", work_once, lambda: 0, settings)
loop.run()
"""


GOING_ON_WORKER = """
import threading
import time
from backend import events
from backend.settings import get_settings
from backend.workers.loop import WorkerLoop

events.configure()

def work_once():
    with loop.holding(lambda: print("released the finished one", flush=True)):
        loop.let_go()
        print("finishing", flush=True)
        time.sleep(2.5)  # as a statement that waits for a lock
    with loop.holding(lambda: print("released the next one", flush=True)):
        threading.Event().wait()

loop = WorkerLoop("going on", work_once, lambda: None, get_settings())
loop.run()
"""


def test_a_second_sigterm_in_the_middle_of_finish_and_claim_releases_what_it_brings() -> None:
    with subprocess.Popen([sys.executable, "-c", GOING_ON_WORKER], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "finishing\n"
        worker.terminate()
        time.sleep(0.1)  # two signals at once are one
        worker.terminate()
        assert worker.wait(timeout=20) == 0
        assert worker.stdout.read() == "released the next one\n"


def test_a_second_sigterm_releases_the_claim_of_work_that_never_looks_up(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    job = submit(database, settings, make_sample(tmp_path / "clip.mp4", seconds=1).as_uri())
    assert settings.database_url is not None
    env = dict(os.environ) | {"DATABASE_URL": settings.database_url.get_secret_value(), "DRAIN_SECONDS": "60"}
    command = [sys.executable, "-c", STUCK_WORKER]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None and worker.stderr is not None
        assert worker.stdout.readline() == "holding\n"
        worker.terminate()
        with pytest.raises(subprocess.TimeoutExpired):  # the first one leaves it its time
            worker.wait(timeout=0.3)
        began = time.monotonic()
        worker.terminate()
        assert worker.wait(timeout=20) == 0
        assert time.monotonic() - began < AT_ONCE_SEC
        assert '"chunk_released"' in worker.stderr.read()
    released = JobService(database).chunks(job.id)[0]
    assert (released.status, released.attempts, released.failures, released.claimed_by) == ("queued", 1, 0, None)


def test_a_second_sigterm_ends_a_working_worker_and_its_media_child_at_once(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path
) -> None:
    workers.fleet.settings = workers.settings.model_copy(update={"drain_seconds": 60.0})
    job = submit(database, settings, make_sample(tmp_path / "clip.mp4", seconds=8).as_uri())
    worker = workers.start_chunk_worker()
    chunk = workers.wait_for_work(job)
    (server,) = psutil.Process(worker.process.pid).children()
    (child,) = map(psutil.Process, media_children(worker.process.pid))
    worker.process.terminate()
    wait_until(lambda: '"worker_draining"' in workers.log("chunk-0"), 60, "the worker hears the first signal")
    service = JobService(database)
    worker.process.terminate()
    wait_until(lambda: service.chunks(job.id)[0].status == "queued", AT_ONCE_SEC, "the chunk is given back")
    assert worker.process.wait(timeout=20) == 0
    for process in (child, server):
        wait_until(lambda process=process: _is_over(process), 60, "the media process ends")
    released = service.chunks(job.id)[chunk.chunk_index]
    assert (released.status, released.attempts, released.failures) == ("queued", 1, 0)


def _is_over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_task_is_protected_before_its_worker_claims_and_not_when_it_is_idle(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = settings.model_copy(update={"chunk_seconds": 1.0})
    job = submit(database, few, make_sample(tmp_path / "clip.mp4", seconds=2).as_uri())
    service = JobService(database)
    agent = Agent(note=lambda: sum(chunk.attempts for chunk in service.chunks(job.id)))
    agent.reply = refusal("DEPLOYMENT_BLOCKED")
    with loopback(agent) as address:
        monkeypatch.setenv("ECS_AGENT_URI", f"{address}/api")
        workers.start_chunk_worker()
        wait_until(lambda: agent.asked, 60, "the worker asks")
        time.sleep(0.5)  # some polls
        assert agent.note() == 0  # refused: nothing is claimed
        agent.asked.clear()
        agent.reply = None
        wait_until(lambda: service.get(job.id).status == "aggregating", 60, "the chunks are done")
        wait_until(lambda: len(agent.asked) == 2, 60, "the protection is dropped")
    assert agent.asked == [(True, 0), (False, service.get(job.id).total_chunks)]


def test_a_spot_notice_in_the_middle_of_a_chunk_lets_it_finish_and_claims_no_other(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.fleet.settings = workers.settings.model_copy(update={"drain_seconds": 60.0})
    few = settings.model_copy(update={"chunk_seconds": 2.0})
    job = submit(database, few, make_sample(tmp_path / "clip.mp4", seconds=6).as_uri())
    agent, metadata = Agent(), Metadata()
    with loopback(agent) as agent_address, loopback(metadata) as metadata_address:
        monkeypatch.setenv("ECS_AGENT_URI", f"{agent_address}/api")
        monkeypatch.setenv("SPOT_NOTICE", "ec2")
        monkeypatch.setenv("SPOT_METADATA_URL", metadata_address)
        monkeypatch.setenv("SPOT_POLL_SECONDS", "0.05")
        worker = workers.start_chunk_worker()
        held = workers.wait_for_work(job)
        metadata.notice = NOTICE
        assert worker.process.wait(timeout=60) == 0
    chunks = JobService(database).chunks(job.id)
    # Whoever is slow to look has seen one more completed by the same worker; what was not begun is nobody's.
    assert chunks[held.chunk_index].status == "completed"
    left = [chunk for chunk in chunks if chunk.status != "completed"]
    assert [(chunk.status, chunk.attempts, chunk.failures) for chunk in left] == [("queued", 0, 0)] * len(left)
    assert left
    assert agent.wishes == [True, False]
    log = workers.log("chunk-0")
    assert log.index('"spot_notice"') < log.index('"worker_draining"') < log.index('"worker_stopped"')


@pytest.mark.slow
def test_a_pod_is_marked_before_its_worker_claims_and_not_when_it_is_idle(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = settings.model_copy(update={"chunk_seconds": 1.0})
    job = submit(database, few, make_sample(tmp_path / "clip.mp4", seconds=2).as_uri())
    service, authority = JobService(database), make_authority(tmp_path)
    cluster = Cluster(note=lambda: sum(chunk.attempts for chunk in service.chunks(job.id)))
    with loopback(cluster, authority.server) as address:
        place = urlsplit(address)
        for name, value in {
            "KUBERNETES_SERVICE_HOST": place.hostname,
            "KUBERNETES_SERVICE_PORT": str(place.port),
            "POD_NAMESPACE": POD.split("/")[4],
            "POD_NAME": POD.split("/")[6],
            "SERVICE_ACCOUNT_DIR": str(mount_account(tmp_path, authority)),
        }.items():
            monkeypatch.setenv(name, str(value))
        workers.start_chunk_worker()
        wait_until(lambda: service.get(job.id).status == "aggregating", 60, "the chunks are done")
        wait_until(lambda: len(cluster.history) == 2, 60, "the marks are taken away")
    assert list(zip(cluster.history, cluster.noted, strict=True)) == [
        (True, 0), (False, service.get(job.id).total_chunks),
    ]  # fmt: skip


class Trickle:
    """A source that gives every read a while, and says whether it is alive by that."""

    uri = "trickle"

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self.info = ObjectInfo(len(self._data), "1")

    def read_at(self, offset: int, length: int) -> bytes:
        threading.Event().wait(1.0)
        return self._data[offset : offset + length]


def test_a_source_that_trickles_does_not_hold_a_planner_for_ever(settings: Settings, tmp_path: Path) -> None:
    source = Trickle(make_sample(tmp_path / "clip.mp4", seconds=1))
    hasty = settings.model_copy(update={"probe_seconds": 0.5})
    with pytest.raises(SandboxTimeout, match="too slow"):
        probe_source(RangeReader(source), hasty)


class Stop(Exception):
    pass


def test_a_probe_hears_that_its_claim_is_lost(settings: Settings, tmp_path: Path) -> None:
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 0.2:
            raise Stop

    with pytest.raises(Stop):
        probe_source(RangeReader(Trickle(make_sample(tmp_path / "clip.mp4", seconds=1))), settings, check)

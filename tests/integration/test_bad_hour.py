"""Workers as processes whose store, disk or neighbours fail: the work outlives it, and nothing counts against it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import boto3
import pytest
from pydantic import SecretStr

from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.settings import Settings
from tests.integration.conftest import Workers, wait_until
from tests.integration.test_workers import submit
from tests.loopback import Request, loopback
from tests.samples import make_sample


class Door:
    """A way to a server on this machine, by port or socket. Closed, it hangs up on whoever comes or is there."""

    def __init__(self, behind: int | str) -> None:
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.is_open = True
        self._passing: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.is_open = False
        for end in self._passing:
            _hang_up(end)
        self._passing.clear()

    def remove(self) -> None:
        self.close()
        _hang_up(self._listener)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.is_open:
                client.close()
                continue
            server = self._dial()
            self._passing += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=ends, daemon=True).start()

    def _dial(self) -> socket.socket:
        if isinstance(self._behind, int):
            return socket.create_connection(("127.0.0.1", self._behind))
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._behind)
        return server


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(2**16):
            target.sendall(data)
    except OSError:
        pass
    _hang_up(target)


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was faster
        end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def door(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The workers' way to the S3 server, with the bucket `films`."""
    boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1").create_bucket(Bucket="films")
    door = Door(int(s3_server.rsplit(":", 1)[1]))
    monkeypatch.setenv("MAX_ATTEMPTS", "1")
    yield door
    door.remove()


@pytest.fixture
def remote(door: Door, workers: Workers, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a fleet whose store is behind the door; its workers have them."""
    monkeypatch.setenv("S3_ENDPOINT_URL", door.address)
    given = settings.model_dump(exclude_unset=True) | {"storage_url": "s3://films/store", "max_attempts": 1}
    found = Settings.model_validate(given)
    workers.fleet.settings = found.model_copy(update={"poll_seconds": 0.1, "drain_seconds": 0, "detector": "hog"})
    return found


def test_jobs_outlive_a_store_that_is_away(
    door: Door, remote: Settings, workers: Workers, database: Database, tmp_path: Path
) -> None:
    source = make_sample(tmp_path / "clip.mp4", seconds=2).as_uri()
    service = JobService(database)
    job = submit(database, remote, source)
    door.close()
    unplanned = submit(database, remote, source, plan=False)
    workers.start_chunk_worker()
    workers.start_analysis_worker()
    wait_until(lambda: service.chunks(job.id)[0].put_backs, 60, "the chunk is put back")
    wait_until(lambda: service.get(unplanned.id).put_backs, 60, "the planning is put back")
    door.is_open = True
    for each in (job, unplanned):
        ended = workers.wait_for_end(each, timeout_sec=120)
        assert (ended.status, ended.failures) == ("done", 0), ended.error_message
        assert [chunk.failures for chunk in service.chunks(each.id)] == [0]
    assert '"worker_well"' in workers.log("analysis")


def test_a_machine_with_a_wrong_endpoint_harms_no_job_beside_a_healthy_one(
    remote: Settings, workers: Workers, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = remote.model_copy(update={"chunk_seconds": 1.0})
    job = submit(database, few, make_sample(tmp_path / "clip.mp4", seconds=6).as_uri())
    service = JobService(database)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        monkeypatch.setenv("S3_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
    workers.start_chunk_worker("sick")
    wait_until(lambda: '"chunk_put_back"' in workers.log("sick"), 60, "the sick worker has had its try")
    monkeypatch.setenv("S3_ENDPOINT_URL", remote.s3_endpoint_url or "")
    workers.start_chunk_worker("healthy")
    workers.start_analysis_worker()
    assert workers.wait_for_end(job).status == "done"
    chunks = service.chunks(job.id)
    assert [chunk.failures for chunk in chunks] == [0] * len(chunks)
    assert workers.log("sick").count('"chunk_claimed"') <= 2
    assert '"worker_unwell"' in workers.log("sick")


def test_a_bucket_that_the_job_names_and_that_is_not_there_is_the_jobs_failure(
    remote: Settings, workers: Workers, database: Database, tmp_path: Path
) -> None:
    job = submit(database, remote, make_sample(tmp_path / "clip.mp4", seconds=1).as_uri())
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE video_analysis_jobs SET output_uri = 's3://not-there/film.mp4'")
    workers.start_chunk_worker()
    workers.start_analysis_worker()
    ended = workers.wait_for_end(job)
    assert (ended.status, ended.error_code, ended.put_backs) == ("failed", "output_refused", 0)
    assert "not-there" in (ended.error_message or "")
    assert '"worker_unwell"' not in workers.log("analysis")


def test_a_temporary_folder_that_is_gone_does_not_fail_the_film(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_ATTEMPTS", "1")
    source = make_sample(tmp_path / "clip.mp4", seconds=1).as_uri()
    folder = tmp_path / "tmp"
    folder.mkdir()
    workers.start_chunk_worker()
    with monkeypatch.context() as of_analysis:
        of_analysis.setenv("TMPDIR", str(folder))
        workers.start_analysis_worker()
    # The worker is at home in its folder by then.
    assert workers.wait_for_end(submit(database, settings, source)).status == "done"
    # It is told when the folder of its work has been cleared: nothing of it may be what finds the folder gone.
    wait_until(lambda: '"job_complete"' in workers.log("analysis"), 60, "the first film's work is over")
    shutil.rmtree(folder)
    job = submit(database, settings, source)
    service = JobService(database)
    wait_until(lambda: service.get(job.id).put_backs, 60, "the aggregation is put back")
    assert '"worker_unwell"' in workers.log("analysis")
    folder.mkdir()
    ended = workers.wait_for_end(job)
    assert (ended.status, ended.failures) == ("done", 0), ended.error_message


def test_a_dead_source_holds_one_worker_of_two_while_a_good_job_is_done(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDBOX_SILENCE_SECONDS", "2")
    monkeypatch.setenv("MAX_ATTEMPTS", "4")
    few = settings.model_copy(update={"chunk_seconds": 1.0})
    clip = make_sample(tmp_path / "clip.mp4", seconds=8)
    source = _Stopping(clip.read_bytes())
    service = JobService(database)
    with loopback(source) as address:
        bad = submit(database, few, f"{address}/clip.mp4")
        source.is_dead.set()
        for name in ("chunk-0", "chunk-1"):
            workers.start_chunk_worker(name)
        workers.start_analysis_worker()
        wait_until(lambda: any(chunk.failures for chunk in service.chunks(bad.id)), 60, "a read is given up")
        # Both workers may have begun at once; the other one finds out for itself.
        wait_until(lambda: held(service, bad.id) < 2, 60, "the other read is given up")
        good = submit(database, few, make_sample(tmp_path / "good.mp4", seconds=3).as_uri())
        most = 0
        while service.get(good.id).status != "done" or service.get(bad.id).status == "processing":
            most = max(most, held(service, bad.id))
            assert service.get(good.id).status != "failed"
            time.sleep(0.05)
        source.is_dead.clear()
        source.let_go.set()
    assert most == 1
    ended = service.get(bad.id)
    assert (ended.status, ended.error_code) == ("failed", "source_unreachable")


def held(service: JobService, job_id: UUID) -> int:
    """How many workers are at chunks of the job."""
    return sum(chunk.status == "processing" for chunk in service.chunks(job_id))


def test_a_database_that_is_away_for_longer_than_a_lease_counts_no_failure(
    workers: Workers, database: Database, database_url: str, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MAX_ATTEMPTS", "1")
    monkeypatch.setenv("LEASE_SECONDS", "4")
    url = urlsplit(database_url)
    door = Door(parse_qs(url.query)["host"][0] + "/.s.PGSQL.5432")
    port = door.address.rsplit(":", 1)[1]
    remote = f"postgresql://{url.username}:{url.password}@127.0.0.1:{port}{url.path}?sslmode=disable&gssencmode=disable"
    workers.fleet.settings = workers.settings.model_copy(update={"database_url": SecretStr(remote)})
    job = submit(database, settings, make_sample(tmp_path / "clip.mp4", seconds=16).as_uri())
    workers.start_chunk_worker()
    workers.wait_for_work(job)
    door.close()
    time.sleep(9)
    door.is_open = True
    workers.start_analysis_worker()
    ended = workers.wait_for_end(job, timeout_sec=120)
    door.remove()
    assert ended.status == "done", ended.error_message
    assert [chunk.failures for chunk in JobService(database).chunks(job.id)] == [0]


class _Stopping:
    """A server of one file that, once dead, answers no range but the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.is_dead = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, request: Request) -> tuple[int, bytes, dict[str, str]]:
        first, last = (int(part) for part in request.headers["range"].removeprefix("bytes=").split("-"))
        if self.is_dead.is_set() and first > 0:
            self.let_go.wait(120)
        part = self._data[first : last + 1]
        return 206, part, {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(self._data)}", "ETag": '"1"'}

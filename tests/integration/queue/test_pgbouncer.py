"""Through PgBouncer in transaction mode: each transaction may run on another server connection."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from backend.db.embedded import SUPERUSER
from backend.db.engine import Database
from backend.errors import ClaimLost
from backend.jobs.fleet import pause_fleet, resume_fleet
from backend.jobs.queue import Queue
from backend.jobs.service import JobService
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from tests.integration.queue.helpers import (
    BROKEN,
    STALE_ACTS,
    TRY_AGAIN,
    assert_consistent,
    claim_of,
    complete,
    expire_chunk,
    finish,
    job_claim_of,
    planned_job,
    together,
)

# Fewer than workers: their transactions take turns on these.
SERVER_CONNECTIONS = 3
START_SEC = 10


@pytest.fixture
def pooled(database_url: str, tmp_path: Path) -> Iterator[Database]:
    command = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if command is None:
        pytest.skip("the command pgbouncer is not on this machine")
    parts = urlsplit(database_url)
    name, host = parts.path.lstrip("/"), parse_qs(parts.query)["host"][0]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config, users = tmp_path / "pgbouncer.ini", tmp_path / "users.txt"
    users.write_text(f'"{SUPERUSER}" ""\n')
    config.write_text(
        f"[databases]\n{name} = host={host} dbname={name} user={SUPERUSER} pool_size={SERVER_CONNECTIONS}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = transaction\n"
        f"auth_type = trust\nauth_file = {users}\nlogfile = {tmp_path / 'pgbouncer.log'}\nmax_client_conn = 200\n"
    )
    as_user = {}
    if os.geteuid() == 0:  # which pgbouncer refuses to run as
        account = pwd.getpwnam("nobody")
        for path in (tmp_path, config, users):
            os.chown(path, account.pw_uid, account.pw_gid)
        for folder in tmp_path.parents:
            if folder.owner() == "root" and folder != Path("/") and not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o001)
        as_user = {"user": account.pw_uid, "group": account.pw_gid}
    with subprocess.Popen([command, "-q", config], stderr=subprocess.PIPE, text=True, **as_user) as process:
        url = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{name}"
        _wait_until_up(url, process)
        database = Database(url, pool_size=20)
        yield database
        database.close()
        process.terminate()


def _wait_until_up(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_SEC
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None:
                pytest.fail(f"pgbouncer ended: {process.stderr and process.stderr.read()}")
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_the_whole_life_of_a_job_through_a_pooler(pooled: Database, settings: Settings) -> None:
    queue, service = Queue(pooled, settings), JobService(pooled)
    for _ in range(3):  # often enough that a direct connection would have prepared its statements
        job_id = planned_job(pooled, 4)
        stale = claim_of(queue)
        expire_chunk(pooled, stale)
        assert queue.rescue_expired() == 1
        for act in STALE_ACTS.values():
            with pytest.raises(ClaimLost):
                act(queue, stale)
        queue.fail_chunk(claim_of(queue), TRY_AGAIN)
        queue.release_chunk(claim_of(queue))
        service.pause(job_id)
        pause_fleet(pooled)
        assert queue.claim_chunk(DeepMode.GPU) is None
        resume_fleet(pooled)
        service.resume(job_id)
        queue.fail_chunk(claim_of(queue), BROKEN)
        service.retry(job_id)
        while (claim := queue.claim_chunk(DeepMode.GPU)) is not None:
            queue.heartbeat_chunk(claim, 0.5)
            complete(queue, claim)
        finish(queue, job_claim_of(queue))
        assert_consistent(pooled, job_id)
        service.cancel(planned_job(pooled, 2))


def test_many_workers_share_few_server_connections_and_no_chunk(pooled: Database, settings: Settings) -> None:
    job_id = planned_job(pooled, 60)
    capped = settings.model_copy(update={"tenant_max_chunks_in_work": 5})

    def work(name: str) -> list[tuple[int, JobStatus]]:
        queue = Queue(pooled, capped.model_copy(update={"worker_id": name}))
        done = []
        while queue.has_queued(DeepMode.GPU):
            claim = queue.claim_chunk(DeepMode.GPU)
            if claim is not None:
                done.append((claim.chunk_id, complete(queue, claim)))
        return done

    results = [item for share in together(*(lambda n=n: work(f"w{n}") for n in range(8))) for item in share]
    assert len({chunk for chunk, _ in results}) == len(results) == 60
    assert Counter(status for _, status in results)[JobStatus.AGGREGATING] == 1
    assert_consistent(pooled, job_id)


def test_a_pooled_connection_prepares_nothing_and_a_direct_one_does(pooled: Database, database: Database) -> None:
    for database_, prepares in ((pooled, False), (database, True)):
        with database_.transaction() as connection:
            driver = connection.connection.driver_connection
            assert (driver is not None and driver.prepare_threshold is not None) == prepares

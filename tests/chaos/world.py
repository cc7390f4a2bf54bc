"""The servers of one chaos run: a PostgreSQL and an S3 of its own, and the source films in it."""

from __future__ import annotations

import logging
import os
import secrets
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import boto3
from sqlalchemy import text

from backend.db.embedded import EmbeddedPostgres
from backend.db.engine import Database
from backend.db.migrate import upgrade
from backend.errors import DatabaseUnavailable
from tests.chaos import audit
from tests.chaos.films import Frames, frames_of, make_film
from tests.moto_s3 import moto_server

FILM_SECONDS = (2, 3, 4)
KEY = "testing"
POLL_SEC = 0.05

Claim = tuple[str, str, int]  # chunk or job, its id, attempts


@dataclass
class World:
    folder: Path
    postgres: EmbeddedPostgres
    database: Database
    s3_address: tuple[str, int]
    client: Any
    stack: ExitStack
    # Of its own: every S3 server in one process shows the same buckets.
    bucket: str = field(default_factory=lambda: f"chaos-{secrets.token_hex(4)}")
    films: dict[int, tuple[Path, Frames]] = field(default_factory=dict)

    @property
    def postgres_socket(self) -> str:
        folder = parse_qs(urlsplit(self.postgres.url).query)["host"][0]
        return f"{folder}/.s.PGSQL.5432"

    def upload(self, name: str, seconds: int) -> str:
        """Puts one of the films there under a name of its own; returns its URI."""
        self.client.upload_file(str(self.films[seconds][0]), self.bucket, f"in/{name}.mp4")
        return f"s3://{self.bucket}/in/{name}.mp4"

    def restart_postgres(self) -> None:
        """As a crash does it: no checkpoint, every connection lost, recovery from the log."""
        pid_file = self.postgres.folder / "data" / "postmaster.pid"
        pid = int(pid_file.read_text().splitlines()[0])
        end = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(end, signal.SIGQUIT)
            _wait_for(end)
        finally:
            os.close(end)
        self.stack.enter_context(EmbeddedPostgres(self.postgres.folder))

    def terminate_backends(self) -> int:
        """Those of the workers; returns how many there were."""
        query = text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND application_name <> '' AND pid <> pg_backend_pid()"
        )
        with self.database.transaction() as connection:
            return int(connection.execute(query).scalar_one())

    def unfinished(self) -> set[UUID]:
        """Jobs that are not over."""
        query = text("SELECT id FROM video_analysis_jobs WHERE status NOT IN ('done', 'failed', 'cancelled')")
        while True:
            try:
                with self.database.transaction() as connection:
                    return set(connection.execute(query).scalars())
            except DatabaseUnavailable:  # it restarts just now
                time.sleep(POLL_SEC)

    def claim_of(self, worker_id: str) -> Claim | None:
        """What that worker works on: of claims whose answer it never got, the leases are older."""
        return next((claim for claim, holder in self._held().items() if holder == worker_id), None)

    def is_superseded(self, claim: Claim) -> bool:
        """Whether its row is in another claim's hands right now: only the number tells them apart."""
        row, id, number = claim
        return any((row, id) == (r, i) and n > number for r, i, n in self._held())

    def _held(self) -> dict[Claim, str]:
        """Claims in force and their holders, the latest lease first."""
        columns = "id::text, attempts, claimed_by, lease_expires_at"
        query = text(
            f"SELECT 'chunk' AS what, {columns} FROM video_analysis_chunks WHERE lease_expires_at > now()"
            f" UNION ALL SELECT 'job', {columns} FROM video_analysis_jobs WHERE lease_expires_at > now()"
            " ORDER BY lease_expires_at DESC"
        )
        try:
            with self.database.transaction() as connection:
                return {(row, id, number): holder for row, id, number, holder, _ in connection.execute(query)}
        except DatabaseUnavailable:  # it restarts just now
            return {}


@contextmanager
def open_world(folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        database = Database(postgres.url)
        stack.callback(database.close)
        upgrade(database)
        audit.install(database)
        address = _start_s3(stack)
        client = boto3.client(
            "s3",
            endpoint_url="http://{}:{}".format(*address),
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
        )
        world = World(folder, postgres, database, address, client, stack)
        client.create_bucket(Bucket=world.bucket)
        for seconds in FILM_SECONDS:
            path = make_film(folder / f"{seconds}.mp4", seconds)
            world.films[seconds] = (path, frames_of(path))
        yield world


def _start_s3(stack: ExitStack) -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
    server = moto_server(port)
    server.start()
    stack.callback(server.stop)
    return "127.0.0.1", port


def _wait_for(end: int, timeout_sec: float = 20.0) -> None:
    if not select.select([end], [], [], timeout_sec)[0]:
        raise TimeoutError("PostgreSQL did not stop.")

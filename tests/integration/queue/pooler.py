"""PgBouncer in transaction mode between a test and its database."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from backend.db.embedded import SUPERUSER
from backend.db.engine import Database

START_SEC = 10


@contextmanager
def through_pooler(database_url: str, folder: Path, server_connections: int) -> Iterator[Database]:
    """The database as it is seen through a PgBouncer of this test; the test is skipped where there is none."""
    command = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if command is None:
        pytest.skip("the command pgbouncer is not on this machine")
    parts = urlsplit(database_url)
    name, folder_of_socket = parts.path.lstrip("/"), parse_qs(parts.query).get("host", [None])[0]
    place = f"host={folder_of_socket or parts.hostname} port={parts.port or 5432}"
    login = f"user={parts.username} password={parts.password}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config, users = folder / "pgbouncer.ini", folder / "users.txt"
    users.write_text(f'"{SUPERUSER}" ""\n')
    config.write_text(
        f"[databases]\n{name} = {place} dbname={name} {login} pool_size={server_connections}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = transaction\n"
        f"auth_type = trust\nauth_file = {users}\nlogfile = {folder / 'pgbouncer.log'}\nmax_client_conn = 200\n"
    )
    as_user = {}
    if os.geteuid() == 0:  # which pgbouncer refuses to run as
        account = pwd.getpwnam("nobody")
        for path in (folder, config, users):
            os.chown(path, account.pw_uid, account.pw_gid)
        for above in folder.parents:
            if above.owner() == "root" and above != Path("/") and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o001)
        as_user = {"user": account.pw_uid, "group": account.pw_gid}
    with subprocess.Popen([command, "-q", config], stderr=subprocess.PIPE, text=True, **as_user) as process:
        url = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{name}"
        _wait_until_up(url, process)
        database = Database(url, pool_size=20)
        try:
            yield database
        finally:
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

"""PostgreSQL servers of other versions and with passwords, each for one test run, on a free port."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.db.embedded import SUPERUSER, UNPRIVILEGED_USER

PASSWORD = "s3cr3t"
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def started_server(bin_folder: Path, **options: str) -> Iterator[str]:
    """The URL of its database `postgres`, over TCP with a password. As root it runs as an unprivileged account."""
    with tempfile.TemporaryDirectory(prefix="framefleet-test-") as name, socket.socket() as probe:
        folder = Path(name)
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam(UNPRIVILEGED_USER)
            os.chown(folder, account.pw_uid, account.pw_gid)
            as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        data = folder / "data"

        def run(command: str, *arguments: str) -> None:
            with (folder / "output").open("a+") as output:
                place = {"cwd": folder, "stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
                done = subprocess.run([bin_folder / command, "-D", data, *arguments], **place, **as_user)
                output.seek(0)
                assert done.returncode == 0, output.read()

        run("initdb", "-U", SUPERUSER, "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--no-locale", "-N")
        wanted = {"port": str(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        words = " ".join(f"-c {key}={value or chr(39) * 2}" for key, value in {**wanted, **options}.items())
        probe.close()
        run("pg_ctl", "-w", "-l", str(data / "server.log"), "-o", words, "start")
        try:
            yield f"postgresql://{SUPERUSER}:{PASSWORD}@127.0.0.1:{port}/postgres?sslmode=disable"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")

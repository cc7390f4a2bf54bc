"""The whole service on one machine: what `framefleet up` does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from backend.access.keys import has_keys
from backend.access.loopback import is_loopback
from backend.db.engine import Database
from backend.db.provided import database_of
from backend.errors import FramefleetError
from backend.local.gunicorn_hooks import PARENT_VARIABLE
from backend.local.parts import Fleet, open_log
from backend.media.jail.platform import require_jail
from backend.settings import Settings
from backend.workers.command import EXIT_BAD_SETUP
from backend.workers.leftovers import remove_leftovers

START_TIMEOUT_SEC = 30.0
WATCH_EVERY_SEC = 0.5
RESTART_PAUSE_SEC = 2.0
MAX_DRAIN_SEC = 10.0
MAX_POLL_SEC = 0.25


class ServiceFailed(FramefleetError):
    code = "service_failed"


class Service:
    """Database, API and workers, for as long as the context lasts. Whatever dies meanwhile is started anew."""

    def __init__(self, settings: Settings, *, workers: int, host: str, port: int) -> None:
        # Whoever presses Ctrl-C waits no longer than this; chunks that are not done by then are released.
        drain_sec = min(settings.drain_seconds, MAX_DRAIN_SEC)
        # A few workers of one machine may ask often: somebody waits in front of it.
        poll_sec = min(settings.poll_seconds, MAX_POLL_SEC)
        changes = {"data_dir": settings.data_dir.resolve(), "drain_seconds": drain_sec, "poll_seconds": poll_sec}
        self._given = settings.model_copy(update=changes)
        self._workers = workers
        self._host = host
        self._port = port or _free_port(host)
        self._stack = ExitStack()
        self._stopping = _StopFlag()

    @property
    def address(self) -> str:
        return f"http://{self._host}:{self._port}"

    def __enter__(self) -> Self:
        """Raises JailUnavailable, and ServiceFailed or DatabaseUnavailable when a part cannot start, or others could
        reach it without any key that they would need."""
        require_jail(self._given)
        remove_leftovers()
        with ExitStack() as stack:
            self.database, self.settings = stack.enter_context(database_of(self._given))
            _check_somebody_may_call(self.database, self.settings, self._host)
            self.fleet = stack.enter_context(Fleet(self.settings, self.settings.data_dir / "logs"))
            self._api = _start_api(self.fleet, self._host, self._port)
            stack.callback(_stop_api, self._api)
            threads = max(1, (os.cpu_count() or 1) // max(1, self._workers))
            for number in range(self._workers):
                name = f"gpu_chunk_worker-{number}"
                self.fleet.start("backend.workers.gpu_chunk_worker", threads=threads, name=name)
            self.fleet.start("backend.workers.analysis_worker")
            _wait_until_listening(self._host, self._port, self._api)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def check(self) -> None:
        """Starts dead workers anew.

        Raises ServiceFailed for what would die again, KeyboardInterrupt when told to stop.
        """
        if self._stopping.is_set:
            raise KeyboardInterrupt
        if self._api.poll() is not None:
            raise ServiceFailed(f"The API stopped; see {self.fleet.log_folder / 'api.log'}.")
        _restart_dead(self.fleet)

    def wait(self) -> None:
        """Until SIGINT or SIGTERM."""
        while not self._stopping.is_set:
            time.sleep(WATCH_EVERY_SEC)
            if not self._stopping.is_set:
                self.check()


def serve(settings: Settings, *, workers: int, host: str, port: int, console: Console) -> int:
    """Runs until SIGINT or SIGTERM. Returns the exit code. Raises ServiceFailed when a part cannot start at all."""
    with Service(settings, workers=workers, host=host, port=port) as service:
        console.print(f"framefleet is up: {service.address}/", soft_wrap=True)
        console.print(f"Logs are in {service.fleet.log_folder}. Ctrl-C stops everything.", soft_wrap=True)
        service.wait()
    return 0


class _StopFlag:
    def __init__(self) -> None:
        self.is_set = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._set)

    def _set(self, number: int, frame: object) -> None:
        self.is_set = True


def _start_api(fleet: Fleet, host: str, port: int) -> subprocess.Popen[bytes]:
    fleet.log_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_free(host, port)
    with open_log(fleet.log_folder / "api.log") as log:
        return subprocess.Popen(
            [
                sys.executable, "-m", "gunicorn", "--bind", f"{host}:{port}",
                "--config", "python:backend.local.gunicorn_hooks", "backend.api.app:create_app()",
            ],
            env=fleet.environment() | {PARENT_VARIABLE: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )  # fmt: skip


def _stop_api(api: subprocess.Popen[bytes]) -> None:
    if api.poll() is None:
        api.terminate()
        try:
            api.wait(timeout=10)
        except subprocess.TimeoutExpired:
            api.kill()
            api.wait()


def _wait_until_listening(host: str, port: int, api: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SEC
    while time.monotonic() < deadline and api.poll() is None:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise ServiceFailed(f"The API does not listen on {host}:{port}; is the port taken? Try --port 0.")


def _restart_dead(fleet: Fleet) -> None:
    """A killed worker is replaced; one that says its set-up is bad would only say it again."""
    for worker in [w for w in fleet.workers if w.process.poll() is not None]:
        if worker.process.returncode == EXIT_BAD_SETUP:
            raise ServiceFailed(f"{Path(worker.log_path).stem}: {worker.last_words()}")
        time.sleep(RESTART_PAUSE_SEC)
        fleet.restart(worker)


def _check_somebody_may_call(database: Database, settings: Settings, host: str) -> None:
    """Raises ServiceFailed."""
    if settings.api_access == "open" or is_loopback(host) or has_keys(database):
        return
    raise ServiceFailed(
        f"On {host} others can reach the API, and each of them needs a key, but there is none. Make one first:"
        f" framefleet keys create NAME --data-dir {settings.data_dir}. (API_ACCESS=open lets everybody in.)"
    )


def _check_free(host: str, port: int) -> None:
    """Else whoever listens there would be taken for our own API. Raises ServiceFailed."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ServiceFailed(
            f"{host}:{port} cannot be used ({error.strerror}); try --port 0, or stop who listens."
        ) from error


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])

"""The whole service on one machine: what `framefleet up` does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from backend.errors import FramefleetError
from backend.local import Fleet, Worker, database_of
from backend.settings import Settings
from backend.workers.command import EXIT_BAD_SETUP

API_THREADS = 8
START_TIMEOUT_SEC = 30.0
WATCH_EVERY_SEC = 0.5
RESTART_PAUSE_SEC = 2.0
UPLOAD_TIMEOUT_SEC = 3600


class ServiceFailed(FramefleetError):
    code = "service_failed"


def serve(settings: Settings, *, workers: int, host: str, port: int, console: Console) -> int:
    """Runs until SIGINT or SIGTERM, starting anew whatever dies. Returns the exit code.

    Raises ServiceFailed when a part cannot start at all.
    """
    stopping = _StopFlag()
    port = port or _free_port(host)
    settings = settings.model_copy(update={"data_dir": settings.data_dir.resolve()})
    with database_of(settings) as (_, settings), Fleet(settings, settings.data_dir / "logs") as fleet:
        api = _start_api(fleet, settings, host, port)
        try:
            threads = max(1, (os.cpu_count() or 1) // max(1, workers))
            for number in range(workers):
                name = f"gpu_chunk_worker-{number}"
                fleet.start("backend.workers.gpu_chunk_worker", threads=threads, name=name)
            fleet.start("backend.workers.analysis_worker")
            _wait_until_listening(host, port, api)
            console.print(f"framefleet is up: http://{host}:{port}/   (logs: {fleet.log_folder}; Ctrl-C stops it)")
            while not stopping.is_set:
                time.sleep(WATCH_EVERY_SEC)
                if api.poll() is not None:
                    raise ServiceFailed(f"The API stopped; see {fleet.log_folder / 'api.log'}.")
                _restart_dead(fleet)
        finally:
            _stop_api(api)
    return 0


class _StopFlag:
    def __init__(self) -> None:
        self.is_set = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._set)

    def _set(self, number: int, frame: object) -> None:
        self.is_set = True


def _start_api(fleet: Fleet, settings: Settings, host: str, port: int) -> subprocess.Popen[bytes]:
    fleet.log_folder.mkdir(parents=True, exist_ok=True)
    with (fleet.log_folder / "api.log").open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable, "-m", "gunicorn", "--bind", f"{host}:{port}", "--threads", str(API_THREADS),
                "--timeout", str(UPLOAD_TIMEOUT_SEC), "--worker-tmp-dir", _memory_folder(), "backend.api.app:create_app()",
            ],
            env=fleet.environment(),
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


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _memory_folder() -> str:
    """Where gunicorn keeps its heartbeat file: a slow disk would make it think that a worker hangs."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else "/tmp"  # noqa: S108

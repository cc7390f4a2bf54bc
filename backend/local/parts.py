"""Worker processes of one machine, which end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID

from backend.errors import DatabaseUnavailable
from backend.settings import Settings

STOP_GRACE_SEC = 15.0
LOG_TAIL_BYTES = 2000
LOG_MODE = 0o600
# One encoder keeps about so many cores busy. With fewer than twice as many, pieces of a film would only wait for one
# another, and each has frames of its neighbours to decode and to encode besides (docs/performance.md).
CORES_OF_ENCODER = 4


def open_log(path: Path) -> BinaryIO:
    """To be written at its end, by this user alone and to be read by nobody else: events name people's files."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, LOG_MODE)
    os.fchmod(fd, LOG_MODE)  # an earlier version's may be anybody's to read
    return os.fdopen(fd, "ab")


@dataclass
class Worker:
    """A child process and the file its log goes to."""

    module: str
    command: list[str]
    threads: int | None
    log_path: Path
    process: subprocess.Popen[bytes]
    asked: subprocess.Popen[bytes] | None = None  # the process that was asked to stop

    def last_words(self) -> str:
        """The last line of its log that is not a JSON event: what it said to a person."""
        data = self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        lines = [line for line in data.splitlines() if line and not line.startswith("{")]
        return lines[-1] if lines else f"see {self.log_path}"


@dataclass
class Fleet:
    """Worker processes of this machine. Leaving it stops them: SIGTERM, and after a grace SIGKILL."""

    settings: Settings
    log_folder: Path
    workers: list[Worker] = field(default_factory=list)

    def start(self, module: str, *, threads: int | None = None, job_id: UUID | None = None, name: str = "") -> Worker:
        self.log_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log_path = self.log_folder / f"{name or module.rsplit('.', 1)[-1]}.log"
        command = [sys.executable, "-m", module, "--parent-pid", str(os.getpid())]
        if job_id is not None:
            command += ["--job", str(job_id)]
        worker = Worker(module, command, threads, log_path, self._spawn(command, threads, log_path))
        self.workers.append(worker)
        return worker

    def restart(self, worker: Worker) -> None:
        worker.process = self._spawn(worker.command, worker.threads, worker.log_path)

    def _spawn(self, command: list[str], threads: int | None, log_path: Path) -> subprocess.Popen[bytes]:
        with open_log(log_path) as log:
            return subprocess.Popen(
                command,
                env=self.environment(threads),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal is the parent's to handle
            )

    def ask_to_stop(self) -> None:
        """They end while the caller goes on. Asked once: a second SIGTERM would end them in the middle of things."""
        for worker in self.workers:
            if worker.process.poll() is None and worker.asked is not worker.process:
                worker.asked = worker.process
                worker.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        self.ask_to_stop()
        deadline = time.monotonic() + STOP_GRACE_SEC
        for worker in self.workers:
            try:
                worker.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()

    def environment(self, threads: int | None = None) -> dict[str, str]:
        if self.settings.database_url is None:
            raise DatabaseUnavailable("The workers need a database.")
        environment = dict(os.environ) | {
            "DATABASE_URL": self.settings.database_url.get_secret_value(),
            "STORAGE_URL": self.settings.storage_root_url,
            "FRAMEFLEET_DATA_DIR": str(self.settings.data_dir.resolve()),
            "DETECTOR": self.settings.detector,
            "POLL_SECONDS": str(self.settings.poll_seconds),
            "DRAIN_SECONDS": str(self.settings.drain_seconds),
        }
        environment.pop("WORKER_ID", None)
        if not self.renders_in_pieces:
            environment["RENDER_FANOUT_SECONDS"] = "inf"
        if threads is not None and self.settings.threads is None:
            environment["FRAMEFLEET_THREADS"] = str(threads)
        return environment

    @property
    def renders_in_pieces(self) -> bool:
        """Whether RENDER_FANOUT_SECONDS holds: where it is set, or this machine has cores for two encoders."""
        is_asked = "render_fanout_seconds" in self.settings.model_fields_set or "RENDER_FANOUT_SECONDS" in os.environ
        return is_asked or len(os.sched_getaffinity(0)) >= 2 * CORES_OF_ENCODER

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

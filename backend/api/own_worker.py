"""A worker beside the API for one job: where a push queue sends jobs to a machine that has no fleet."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from backend.errors import Busy, ModelMissing, Unexpected
from backend.settings import Settings

EXIT_BAD_SETUP = 2  # of backend/workers/command.py


class OwnWorker:
    """One at a time: a second one would only take the cores of the first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._job_id: UUID | None = None

    def works_on(self, job_id: UUID) -> bool:
        return self._job_id == job_id

    def run(self, job_id: UUID) -> None:
        """Returns when the job is over. Raises Busy while it works on another one, ModelMissing, Unexpected."""
        with self._turn(job_id):
            # In the worker's log, which is the API's, stands what it says.
            code = subprocess.run(self._command(job_id), env=self._environment(), stdin=subprocess.DEVNULL).returncode
        if code == EXIT_BAD_SETUP:
            raise ModelMissing("This machine cannot work on the job: its log says what is missing.")
        if code != 0:
            raise Unexpected(f"The worker ended with code {code}: its log says why. The job goes on when sent again.")

    @contextmanager
    def _turn(self, job_id: UUID) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise Busy("This machine works on another job: send this one again later.")
        self._job_id = job_id
        try:
            yield
        finally:
            self._job_id = None
            self._lock.release()

    def _command(self, job_id: UUID) -> list[str]:
        return [
            sys.executable, "-m", "backend.workers.one_job", "--job", str(job_id), "--parent-pid", str(os.getpid()),
        ]  # fmt: skip

    def _environment(self) -> dict[str, str]:
        """What the worker must share with this process, should that have it from elsewhere than the environment."""
        settings = self._settings
        assert settings.database_url is not None, "the API has a database"
        environment = dict(os.environ) | {
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "STORAGE_URL": settings.storage_root_url,
            "FRAMEFLEET_DATA_DIR": str(settings.data_dir.resolve()),
            "DETECTOR": settings.detector,
        }
        environment.pop("WORKER_ID", None)
        return environment

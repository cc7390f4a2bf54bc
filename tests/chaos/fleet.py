"""Worker processes in named slots: struck from outside, and started again by a supervisor like any operator's."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.media_children import media_children

CHUNK_WORKER = "backend.workers.gpu_chunk_worker"
ANALYSIS_WORKER = "backend.workers.analysis_worker"
MAX_RESTART_PAUSE_SEC = 0.3
STOP_GRACE_SEC = 10.0


class Nursery:
    """The process that forks the workers; they end with it."""

    def __init__(self, folder: Path) -> None:
        environment = dict(os.environ) | {"YOLO_CONFIG_DIR": str(folder), "YOLO_AUTOINSTALL": "false"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).resolve().parents[2],
        )
        self._turn = threading.Lock()

    def start(self, module: str, log: Path, environment: Mapping[str, str]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            order = {"module": module, "log": str(log), "env": dict(environment)}
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(STOP_GRACE_SEC)


@dataclass
class Slot:
    """A place in the fleet. Each process in it has a name of its own: worker id, session name and log file."""

    name: str
    module: str
    environment: Mapping[str, str]
    folder: Path
    nursery: Nursery
    generation: int = 0
    may_end: bool = False  # we struck it
    _ends: list[int] = field(default_factory=list)  # descriptors that turn readable when a process ends
    _pid: int = 0

    @property
    def worker_id(self) -> str:
        return f"{self.name}.{self.generation}"

    @property
    def is_alive(self) -> bool:
        return not self.wait(0)

    def start(self) -> None:
        self.generation += 1
        environment = {**self.environment, "WORKER_ID": self.worker_id, "PGAPPNAME": self.worker_id}
        self._pid = self.nursery.start(self.module, self.folder / f"{self.worker_id}.log", environment)
        # The ones before stay open: another thread may look at one right now.
        self._ends.append(os.pidfd_open(self._pid))
        self.may_end = False

    def close(self) -> None:
        for end in self._ends:
            os.close(end)

    def kill(self) -> None:
        self.may_end = True
        self.send(signal.SIGKILL)
        self.wait(STOP_GRACE_SEC)

    def drain(self) -> None:
        self.may_end = True
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it was faster
            signal.pidfd_send_signal(self._ends[-1], number)

    def wait(self, timeout_sec: float) -> bool:
        """Whether its process ended within that time."""
        return bool(select.select([self._ends[-1]], [], [], timeout_sec)[0])

    def has_child(self) -> bool:
        """Whether a media process of it is at work."""
        return bool(media_children(self._pid))


class Fleet:
    """Slots whose processes are started again, after a moment, whenever they end."""

    def __init__(self, slots: list[Slot], rng: random.Random) -> None:
        self.slots = slots
        self.unexplained_ends: list[str] = []
        self.restarts = 0
        self._pause_sec = rng.uniform(0, MAX_RESTART_PAUSE_SEC)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def start(self) -> None:
        for slot in self.slots:
            slot.start()
        self._thread.start()

    def stop(self) -> None:
        """Ends them all; returns when nobody writes to the queue any more."""
        self._stopping.set()
        self._thread.join()
        for slot in self.slots:
            slot.drain()
        for slot in self.slots:
            if not slot.wait(STOP_GRACE_SEC):
                slot.kill()
            slot.close()

    def _supervise(self) -> None:
        while not self._stopping.wait(0.05):
            for slot in self.slots:
                if slot.is_alive:
                    continue
                if not slot.may_end:
                    self.unexplained_ends.append(slot.worker_id)
                time.sleep(self._pause_sec)
                slot.start()
                self.restarts += 1

"""compose.yaml's own services as plain processes: its commands, its environment, its order; other hosts and ports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.docker.compose import DOCKERFILE, PROJECT, Compose, in_order, is_ours, target_of
from tests.docker.dockerfile import command_of, environment_of

START_SEC = 60.0
STOP_SEC = 30.0
SCRATCH = ("HOME", "TMPDIR", "MPLCONFIGDIR", "FRAMEFLEET_DATA_DIR")


@dataclass
class Stack:
    """What runs, and where: `ports` by service, as the containers' 8080 and 9090."""

    folder: Path
    replaced: Mapping[str, str]
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    exit_codes: dict[str, int] = field(default_factory=dict)

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text()

    def url(self, service: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.ports[service]}{path}"

    def start(self, name: str, service: Mapping[str, Any]) -> None:
        """Returns when it is over (a one-off), or answers (all others)."""
        command = service.get("command") or command_of(DOCKERFILE, target_of(service))
        once = service.get("restart") == "no"
        self.ports[name] = free_port()
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=PROJECT,
                env=self._environment(name, service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if once:
            assert process.wait(timeout=START_SEC) == 0, self.log(name)
        else:
            self.processes[name] = process
            self._wait_until_well(name, service)

    def stop(self) -> None:
        """SIGTERM to all at once, as `docker compose stop` does."""
        for process in self.processes.values():
            process.terminate()
        for name, process in self.processes.items():
            try:
                self.exit_codes[name] = process.wait(timeout=STOP_SEC)
            except subprocess.TimeoutExpired:
                process.kill()
                self.exit_codes[name] = process.wait()

    def _environment(self, name: str, service: Mapping[str, Any]) -> dict[str, str]:
        """The image's and the service's, and of this machine's own only what finds the commands and the code."""
        scratch = self.folder / name
        scratch.mkdir()
        given = environment_of(DOCKERFILE, target_of(service)) | service.get("environment", {})
        environment = {key: self._here(str(value)) for key, value in given.items()}
        environment |= dict.fromkeys(SCRATCH, str(scratch))
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment["PYTHONPATH"] = str(PROJECT)
        environment.pop("PYTHONDONTWRITEBYTECODE")  # in the image the bytecode is there
        environment["GUNICORN_CMD_ARGS"] = f"--bind 127.0.0.1:{self.ports[name]}"
        environment |= {"METRICS_HOST": "127.0.0.1", "METRICS_PORT": str(self.ports[name])}
        return environment

    def _here(self, value: str) -> str:
        for theirs, ours in self.replaced.items():
            value = value.replace(theirs, ours)
        return value

    def _wait_until_well(self, name: str, service: Mapping[str, Any]) -> None:
        """As the health check of its image asks."""
        path = "/metrics" if "worker" in name else "/health"
        deadline = time.monotonic() + START_SEC
        while time.monotonic() < deadline:
            assert self.processes[name].poll() is None, self.log(name)
            try:
                with urllib.request.urlopen(self.url(name, path), timeout=5):
                    return
            except (OSError, HTTPException):  # it does not listen yet, or still imports
                time.sleep(0.1)
        raise AssertionError(f"{name} does not answer: {self.log(name)}")


@contextmanager
def running(compose: Compose, folder: Path, replaced: Mapping[str, str]) -> Iterator[Stack]:
    """Our services of an interpolated compose file, in its order. `replaced`: hosts and ports of theirs by ours."""
    stack = Stack(folder, replaced)
    with ExitStack() as ends:
        ends.callback(stack.stop)
        for name in in_order(compose):
            service = compose["services"][name]
            if is_ours(service):
                stack.start(name, service)
        yield stack


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""A worker with a media process that is hostile."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from backend.media.jail import landlock, seccomp
from backend.media.jail.order import Layer
from backend.media.limits import Limits
from backend.media.sandbox import NO_BYTES, MediaProcess
from backend.media.starter import Child, ForkServer

LIMITS = Limits(silence_sec=30.0, memory_bytes=2 * 2**30, cpu_sec=60, file_bytes=64 * 2**20)
HERE = sys.platform == "linux" and landlock.version() > 0 and seccomp.is_here()
only_where_there_is_a_jail = pytest.mark.skipif(
    not HERE, reason="this machine has no Landlock or no seccomp: use Linux 5.13 or newer with both"
)
only_where_numbers_are_known = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the numbers of calls that are tried are those of x86-64: run it there"
)


@dataclass
class Hostile:
    """`servers`: fork servers with the hostile operation, with and without namespaces."""

    servers: dict[bool, ForkServer]
    limits: Limits = LIMITS
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, handed: Sequence[int], stderr_fd: int, scratch: str, *, own_world: bool) -> Child:
        return self.servers[own_world].start(handed, stderr_fd, scratch)

    def process(self, attempt: str, *arguments: Any, folder: Path | None = None, **changes: Any) -> MediaProcess:
        return self._process([(attempt, *arguments)], folder, changes)

    def _process(self, attempts: Sequence[tuple[Any, ...]], folder: Path | None, changes: Any) -> MediaProcess:
        order = {"attempts": list(attempts)}
        return MediaProcess(
            "attempt", order, NO_BYTES, replace(self.limits, **changes), folder=folder, start=self.start
        )

    def tries(self, attempt: str, *arguments: Any, folder: Path | None = None, **changes: Any) -> dict[str, Any]:
        """What it got and what it met. Raises what the worker hears of a process that dies."""
        (answer,) = self.tries_all([(attempt, *arguments)], folder=folder, **changes)["answers"]
        found: dict[str, Any] = answer
        return found

    def tries_all(
        self, attempts: Sequence[tuple[Any, ...]], folder: Path | None = None, **changes: Any
    ) -> dict[str, Any]:
        """One after the other, in one media process: `answers`, and the `layers` of its jail."""
        with self._process(attempts, folder, changes) as process:
            for _ in process.messages():
                continue
            return process.result


@pytest.fixture(scope="session")
def hostile() -> Iterator[Hostile]:
    module = "tests.integration.jail.hostile"
    servers = {own_world: ForkServer(module, own_world=own_world) for own_world in (True, False)}
    yield Hostile(servers)
    for server in servers.values():
        server._give_up()


@pytest.fixture(scope="session")
def sibling() -> Iterator[int]:
    """The number of a process of the same user."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


ALONE = {layer: frozenset({layer}) for layer in (Layer.LANDLOCK, Layer.SECCOMP)}
IN_A_CONTAINER = frozenset({Layer.LANDLOCK, Layer.SECCOMP})
ALL = frozenset(Layer)
NONE: frozenset[Layer] = frozenset()

"""What one media process may take: time, memory, processor time, disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self

from backend.media.jail.order import Jail, Layer, Mode
from backend.settings import Settings

MOST_MEMORY_BYTES = 8 * 2**30
LEAST_MEMORY_BYTES = 2**30
SHARE_OF_MEMORY = 0.75
# Of a container, version 2 and 1 of control groups.
CONTAINER_MEMORY = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Limits:
    """`silence_sec`: how long the process may say nothing and ask for nothing; `wall_sec`: how long it may go on."""

    silence_sec: float
    memory_bytes: int
    cpu_sec: int = 24 * 3600
    file_bytes: int = 200 * 2**30
    wall_sec: float = 24 * 3600.0
    mode: Mode = Mode.REQUIRED
    layers: frozenset[Layer] = field(default=frozenset(Layer))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            silence_sec=settings.sandbox_silence_seconds,
            memory_bytes=settings.sandbox_memory_bytes or fair_memory_bytes(),
            cpu_sec=settings.media_cpu_seconds,
            file_bytes=settings.max_result_bytes,
            wall_sec=settings.media_wall_seconds,
            mode=Mode(settings.media_jail),
        )

    @property
    def wants_own_world(self) -> bool:
        return self.mode is not Mode.OFF and Layer.NAMESPACES in self.layers

    def jail(self, folder: Path | None) -> Jail:
        return Jail(
            self.mode, self.memory_bytes, self.cpu_sec, self.file_bytes, folder and folder.absolute(), self.layers
        )


@cache
def fair_memory_bytes() -> int:
    """Of what this machine, or this container, has: the worker itself and PostgreSQL need some too."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *map(_container_bytes, CONTAINER_MEMORY)]
    share = int(SHARE_OF_MEMORY * min(size for size in sizes if size))
    return max(LEAST_MEMORY_BYTES, min(MOST_MEMORY_BYTES, share))


def _container_bytes(file: Path) -> int:
    """0: no limit is set there."""
    try:
        said = file.read_text().strip()
    except OSError:
        return 0
    return int(said) if said.isdecimal() else 0

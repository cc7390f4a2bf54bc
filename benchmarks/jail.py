"""What the jail costs: processor time of a probe of a small film, start and end of its process included, with the jail
and without, in turns. `python -m benchmarks.jail [PROBES]`; Linux."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

import psutil

from backend.media.jail.order import Layer, Mode
from backend.media.limits import Limits
from backend.media.sandbox import MediaProcess
from backend.settings import Settings
from backend.storage import open_source
from backend.storage.range_reader import RangeReader
from tests.samples import make_sample

ROUNDS = 5


def main(probes: int) -> None:
    settings = Settings()
    limits = Limits.of(settings)
    kinds = {
        "no jail": replace(limits, mode=Mode.OFF),
        "as in a container": replace(limits, layers=frozenset({Layer.LANDLOCK, Layer.SECCOMP})),
        "with namespaces": limits,
    }
    with tempfile.TemporaryDirectory() as folder:
        film = make_sample(Path(folder) / "film.mp4", seconds=1)
        reader = RangeReader(open_source(film.as_uri(), settings))
        for each in kinds.values():  # the fork servers start
            probe(reader, each, settings)
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):
            for name, each in kinds.items():
                began = cpu_sec()
                for _ in range(probes):
                    probe(reader, each, settings)
                taken[name].append((cpu_sec() - began) / probes * 1000)
    for name, rounds in taken.items():
        print(f"{name}: {median(rounds):.1f} ms of processor time ({min(rounds):.1f} to {max(rounds):.1f})")


def probe(reader: RangeReader, limits: Limits, settings: Settings) -> None:
    order = {"max_pixels": settings.max_pixels, "threads": 2}
    with MediaProcess("probe", order, reader, limits) as process:
        for _ in process.messages():
            continue


def cpu_sec() -> float:
    """Of this process, its fork servers and what those have seen the end of."""
    spent = sum(psutil.Process().cpu_times()[:2])
    for server in psutil.Process().children():
        times = server.cpu_times()
        spent += times.user + times.system + times.children_user + times.children_system
    return spent


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)

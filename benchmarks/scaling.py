"""How long a video takes on more workers than are here: `python -m benchmarks.scaling`.

A simulation, not a measurement: chunks and pieces are handed out one by one to whoever is free, as the queue does it,
each for as long as the costs say. The defaults are what benchmarks.pipeline and benchmarks.fanout measured of 1080p at
30 frames/s, of a worker that has one core to itself. A worker with a GPU was not measured: it is taken to decode, scale
and crop on that core at the pace measured, while detector and NVENC keep up. Not in it: workers that start or die, and
a store or a network that is slower for many.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from rich.console import Console
from rich.table import Table

WORKERS = (1, 3, 10)
PIECES_A_WORKER, SHORTEST_PIECE_SEC, LONGEST_PIECE = 2, 20.0, 2  # as backend/kinds/film.py has them


@dataclass(frozen=True)
class Costs:
    """Seconds of work. `…_rate`: for a second of video."""

    start_sec: float = 2.0  # from the command to the first claim, the probe in it
    detect_rate: float = 0.34  # YOLO11n on OpenVINO, 10 samples a second, with decoding
    solve_rate: float = 0.004
    render_rate: float = 0.37  # decode, crop to 608x1080, x264 veryfast
    join_rate: float = 0.002
    upload_sec: float = 1.0  # an estimate: it is the network's
    piece_fixed_sec: float = 0.7  # claim, process, seek, put and complete
    chunk_fixed_sec: float = 0.5
    chunk_sec: float = 30.0
    overlap_sec: float = 2.0  # of the next chunk, detected twice
    lookahead_sec: float = 2.1  # 64 frames of its neighbours that each piece decodes and encodes


def spread(lengths_sec: Sequence[float], workers: int) -> float:
    """When the last of these is done, each taken by whoever is free first."""
    free_at = [0.0] * workers
    for length in lengths_sec:
        heapq.heapreplace(free_at, free_at[0] + length)
    return max(free_at)


def divided(video_sec: float, piece_sec: float) -> list[float]:
    whole, rest = divmod(video_sec, piece_sec)
    return [piece_sec] * int(whole) + ([rest] if rest else [])


def stages(video_sec: float, workers: int, costs: Costs) -> dict[str, float]:
    """Seconds by stage, one after the other."""
    chunks = divided(video_sec, costs.chunk_sec)
    piece_sec = max(SHORTEST_PIECE_SEC, min(LONGEST_PIECE * costs.chunk_sec, video_sec / (PIECES_A_WORKER * workers)))
    detected = [(length + costs.overlap_sec) * costs.detect_rate + costs.chunk_fixed_sec for length in chunks]
    rendered = [
        (length + costs.lookahead_sec) * costs.render_rate + costs.piece_fixed_sec
        for length in divided(video_sec, piece_sec)
    ]
    return {
        "start": costs.start_sec,
        "detect": spread(detected, workers),
        "solve": video_sec * costs.solve_rate,
        "render": spread(rendered, workers),
        "join, upload": video_sec * costs.join_rate + costs.upload_sec,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="of the video")
    parser.add_argument("--gpu-detect-rate", type=float, default=0.11, help="detect_rate of a worker with a GPU")
    parser.add_argument("--gpu-render-rate", type=float, default=0.10, help="render_rate of a worker with NVENC")
    for each in fields(Costs):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=float, default=each.default)
    asked = parser.parse_args()
    costs = Costs(**{each.name: getattr(asked, each.name) for each in fields(Costs)})
    video_sec = 60 * asked.minutes
    gpu = replace(costs, detect_rate=asked.gpu_detect_rate, render_rate=asked.gpu_render_rate)
    table = Table("worker", "workers", *stages(video_sec, 1, costs), "total s", "x real time", "speed-up")
    for name, known in (("CPU, x264", costs), ("GPU, NVENC", gpu)):
        alone = sum(stages(video_sec, 1, known).values())
        for workers in WORKERS:
            found = stages(video_sec, workers, known)
            total = sum(found.values())
            times = [f"{seconds:.0f}" for seconds in found.values()]
            table.add_row(
                name, str(workers), *times, f"{total:.0f}", f"{video_sec / total:.1f}", f"{alone / total:.1f}"
            )
    Console(width=110).print(table)
    Console().print(", ".join(f"{each.name} {getattr(costs, each.name):g}" for each in fields(Costs)), soft_wrap=True)


if __name__ == "__main__":
    main()

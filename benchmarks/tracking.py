"""Identity of our tracks beside one ByteTrack pass: `python -m benchmarks.tracking [FOLDER]`.

FOLDER holds a folder for each sequence, with NAME.mp4 and MOTChallenge's gt.txt. Scores are those of mot_eval.py, from
files as the product writes them. Prints tables; asserts nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from backend.media.facts import analysis_size
from backend.media.timebase import SampleGrid
from backend.settings import get_settings
from backend.vision.artifacts import ChunkArtifact, SourceId, TrackRecord
from backend.vision.detector import Detections, Detector, open_detector
from backend.vision.link import LinkRules, link
from backend.vision.smooth import smoothed
from backend.vision.stitch import Track, stitch
from backend.vision.timeline import Timeline
from backend.vision.track_files import tracks_mot
from backend.vision.tracker import WEAK_CONFIDENCE, Tracker

SHARED = Path(__file__).resolve().parents[2] / "shared"
MOT_FOLDER, MOT_EVAL = SHARED / "media" / "mot", SHARED / "tools" / "mot_eval.py"
CHUNK_SECONDS = (1.0, 2.0, 4.0)
CONF, IOU, OVERLAP_SAMPLES = 0.25, 0.5, 20
# ultralytics/cfg/trackers/bytetrack.yaml
BYTETRACK_DEFAULTS = {
    "track_high_thresh": 0.25,
    "track_low_thresh": 0.1,
    "new_track_thresh": 0.25,
    "track_buffer": 30,
    "match_thresh": 0.8,
    "fuse_score": True,
}
console = Console(width=110)


@dataclass(frozen=True)
class Film:
    """A sequence and what the detector saw on each of its frames: boxes in pixels of the source."""

    name: str
    truth: Path
    frame_pts: list[int]
    time_base: Fraction
    size: tuple[int, int]
    found: list[Detections]


@dataclass(frozen=True)
class Row:
    """A line of the table: percent, as in papers."""

    sequence: str
    method: str
    idf1: float
    mota: float
    switches: float
    recall: float
    precision: float


class DetectionRows:
    """Detections in the shape that Ultralytics' tracker reads."""

    def __init__(self, boxes: NDArray[np.float64], confidence: NDArray[np.float64]) -> None:
        self.xyxy = boxes
        self.conf = confidence
        self.cls = np.zeros(len(confidence))

    @property
    def xywh(self) -> NDArray[np.float64]:
        centre, size = (self.xyxy[:, :2] + self.xyxy[:, 2:]) / 2, self.xyxy[:, 2:] - self.xyxy[:, :2]
        return np.hstack([centre, size])

    def __getitem__(self, selected: NDArray[np.bool_]) -> DetectionRows:
        return DetectionRows(self.xyxy[selected], self.conf[selected])

    def __len__(self) -> int:
        return len(self.conf)


def measure(folder: Path = MOT_FOLDER, sample_fps: float | None = None) -> list[Row]:
    """Scores of ByteTrack's defaults and of ours, in one piece and in chunks, for each sequence and their mean.

    `sample_fps` None: every frame.
    """
    return compare(watch_all(folder), sample_fps)


def watch_all(folder: Path) -> list[Film]:
    detector = open_detector(get_settings())
    return [watch(clip, detector) for clip in sorted(folder.glob("*/*.mp4")) if (clip.parent / "gt.txt").exists()]


def compare(films: Sequence[Film], sample_fps: float | None = None) -> list[Row]:
    rows = [row for film in films for row in rows_of(film, sample_fps)]
    methods = list(dict.fromkeys(row.method for row in rows))
    return rows + [mean_row(method, [row for row in rows if row.method == method]) for method in methods]


def rows_of(film: Film, sample_fps: float | None) -> list[Row]:
    fps = sample_fps or frame_rate(film)
    rows = [score(film, "ByteTrack, defaults", bytetrack_mot(film, fps))]
    for method, seconds in (("ours, one pass", None), *((f"ours, {s:g} s chunks", s) for s in CHUNK_SECONDS)):
        rows.append(score(film, method, as_mot(film, our_tracks(film, fps, seconds))))
    return rows


def mean_row(method: str, rows: Sequence[Row]) -> Row:
    names = ("idf1", "mota", "switches", "recall", "precision")
    return Row("mean", method, *(float(np.mean([getattr(row, name) for row in rows])) for name in names))


def watch(clip: Path, detector: Detector) -> Film:
    """Decodes the whole clip and detects on every frame, as a chunk worker does."""
    frame_pts: list[int] = []
    found: list[Detections] = []
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        small = analysis_size(width, height, get_settings().max_width)
        scale = np.array([width / small[0], height / small[1]] * 2)
        for frame in container.decode(stream):
            picture = frame.reformat(*small, format="bgr24", interpolation="AREA").to_ndarray()
            [seen] = detector.detect([picture], conf=min(WEAK_CONFIDENCE, CONF), iou=IOU)
            assert frame.pts is not None
            frame_pts.append(frame.pts)
            found.append(Detections(np.clip(seen.boxes * scale, 0, [width, height] * 2), seen.confidence))
        assert stream.time_base is not None
        return Film(clip.stem, clip.parent / "gt.txt", frame_pts, stream.time_base, (width, height), found)


def frame_rate(film: Film) -> float:
    steps = len(film.frame_pts) - 1
    return steps / float((film.frame_pts[-1] - film.frame_pts[0]) * film.time_base)


def timeline_of(film: Film) -> Timeline:
    return Timeline(np.asarray(film.frame_pts, np.int64), film.time_base, film.size)


def our_tracks(
    film: Film, sample_fps: float, chunk_seconds: float | None, rules: LinkRules | None = None
) -> list[Track]:
    stitched = stitch(chunk_artifacts(film, sample_fps, chunk_seconds))
    linked = link(stitched, timeline_of(film), conf=CONF, rules=rules or LinkRules())
    return smoothed(linked, timeline_of(film))


def chunk_artifacts(film: Film, sample_fps: float, chunk_seconds: float | None) -> list[ChunkArtifact]:
    """What chunk workers would write: a tracker of its own and samples past the end for each chunk."""
    first, end = film.frame_pts[0], film.frame_pts[-1] + 1
    step = end - first if chunk_seconds is None else round(Fraction(chunk_seconds) / film.time_base)
    edges = [*range(first, end, step), end]
    return [_artifact(film, index, edges, sample_fps) for index in range(len(edges) - 1)]


def _artifact(film: Film, index: int, edges: list[int], sample_fps: float) -> ChunkArtifact:
    start_pts, end_pts = edges[index], edges[index + 1]
    tracker = Tracker(conf=CONF, sample_fps=sample_fps)
    sampled = _sampled_rows(film, start_pts, end_pts, sample_fps)
    for row in sampled:
        tracker.update(film.frame_pts[row], film.found[row])
    return ChunkArtifact(
        job_id="benchmark",
        chunk_index=index,
        source=SourceId(etag=film.name, size=0),
        params_sha256="0" * 64,
        time_base=[film.time_base.numerator, film.time_base.denominator],
        start_pts=start_pts,
        end_pts=end_pts,
        frame_size=list(film.size),
        detector={},
        frame_pts=[pts for pts in film.frame_pts if start_pts <= pts < end_pts],
        sampled_pts=[film.frame_pts[row] for row in sampled],
        tracks=[
            TrackRecord(id=track_id, pts=pts, boxes=boxes.tolist(), confidence=confidence.tolist())
            for track_id, pts, boxes, confidence in tracker.tracks()
        ],
        detections=[],
    )


def _sampled_rows(film: Film, start_pts: int, end_pts: int, sample_fps: float) -> list[int]:
    """Numbers of the frames that a worker samples for the chunk: media/samples.py without its pictures."""
    grid = SampleGrid(film.frame_pts[0], film.time_base, sample_fps)
    rows: list[int] = []
    past_end = 0
    for row, pts in enumerate(film.frame_pts):
        if pts < start_pts:
            continue
        crosses = pts >= end_pts and past_end == 0
        if grid.takes(pts, boundary=not rows or crosses):
            past_end += pts >= end_pts
            if past_end > OVERLAP_SAMPLES:
                break
            rows.append(row)
    return rows


def bytetrack_mot(film: Film, sample_fps: float) -> bytes:
    """MOT rows of one pass of Ultralytics' ByteTrack as it comes: its parameters, its boxes."""
    from ultralytics.trackers.byte_tracker import BYTETracker

    tracker: Any = BYTETracker(SimpleNamespace(**BYTETRACK_DEFAULTS))
    tracks: dict[int, list[tuple[int, NDArray[np.float64], float]]] = {}
    for row in _sampled_rows(film, film.frame_pts[0], film.frame_pts[-1] + 1, sample_fps):
        found = film.found[row]
        for result in tracker.update(DetectionRows(found.boxes, found.confidence)):
            sample = (row, np.asarray(result[:4], np.float64), float(result[5]))
            tracks.setdefault(int(result[4]), []).append(sample)
    lines = [
        f"{row + 1},{number},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{conf:.4f},-1,-1,-1"
        for number, samples in tracks.items()
        for row, (x1, y1, x2, y2), conf in samples
    ]
    return "\n".join(lines).encode()


def as_mot(film: Film, tracks: Sequence[Track]) -> bytes:
    return tracks_mot(tracks, timeline_of(film))


def score(film: Film, method: str, mot_rows: bytes) -> Row:
    """mot_eval.py's figures for the rows."""
    with tempfile.NamedTemporaryFile(suffix=".txt") as hypothesis:
        hypothesis.write(mot_rows)
        hypothesis.flush()
        command = [sys.executable, str(MOT_EVAL), str(film.truth), hypothesis.name]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    percent = [100 * found[name] for name in ("idf1", "mota")]
    return Row(film.name, method, *percent, found["num_switches"], 100 * found["recall"], 100 * found["precision"])


def sensitivity(films: Sequence[Film], share: float = 0.3) -> list[tuple[str, float, float]]:
    """(rule and factor, IDF1, MOTA) averaged over the films, one pass, with one rule at a time moved by `share`."""
    found = []
    for rule in fields(LinkRules):
        for factor in (1 - share, 1 + share):
            rules = replace(LinkRules(), **{rule.name: factor * getattr(LinkRules(), rule.name)})
            tracks = [our_tracks(film, frame_rate(film), None, rules) for film in films]
            rows = [score(film, "", as_mot(film, own)) for film, own in zip(films, tracks, strict=True)]
            mean = mean_row("", rows)
            found.append((f"{rule.name} x {factor:g}", mean.idf1, mean.mota))
    return found


def show_rows(title: str, rows: Sequence[Row]) -> None:
    table = Table("sequence", "method", "IDF1", "MOTA", "switches", "recall", "precision", title=title)
    for row in rows:
        figures = (row.idf1, row.mota, row.switches, row.recall, row.precision)
        table.add_row(row.sequence, row.method, *(f"{figure:.1f}" for figure in figures))
    console.print(table)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else MOT_FOLDER
    films = watch_all(folder)
    if not films:
        sys.exit(f"no sequences in {folder}")
    show_rows("every frame sampled", compare(films))
    show_rows("10 frames a second sampled", compare(films, 10.0))
    table = Table("one rule moved", "IDF1", "MOTA", title="sensitivity, mean, one pass, every frame")
    for name, idf1, mota in sensitivity(films):
        table.add_row(name, f"{idf1:.1f}", f"{mota:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()

"""Identity of our tracks beside the best public trackers: `python -m benchmarks.tracking [FOLDER]`.

FOLDER holds a folder for each sequence, with NAME.mp4 and MOTChallenge's gt.txt; without it all of the test media's are
taken, and streets made by `walkers.py`. Scores are those of mot_eval.py, from files as the product writes them; where
the truth is of one person, what is somebody else counts neither for nor against a tracker. OC-SORT and BoT-SORT, and
another ByteTrack, are those of the package `trackers`, where it is there (`make bench-quality` fetches it). Prints
tables; asserts nothing.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from backend.media.facts import analysis_size
from backend.media.timebase import SampleGrid
from backend.settings import get_settings
from backend.vision.artifacts import ChunkArtifact, DetectionRecord, SourceId, TrackRecord
from backend.vision.camera_motion import CameraMotion
from backend.vision.detector import Detections, Detector, open_detector
from backend.vision.evidence import ground_of, with_looks
from backend.vision.ground import STILL, Move
from backend.vision.link import link
from backend.vision.link_rules import LinkRules
from backend.vision.looks import looks_in
from backend.vision.looks_record import packed
from backend.vision.smooth import smoothed
from backend.vision.stitch import Track, pairwise_iou, stitch
from backend.vision.timeline import Timeline
from backend.vision.track_files import tracks_mot
from backend.vision.tracker import WEAK_CONFIDENCE, Tracker
from benchmarks.walkers import SIZE, Street, cast_of, mot_rows, street

SHARED = Path(__file__).resolve().parents[2] / "shared"
MOT_FOLDER, SEQ_FOLDER = SHARED / "media" / "mot", SHARED / "media" / "seq"
MOT_EVAL = SHARED / "tools" / "mot_eval.py"
CAST_FILM = SHARED / "media" / "intel_one-by-one-person-detection.mp4"
# Nobody looked at these while the rules were set: seed, frames a second, people, how far the camera swings.
STREETS = ((41, 7.0, 10, 0.0), (42, 10.0, 8, 100.0), (43, 25.0, 6, 0.0))
STREET_SECONDS = 40.0
CHUNK_SECONDS = (1.0, 2.0, 4.0)
CONF, IOU, OVERLAP_SAMPLES = 0.25, 0.5, 20
ONLY_HEADS = {"OTB-DragonBaby"}  # whose truth is the head
SAME_IOU = 0.5
FUSED_SAMPLES = 5  # of a second person make an identity one of two
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
    """A sequence and what the detector saw on each of its frames: boxes in pixels of the source, how those look, how
    the camera moved since the frame before. `truth`: rows as gt.txt has them."""

    name: str
    truth: NDArray[np.float64]
    frame_pts: list[int]
    time_base: Fraction
    size: tuple[int, int]
    found: list[Detections]
    looks: list[NDArray[np.uint8]]
    moves: list[Move]
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)

    @property
    def has_truth_of_all(self) -> bool:
        return len(np.unique(self.truth[:, 1])) > 1


@dataclass(frozen=True)
class Row:
    """A line of the table: percent, as in papers. `fused`: identities that are two people."""

    sequence: str
    method: str
    idf1: float
    mota: float
    switches: float
    recall: float
    precision: float
    fused: float


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


def sequences(folder: Path | None) -> Iterator[Film]:
    """One after the other: their pictures are large."""
    detector = open_detector(get_settings())
    for place in [folder] if folder else [MOT_FOLDER, SEQ_FOLDER]:
        for clip in sorted(place.glob("*/*.mp4")):
            if (clip.parent / "gt.txt").exists():
                yield watch(clip, detector)
    if folder is None:
        cast = cast_of(CAST_FILM, detector)
        for seed, fps, people, pan in STREETS:
            made = street(cast, seed, fps=fps, seconds=STREET_SECONDS, people=people, pan=pan)
            yield watch_street(made, detector)


def compare(films: Iterable[Film], sample_fps: float | None = None) -> list[Row]:
    """Scores of the others on every frame, and of ours, in one piece and in chunks, for each sequence and their mean.
    `sample_fps` None: ours on every frame too."""
    rows = [row for film in films for row in rows_of(film, sample_fps)]
    return rows + means(rows)


def means(rows: Sequence[Row]) -> list[Row]:
    methods = list(dict.fromkeys(row.method for row in rows))
    return [mean_row(method, [row for row in rows if row.method == method]) for method in methods]


def rows_of(film: Film, sample_fps: float | None) -> list[Row]:
    fps = sample_fps or frame_rate(film)
    rows = [score(film, "ByteTrack, defaults", bytetrack_mot(film))]
    rows += [score(film, name, rows) for name, rows in rivals(film)]
    for method, seconds in (("ours, one pass", None), *((f"ours, {s:g} s chunks", s) for s in CHUNK_SECONDS)):
        rows.append(score(film, method, as_mot(film, our_tracks(film, fps, seconds))))
    return rows


def mean_row(method: str, rows: Sequence[Row]) -> Row:
    names = ("idf1", "mota", "switches", "recall", "precision", "fused")
    return Row("mean", method, *(float(np.mean([getattr(row, name) for row in rows])) for name in names))


def watch(clip: Path, detector: Detector) -> Film:
    """Decodes the whole clip and looks at every frame, as a chunk worker does."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        size = stream.codec_context.width, stream.codec_context.height
        small = analysis_size(*size, get_settings().max_width)
        frames = list(container.decode(stream))
        pictures = [frame.reformat(*small, format="bgr24", interpolation="AREA").to_ndarray() for frame in frames]
        assert stream.time_base is not None
        time_base = stream.time_base
    truth = np.loadtxt(clip.parent / "gt.txt", delimiter=",", ndmin=2)
    return _watched(
        Seen(clip.stem, truth, [int(frame.pts or 0) for frame in frames], time_base, size), pictures, detector
    )


def watch_street(made: Street, detector: Detector) -> Film:
    pts, time_base = list(range(len(made.pictures))), Fraction(1, round(made.fps))
    return _watched(Seen(made.name, mot_rows(made), pts, time_base, SIZE), made.pictures, detector)


class Seen(NamedTuple):
    """A sequence before anybody looked at its pictures."""

    name: str
    truth: NDArray[np.float64]
    frame_pts: list[int]
    time_base: Fraction
    size: tuple[int, int]


def _watched(seen: Seen, pictures: list[NDArray[np.uint8]], detector: Detector) -> Film:
    camera = CameraMotion()
    found, looks, moves = [], [], []
    for picture in pictures:
        [detections] = detector.detect([picture], conf=min(WEAK_CONFIDENCE, CONF), iou=IOU)
        scale = seen.size[0] / picture.shape[1], seen.size[1] / picture.shape[0]
        placed = detections.placed(scale, seen.size)
        boxes = placed.boxes / np.array(scale * 2)
        found.append(placed)
        looks.append(looks_in(picture, boxes))
        moves.append(camera.take(picture, boxes))
    return Film(*seen, found, looks, moves, pictures)


def frame_rate(film: Film) -> float:
    steps = len(film.frame_pts) - 1
    return steps / float((film.frame_pts[-1] - film.frame_pts[0]) * film.time_base)


def timeline_of(film: Film) -> Timeline:
    return Timeline(np.asarray(film.frame_pts, np.int64), film.time_base, film.size)


def our_tracks(
    film: Film, sample_fps: float, chunk_seconds: float | None, rules: LinkRules | None = None
) -> list[Track]:
    artifacts = chunk_artifacts(film, sample_fps, chunk_seconds)
    tracks = with_looks(stitch(artifacts), artifacts)
    timeline = timeline_of(film)
    linked = link(tracks, timeline, conf=CONF, ground=ground_of(artifacts), rules=rules or LinkRules())
    return smoothed(linked, timeline)


def chunk_artifacts(film: Film, sample_fps: float, chunk_seconds: float | None) -> list[ChunkArtifact]:
    """What chunk workers would write: a tracker of its own and samples past the end for each chunk."""
    first, end = film.frame_pts[0], film.frame_pts[-1] + 1
    step = end - first if chunk_seconds is None else round(Fraction(chunk_seconds) / film.time_base)
    grid = SampleGrid(first, film.time_base, sample_fps)  # chunks begin at its edges
    edges = [*dict.fromkeys([first, *(grid.edge_from(edge) for edge in range(first + step, end, step))]), end]
    return [_artifact(film, index, edges, sample_fps) for index in range(len(edges) - 1)]


def _artifact(film: Film, index: int, edges: list[int], sample_fps: float) -> ChunkArtifact:
    start_pts, end_pts = edges[index], edges[index + 1]
    tracker = Tracker(conf=CONF, sample_fps=sample_fps, width_px=film.size[0])
    sampled = _sampled_rows(film, start_pts, end_pts, sample_fps)
    moves = [STILL, *(_move_between(film, *rows) for rows in pairwise(sampled))]
    for row, move in zip(sampled, moves, strict=True):
        tracker.update(film.frame_pts[row], film.found[row], move)
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
        detections=[
            DetectionRecord(
                pts=film.frame_pts[row],
                boxes=film.found[row].boxes.tolist(),
                confidence=film.found[row].confidence.tolist(),
                looks=packed(film.looks[row]),
            )
            for row in sampled
        ],
        camera=moves,
    )


def _move_between(film: Film, first: int, last: int) -> Move:
    """Of the camera, from one frame to a later one: its moves from each to the next, one after the other."""
    factor, shift = 1 + 0j, 0j
    for a, b, x, y in film.moves[first + 1 : last + 1]:
        factor, shift = factor * complex(1 + a, b), shift * complex(1 + a, b) + complex(x, y)
    return factor.real - 1, factor.imag, shift.real, shift.imag


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


def bytetrack_mot(film: Film) -> bytes:
    """MOT rows of one pass of Ultralytics' ByteTrack as it comes: its parameters, its boxes."""
    from ultralytics.trackers.byte_tracker import BYTETracker

    tracker: Any = BYTETracker(SimpleNamespace(**BYTETRACK_DEFAULTS))
    rows = []
    for frame, found in enumerate(film.found):
        for result in tracker.update(DetectionRows(found.boxes, found.confidence)):
            rows.append((frame, int(result[4]), np.asarray(result[:4], np.float64), float(result[5])))
    return _mot(rows)


def rivals(film: Film) -> Iterator[tuple[str, bytes]]:
    """MOT rows of the package's trackers as they come, told the frame rate; BoT-SORT sees the pictures too."""
    try:
        import supervision
        from trackers import BoTSORTTracker, ByteTrackTracker, OCSORTTracker
    except ImportError:
        return
    makers = {"ByteTrack, trackers": ByteTrackTracker, "OC-SORT": OCSORTTracker, "BoT-SORT": BoTSORTTracker}
    for name, maker in makers.items():
        tracker: Any = maker(frame_rate=frame_rate(film))
        rows = []
        for frame, (found, picture) in enumerate(zip(film.found, film.pictures, strict=True)):
            scale = np.array([film.size[0] / picture.shape[1], film.size[1] / picture.shape[0]] * 2)
            boxes, confidence = (each.astype(np.float32) for each in (found.boxes / scale, found.confidence))
            seen = supervision.Detections(xyxy=boxes, confidence=confidence, class_id=np.zeros(len(boxes), int))
            told = tracker.update(seen, picture) if name == "BoT-SORT" else tracker.update(seen)
            ids = told.tracker_id if told.tracker_id is not None else []
            rows += [
                (frame, int(number), box * scale, float(sure))
                for number, box, sure in zip(ids, told.xyxy, told.confidence, strict=False)
                if number >= 0
            ]
        yield name, _mot(rows)


def _mot(rows: Iterable[tuple[int, int, NDArray[np.float64], float]]) -> bytes:
    """Of (frame from 0, id, box, confidence)."""
    return "\n".join(
        f"{frame + 1},{number},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{conf:.4f},-1,-1,-1"
        for frame, number, (x1, y1, x2, y2), conf in rows
    ).encode()


def as_mot(film: Film, tracks: Sequence[Track]) -> bytes:
    return tracks_mot(tracks, timeline_of(film))


def score(film: Film, method: str, mot_rows: bytes) -> Row:
    """mot_eval.py's figures for the rows."""
    told = np.loadtxt(io.BytesIO(mot_rows), delimiter=",", ndmin=2) if mot_rows else np.zeros((0, 10))
    told = _of_whom_truth_knows(film, told)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "gt.txt", Path(folder) / "told.txt"]
        for file, rows in zip(files, (film.truth, told), strict=True):
            np.savetxt(file, rows, delimiter=",", fmt="%.4f")
        command = [sys.executable, str(MOT_EVAL), *map(str, files)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    percent = [100 * found[name] for name in ("idf1", "mota")]
    figures = (found["num_switches"], 100 * found["recall"], 100 * found["precision"], fused(film, told))
    return Row(film.name, method, *percent, *figures)


def _of_whom_truth_knows(film: Film, told: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the truth is of one person, the rows that overlap with it; where it is a head, that of the body it is on,
    which stands for it then."""
    if film.has_truth_of_all:
        return told
    truth = {int(row[0]): row[2:6] for row in film.truth}
    kept = []
    for frame in np.unique(told[:, 0]).astype(int):
        rows = told[told[:, 0] == frame]
        if frame not in truth:
            continue
        box = truth[frame]
        if film.name in ONLY_HEADS:
            kept += _with_head(rows, box)
        else:
            kept += list(rows[_iou(rows[:, 2:6], box[None])[:, 0] >= SAME_IOU])
    return np.array(kept).reshape(-1, told.shape[1])


def _with_head(rows: NDArray[np.float64], head: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The row whose upper end the head is at most, as the head."""
    middles = rows[:, 2] + rows[:, 4] / 2
    aside = np.abs(middles - head[0] - head[2] / 2) / head[2]
    above = np.abs(rows[:, 3] - head[1]) / head[3]
    near = np.flatnonzero((aside < 0.75) & (above < 0.75))
    if not len(near):
        return []
    row = rows[near[above[near].argmin()]].copy()
    row[2:6] = head
    return [row]


def fused(film: Film, told: NDArray[np.float64]) -> int:
    """How many identities are a second person, or a third, for some frames."""
    from scipy.optimize import linear_sum_assignment

    counts: Counter[tuple[int, int]] = Counter()
    truth = film.truth[film.truth[:, 6] != 0]
    for frame in np.unique(told[:, 0]).astype(int):
        real, rows = truth[truth[:, 0] == frame], told[told[:, 0] == frame]
        iou = _iou(real[:, 2:6], rows[:, 2:6])
        for first, second in zip(*linear_sum_assignment(-iou), strict=True):
            if iou[first, second] >= SAME_IOU:
                counts[int(rows[second, 1]), int(real[first, 1])] += 1
    people: Counter[int] = Counter(number for (number, _), count in counts.items() if count >= FUSED_SAMPLES)
    return sum(count > 1 for count in people.values())


def _iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, m), of boxes as left, top, width and height."""
    corners = [np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:4]]) for boxes in (first, second)]
    return pairwise_iou(corners[0][:, None], corners[1][None])


def sensitivity(films: Sequence[Film], share: float = 0.3) -> list[tuple[str, float, float]]:
    """(rule and factor, IDF1, MOTA) averaged over the films, one pass, with one rule at a time moved by `share`."""
    found = []
    for rule in fields(LinkRules):
        for factor in (1 - share, 1 + share):
            usual = getattr(LinkRules(), rule.name)
            moved = round(factor * usual) if isinstance(usual, int) else factor * usual
            rules = replace(LinkRules(), **{rule.name: moved})
            tracks = [our_tracks(film, frame_rate(film), None, rules) for film in films]
            rows = [score(film, "", as_mot(film, own)) for film, own in zip(films, tracks, strict=True)]
            mean = mean_row("", rows)
            found.append((f"{rule.name} x {factor:g}", mean.idf1, mean.mota))
    return found


def show_rows(title: str, rows: Sequence[Row]) -> None:
    names = ("sequence", "method", "IDF1", "MOTA", "switches", "fused", "recall", "precision")
    table = Table(*names, title=title)
    for row in rows:
        figures = (row.idf1, row.mota, row.switches, row.fused, row.recall, row.precision)
        table.add_row(row.sequence, row.method, *(f"{figure:.1f}" for figure in figures))
    console.print(table)


def show_means(rows: Sequence[Row], films: Sequence[Film]) -> None:
    """Of sequences where the truth is of everybody, of those where it is of one, and of all."""
    of_all = {film.name for film in films if film.has_truth_of_all}
    for title, chosen in (
        ("mean: truth of everybody", [row for row in rows if row.sequence in of_all]),
        ("mean: truth of one person", [row for row in rows if row.sequence not in of_all]),
        ("mean: all", list(rows)),
    ):
        if chosen:
            show_rows(title, means(chosen))


def main() -> None:
    films, on_all, on_some = [], [], []
    for film in sequences(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        found = rows_of(film, None)
        show_rows(f"{film.name}, every frame", found)
        on_all += found
        on_some += rows_of(film, 10.0) if frame_rate(film) > 10.0 else found
        films.append(replace(film, pictures=[]))
    if not films:
        sys.exit("no sequences")
    show_means(on_all, films)
    show_rows("10 frames a second looked at by ours, mean", means(on_some))
    table = Table("one rule moved", "IDF1", "MOTA", title="sensitivity, mean, one pass, every frame")
    for name, idf1, mota in sensitivity([film for film in films if film.has_truth_of_all]):
        table.add_row(name, f"{idf1:.1f}", f"{mota:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()

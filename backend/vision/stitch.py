"""Joins the tracks of neighbouring chunks over their seams, so that a chunked run names people as one pass would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from backend.errors import ArtifactCorrupt
from backend.vision.artifacts import ChunkArtifact
from backend.vision.classes import PERSON

# Boxes of the same frames are one person above this mean IoU; at 20 shared frames it gives a single pass's IDF1.
SAME_PERSON_IOU = 0.5
MIN_SHARED_FRAMES = 2


@dataclass(frozen=True, eq=False)
class Track:
    """One person, or a thing of another class: `pts` (n,) strictly increasing, `boxes` (n, 4) as x1, y1, x2, y2 in
    pixels, `confidence` (n,), how they look (n, LOOKS_BYTES), zeros where that is not known, and boxes of their heads
    (n, 4), NaN where none is seen; None: nowhere."""

    id: int
    pts: NDArray[np.int64]
    boxes: NDArray[np.float64]
    confidence: NDArray[np.float64]
    class_name: str = PERSON
    looks: NDArray[np.uint8] | None = None
    heads: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.pts), 4) or self.confidence.shape != self.pts.shape:
            raise ValueError("pts, boxes and confidence differ in length")
        if bool((np.diff(self.pts) <= 0).any()):
            raise ValueError("a track's pts must strictly increase")

    def rows(self, keep: NDArray[np.bool_]) -> Track:
        """The samples where `keep` (n,) is true."""
        return self._part(keep)

    def between(self, start: int, stop: int) -> Track:
        """The samples from number `start` up to `stop`."""
        return self._part(slice(start, stop))

    def _part(self, part: NDArray[np.bool_] | slice) -> Track:
        looks = None if self.looks is None else self.looks[part]
        heads = None if self.heads is None else self.heads[part]
        confidence = self.confidence[part]
        return replace(
            self, pts=self.pts[part], boxes=self.boxes[part], confidence=confidence, looks=looks, heads=heads
        )

    def then(self, *later: Track) -> Track:
        """With the samples of others, which come after its own."""
        parts = [self, *later]
        return replace(
            self,
            pts=np.concatenate([part.pts for part in parts]),
            boxes=np.concatenate([part.boxes for part in parts]),
            confidence=np.concatenate([part.confidence for part in parts]),
            looks=_looks_together(parts),
            heads=None,
        )


def _looks_together(parts: Sequence[Track]) -> NDArray[np.uint8] | None:
    known = [part.looks for part in parts if part.looks is not None]
    if not known:
        return None
    width = known[0].shape[1]
    return np.concatenate(
        [np.zeros((len(part.pts), width), np.uint8) if part.looks is None else part.looks for part in parts]
    )


@dataclass
class _Person:
    """A track that grows chunk by chunk. Only `open`, the samples past the last seam, can still change."""

    open: Track
    closed: list[Track] = field(default_factory=list)

    def close_before(self, pts: int) -> None:
        before = self.open.pts < pts
        self.closed.append(self.open.rows(before))
        self.open = self.open.rows(~before)

    def whole(self, track_id: int) -> Track:
        first, *others = [*self.closed, self.open]
        return replace(first.then(*others), id=track_id)


def stitch(artifacts: Sequence[ChunkArtifact]) -> list[Track]:
    """The tracks of the whole video, with ids 1..n in order of first appearance.

    At a seam the earlier chunk's tracker runs on through the overlap, on the same detections as the later chunk's. It
    is the one that a single pass would have there: until the overlap ends only its samples count, from then on only the
    later chunk's, whose tracker has warmed up. Tracks are matched by mean IoU in the overlap (Hungarian method).
    Raises ArtifactCorrupt when the artifacts are not the contiguous chunks 0..n-1 of one source cut on one timeline.
    """
    ordered = sorted(artifacts, key=lambda artifact: artifact.chunk_index)
    _require_one_video(ordered)
    people: list[_Person] = []
    present: list[_Person] = []  # who can still be joined: a film has thousands of people, few of them together
    for index, artifact in enumerate(ordered):
        arriving = [Track(record.id, *record.arrays(), record.class_name) for record in artifact.tracks]
        if index == 0:
            present = [_Person(track) for track in arriving]
            people.extend(present)
            continue
        for person in present:
            person.close_before(artifact.start_pts)
        present = [person for person in present if len(person.open.pts)]
        new = _join(present, arriving, _shared_pts(ordered[index - 1], artifact))
        present = present + new
        people.extend(new)
    return _numbered(people)


def interpolate(track: Track, frame_pts: NDArray[np.int64], longest_gap: int | None = None) -> Track:
    """The track with a row on every frame of `frame_pts` (sorted) from its first to its last sample, linear in time;
    none between samples that are more than `longest_gap` ticks apart, where given."""
    inside = (frame_pts >= track.pts[0]) & (frame_pts <= track.pts[-1])
    pts = np.asarray(frame_pts, dtype=np.int64)[inside]
    if longest_gap is not None:
        after = np.searchsorted(track.pts, pts)
        between = track.pts[after] - track.pts[np.maximum(after - 1, 0)]
        pts = pts[(track.pts[after] == pts) | (between <= longest_gap)]
    # Ticks from the track's start: a float holds whole numbers only up to 2**53.
    at, known = (pts - track.pts[0]).astype(np.float64), (track.pts - track.pts[0]).astype(np.float64)
    boxes = np.stack([np.interp(at, known, track.boxes[:, side]) for side in range(4)], axis=1)
    confidence = np.interp(at, known, track.confidence)
    return replace(track, pts=pts, boxes=boxes, confidence=confidence, looks=None, heads=None)


def pairwise_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of boxes (..., 4) with boxes (..., 4), broadcast; NaN where either is NaN, 0 for boxes without area."""
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=-1)
    either = _area(first) + _area(second) - shared
    return np.asarray(shared / np.where(either == 0.0, 1.0, either))


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))


def _require_one_video(ordered: Sequence[ChunkArtifact]) -> None:
    for index, artifact in enumerate(ordered):
        if artifact.chunk_index != index:
            raise ArtifactCorrupt(f"Chunk {index} has no artifact; submit the video again.")
        if index == 0:
            continue
        before = ordered[index - 1]
        if artifact.start_pts != before.end_pts:
            raise ArtifactCorrupt(f"Chunk {index} starts at {artifact.start_pts}, not where the one before ends.")
        for name in ("source", "time_base", "frame_size"):
            if getattr(artifact, name) != getattr(before, name):
                raise ArtifactCorrupt(f"Chunks {index - 1} and {index} disagree in {name}; submit the video again.")


def _shared_pts(earlier: ChunkArtifact, later: ChunkArtifact) -> NDArray[np.int64]:
    first = np.asarray(earlier.sampled_pts, dtype=np.int64)
    second = np.asarray(later.sampled_pts, dtype=np.int64)
    return np.intersect1d(first, second, assume_unique=True)


def _join(present: list[_Person], arriving: list[Track], shared_pts: NDArray[np.int64]) -> list[_Person]:
    """Extends `present` by what the arriving tracks add after the overlap; returns the people who are new."""
    earlier = _on_frames(_open(present), shared_pts)
    later = _on_frames(arriving, shared_pts)
    classes = [np.array([track.class_name for track in side], dtype=object) for side in (_open(present), arriving)]
    matches = _match(earlier, later, np.asarray(classes[0][:, None] == classes[1][None, :], dtype=np.bool_))
    fresh = [_after(track, shared_pts) for track in arriving]
    for row, column in matches.items():
        present[row].open = _continued(present[row].open, fresh[column])
    taken = set(matches.values())
    return [_Person(track) for column, track in enumerate(fresh) if column not in taken and len(track.pts)]


def _open(people: list[_Person]) -> list[Track]:
    return [person.open for person in people]


def _after(track: Track, shared_pts: NDArray[np.int64]) -> Track:
    return track.rows(track.pts > shared_pts[-1]) if len(shared_pts) else track


def _on_frames(tracks: list[Track], frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """(tracks, frames, 4): each track's box on each frame, NaN where it has none."""
    boxes = np.full((len(tracks), len(frames), 4), np.nan)
    for index, track in enumerate(tracks):
        _, rows, columns = np.intersect1d(track.pts, frames, assume_unique=True, return_indices=True)
        boxes[index, columns] = track.boxes[rows]
    return boxes


def _match(earlier: NDArray[np.float64], later: NDArray[np.float64], alike: NDArray[np.bool_]) -> dict[int, int]:
    """Earlier track -> later track, from their boxes on shared frames (tracks, frames, 4). `alike`: who can be whom."""
    iou = pairwise_iou(earlier[:, None], later[None, :])
    from scipy.optimize import linear_sum_assignment  # slow to import, and only aggregators stitch

    common = np.isfinite(iou)
    count = common.sum(axis=2)
    total = np.where(common, iou, 0.0).sum(axis=2)
    # Someone who leaves just after the seam is in the overlap for a single frame.
    seen = [np.isfinite(boxes[:, :, 0]).sum(axis=1) for boxes in (earlier, later)]
    enough = count >= np.clip(np.minimum(seen[0][:, None], seen[1][None, :]), 1, MIN_SHARED_FRAMES)
    same = alike & enough & (total > SAME_PERSON_IOU * count)
    # The sum, not the mean, is maximised: of two pairs that agree, the one seen on more frames continues the person.
    gain = np.where(same, total, 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if same[row, column]}


def _continued(warm: Track, later: Track) -> Track:
    """The warm track, and of the later one what comes after it."""
    return warm.then(later.rows(later.pts > warm.pts[-1]))


def _numbered(people: list[_Person]) -> list[Track]:
    whole = [person.whole(0) for person in people]
    seen = sorted((track for track in whole if len(track.pts)), key=lambda track: int(track.pts[0]))
    return [replace(track, id=number) for number, track in enumerate(seen, start=1)]

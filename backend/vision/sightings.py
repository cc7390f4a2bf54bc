"""A track as a shot shows it: its box on every frame, gaps filled where the person is plainly there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from backend.vision.heads import heads_in
from backend.vision.stitch import Track, interpolate, pairwise_iou
from backend.vision.timeline import Timeline, runs

# A box is filled in between samples up to this far apart, wherever they are.
_FILL_SEC = 0.5
# And up to this far apart where both sides of the gap are at one place. At the picture's left and right side, where
# people go out and come in, that has to be plainer.
_PLAINLY_THERE_SEC, _ONE_PLACE_IOU = 2.0, 0.3
_PLAINLY_AT_SIDE_SEC, _ONE_PLACE_AT_SIDE_IOU = 1.5, 0.5
# Whoever is first seen this soon after a shot's start was there from its start; likewise at its end.
_REACH_SEC = 0.5
_EDGE_RATIO = 0.01
# What the way from the centre of the picture to a corner takes from one whom the picture may be all about, and from one
# of several.
_CENTRALITY_WEIGHT = 0.75
OF_SEVERAL = 0.3


@dataclass(frozen=True, eq=False)
class Sighting:
    """A track on the frames of a shot: `rows` into the frames without a gap, `boxes` there in pixels inside the picture
    (NaN in long gaps), the head in each, whether that is seen, how long the track was seen, its weight for `main`."""

    track: Track
    rows: NDArray[np.int64]
    boxes: NDArray[np.float64]
    heads: NDArray[np.float64]
    is_seen: NDArray[np.bool_]
    span_sec: float
    prominence: float

    def boxes_on(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Which of the shot's frames `rows`, as places in them (k,), lie between its first and its last, and the boxes
        there (k, 4)."""
        at = self.places_in(rows)
        return at, self.boxes[rows[at] - self.rows[0]]

    def heads_on(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """As `boxes_on`, the heads (k, 4)."""
        return np.asarray(self.heads[rows[self.places_in(rows)] - self.rows[0]])

    def places_in(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.flatnonzero((rows >= self.rows[0]) & (rows <= self.rows[-1]))

    @property
    def size_px(self) -> NDArray[np.float64]:
        """Square root of the box's area (n,)."""
        sides = np.clip(self.boxes[:, 2:] - self.boxes[:, :2], 0.0, None)
        return np.asarray(np.sqrt(sides[:, 0] * sides[:, 1]))


class Sightings:
    """The tracks of a video, to be asked for shot by shot. A film has thousands of tracks and of shots, few of them
    together."""

    def __init__(self, tracks: Sequence[Track], timeline: Timeline) -> None:
        self._tracks = [track for track in tracks if len(track.pts)]
        spans = [[track.pts[0], track.pts[-1]] for track in self._tracks]
        self._spans = np.array(spans, dtype=np.int64).reshape(-1, 2)
        self._stays = _stays(self._tracks, timeline.longest_gap)
        self._frame_size = timeline.frame_size
        self._fill_sec = _fill_sec(self._tracks, timeline.time_base)

    def on(self, frame_pts: NDArray[np.int64], times_sec: NDArray[np.float64]) -> list[Sighting]:
        """Who is on the frames of a shot, whose times count from its first frame."""
        found = [self._sighting(track, frame_pts, times_sec) for track in self._within(frame_pts)]
        return [sighting for sighting in found if len(sighting.rows)]

    def anybody(self, frame_pts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether any track is there, on every frame (n,): from its first to its last sample, but where it is away."""
        steps = np.zeros(len(frame_pts) + 1, dtype=np.int64)
        np.add.at(steps, np.searchsorted(frame_pts, self._stays[:, 0], side="left"), 1)
        np.add.at(steps, np.searchsorted(frame_pts, self._stays[:, 1], side="right"), -1)
        return np.asarray(np.cumsum(steps)[:-1] > 0)

    def _within(self, pts: NDArray[np.int64]) -> Iterator[Track]:
        """What a shot shows of each track: a cut ends it, as boxes between two framings are nobody's."""
        if not len(pts):
            return
        for index in np.flatnonzero((self._spans[:, 0] <= pts[-1]) & (self._spans[:, 1] >= pts[0])).tolist():
            track = self._tracks[index]
            inside = track.between(*np.searchsorted(track.pts, pts[[0, -1]] + [0, 1]).tolist())
            if len(inside.pts):
                yield inside

    def _sighting(self, track: Track, frame_pts: NDArray[np.int64], times_sec: NDArray[np.float64]) -> Sighting:
        on_frames = interpolate(track, frame_pts)
        first = int(np.searchsorted(frame_pts, track.pts[0]))
        rows = np.arange(first, first + len(on_frames.pts), dtype=np.int64)
        width, height = self._frame_size
        boxes = np.clip(on_frames.boxes, 0.0, np.array([width, height, width, height], dtype=np.float64))
        boxes[_in_long_gap(track, frame_pts[rows], times_sec[rows], self._fill_sec, width)] = np.nan
        span_sec = float(times_sec[rows[-1]] - times_sec[rows[0]]) if len(rows) else 0.0
        weight = prominence(boxes, on_frames.confidence, times_sec[rows], self._frame_size)
        rows, boxes = self._to_the_shots_edges(rows, boxes, times_sec)
        shares = _heads_in_boxes(track, frame_pts[rows])
        heads = heads_in(boxes, self._frame_size, shares)
        return Sighting(track, rows, boxes, heads, np.isfinite(shares[:, 0]), span_sec, weight)

    def _to_the_shots_edges(
        self, rows: NDArray[np.int64], boxes: NDArray[np.float64], times_sec: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Holds the first and the last box to the start and the end of the shot, where that is a short while.

        The first frames of a shot are hardly sharp and the last ones come after its last sample, so they lack people.
        """
        if not len(rows):
            return rows, boxes
        reach_sec = max(_REACH_SEC, self._fill_sec)
        before = int(rows[0]) if times_sec[rows[0]] - times_sec[0] <= reach_sec else 0
        after = len(times_sec) - 1 - int(rows[-1]) if times_sec[-1] - times_sec[rows[-1]] <= reach_sec else 0
        reached = np.arange(rows[0] - before, rows[-1] + after + 1, dtype=np.int64)
        return reached, np.pad(boxes, ((before, after), (0, 0)), mode="edge")


def _heads_in_boxes(track: Track, pts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where the heads that are seen are in the track's boxes, as shares of those (n, 4), between samples too; NaN where
    none is seen on both sides, or too far apart."""
    if track.heads is None:
        return np.full((len(pts), 4), np.nan)
    low, side = track.boxes[:, :2], np.maximum(track.boxes[:, 2:] - track.boxes[:, :2], 1.0)
    shares = (track.heads - np.tile(low, 2)) / np.tile(side, 2)
    seen = np.isfinite(shares[:, 0])
    at, known = (pts - track.pts[0]).astype(np.float64), (track.pts[seen] - track.pts[0]).astype(np.float64)
    found = np.stack([np.interp(at, known, shares[seen, column]) for column in range(4)], axis=1)
    # Between two samples both have to tell; beyond the ends the last one goes on.
    after = np.clip(np.searchsorted(track.pts, pts), 0, len(track.pts) - 1)
    before = np.clip(np.searchsorted(track.pts, pts, side="right") - 1, 0, len(track.pts) - 1)
    found[~(seen[before] & seen[after])] = np.nan
    return found


def _stays(tracks: Sequence[Track], longest_gap: int) -> NDArray[np.int64]:
    """(n, 2): first and last PTS of each stretch of a track without a gap longer than that."""
    found = [np.zeros((0, 2), np.int64)]
    for track in tracks:
        gaps = np.flatnonzero(np.diff(track.pts) > longest_gap)
        ends = track.pts[np.append(gaps, -1)]
        found.append(np.column_stack([track.pts[np.append(0, gaps + 1)], ends]))
    return np.concatenate(found)


def _in_long_gap(
    track: Track, pts: NDArray[np.int64], times_sec: NDArray[np.float64], fill_sec: float, frame_width: int
) -> NDArray[np.bool_]:
    """Which of `pts` lie between two samples that are too far apart to say where the person is."""
    if not len(pts):
        return np.zeros(0, dtype=np.bool_)
    ticks = (pts - pts[0]).astype(float)
    sample_sec = np.interp((track.pts - pts[0]).astype(float), ticks, times_sec)
    gap_sec = np.diff(sample_sec)
    filled_sec = np.maximum(fill_sec, _plainly_there_sec(track.boxes[:-1], track.boxes[1:], frame_width))
    too_long = np.append(gap_sec > filled_sec, False)
    after = np.clip(np.searchsorted(track.pts, pts, side="left"), 0, len(track.pts) - 1)
    return np.asarray(too_long[np.maximum(after - 1, 0)] & (track.pts[after] != pts))


def _plainly_there_sec(
    before: NDArray[np.float64], after: NDArray[np.float64], frame_width: int
) -> NDArray[np.float64]:
    """For how long somebody with the boxes (n, 4) before and after a gap has surely not gone away in between."""
    left, right = _EDGE_RATIO * frame_width, (1.0 - _EDGE_RATIO) * frame_width
    at_side = np.logical_or.reduce([(boxes[:, 0] <= left) | (boxes[:, 2] >= right) for boxes in (before, after)])
    iou = pairwise_iou(before, after)
    at_side_sec = np.where(iou >= _ONE_PLACE_AT_SIDE_IOU, _PLAINLY_AT_SIDE_SEC, 0.0)
    return np.where(at_side, at_side_sec, np.where(iou >= _ONE_PLACE_IOU, _PLAINLY_THERE_SEC, 0.0))


def bridged(boxes: NDArray[np.float64], times_sec: NDArray[np.float64], frame_width: int) -> NDArray[np.float64]:
    """The boxes (n, 4) with short gaps filled in between people at one place, who may go by two names."""
    found = boxes.copy()
    for start, stop in runs(~np.isfinite(boxes[:, 0])):
        if start == 0 or stop == len(boxes):
            continue
        ends = boxes[start - 1], boxes[stop]
        ends_sec = times_sec[start - 1], times_sec[stop]
        if ends_sec[1] - ends_sec[0] <= _plainly_there_sec(ends[0][None], ends[1][None], frame_width)[0]:
            share = (times_sec[start:stop, None] - ends_sec[0]) / (ends_sec[1] - ends_sec[0])
            found[start:stop] = ends[0] + share * (ends[1] - ends[0])
    return found


def prominence(
    boxes: NDArray[np.float64],
    confidence: NDArray[np.float64],
    times_sec: NDArray[np.float64],
    frame_size: tuple[int, int],
) -> float:
    """Seconds on screen, each weighted by `presence` and the detector's confidence: a box around two people is larger
    than theirs, and less sure."""
    if not len(boxes):
        return 0.0
    step_sec = np.diff(times_sec, prepend=times_sec[0]) if len(times_sec) > 1 else np.ones(1)
    return float(np.nansum(presence(boxes, frame_size) * confidence**2 * step_sec))


def presence(
    boxes: NDArray[np.float64], frame_size: tuple[int, int], centrality_weight: float = _CENTRALITY_WEIGHT
) -> NDArray[np.float64]:
    """How much boxes (..., 4) are in the picture, from 0 to 1: their size (square root of their share of it) by how
    near to its centre they are."""
    size_px = np.array(frame_size, dtype=np.float64)
    sides = np.clip(boxes[..., 2:] - boxes[..., :2], 0.0, None)
    size = np.sqrt(sides.prod(axis=-1) / size_px.prod())
    off_centre = np.abs((boxes[..., :2] + boxes[..., 2:]) / size_px - 1.0)
    far = np.clip(np.hypot(off_centre[..., 0], off_centre[..., 1]), 0.0, 1.0)
    return np.asarray(size * (1.0 - centrality_weight * far))


def lasting(person: Sighting, longest_sec: float) -> float:
    """What somebody counts for who is there for so long, beside one who is there for `longest_sec`."""
    return float(np.sqrt(person.span_sec / longest_sec)) if longest_sec else 1.0


def _fill_sec(tracks: Sequence[Track], time_base: Fraction) -> float:
    """The longest gap to fill: half a second, or more where sampling itself is that sparse."""
    steps = [np.diff(track.pts) for track in tracks if len(track.pts) > 1]
    if not steps:
        return _FILL_SEC
    return max(_FILL_SEC, 1.5 * float(np.median(np.concatenate(steps))) * float(time_base))

"""Who the picture follows: one box a frame, made of the tracks that the `subject` parameter asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from backend.vision.passages import passing_rows
from backend.vision.stitch import Track, interpolate
from backend.vision.subject_modes import modes_of_shots, wanted_ids

# A box is filled in between samples up to this far apart; a longer gap is left to the path solver.
_FILL_SEC = 0.5
# `main` changes hands only when its person is gone for longer than this, and nobody takes over for less.
_HOLD_SEC = 1.0
# Nobody takes over where less than this is free around them: so short a turn is not worth the two pans.
_TURN_SEC = 2.0
_MIN_TRACK_SEC = 0.5
_PASSER_BY_SEC = 1.0
_EDGE_RATIO = 0.01
_TINY_RATIO = 0.2
_CENTRALITY_WEIGHT = 0.75


@dataclass(frozen=True, eq=False)
class Subject:
    """`boxes` (n_frames, 4) in pixels inside the picture, NaN where nobody is known or the picture passes from one
    person to another; `passing` (n_frames,) marks the latter; the ids of the tracks that the boxes came from."""

    boxes: NDArray[np.float64]
    track_ids: list[int]
    passing: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Sighting:
    """A track on the frames it spans: `rows` into the frames, `boxes` there (NaN in long gaps), score for `main`."""

    track: Track
    rows: NDArray[np.int64]
    boxes: NDArray[np.float64]
    score: float

    @property
    def size_px(self) -> NDArray[np.float64]:
        sides = np.clip(self.boxes[:, 2:] - self.boxes[:, :2], 0.0, None)
        return np.asarray(np.sqrt(sides[:, 0] * sides[:, 1]))


def choose_subject(
    tracks: Sequence[Track],
    frame_pts: NDArray[np.int64],
    frame_size: tuple[int, int],
    time_base: Fraction,
    mode: str,
    shots: Sequence[tuple[int, int]] | None = None,
    shot_modes: Mapping[int, str] | None = None,
) -> Subject:
    """The subject's box on every frame, chosen for each of `shots` ([start, stop) in frames) from what is in it.

    `all`: everyone who matters. `main`: the most prominent person (time on screen x size x centrality), another only
    while that person is gone for more than a second. `track:<id>`, or several with commas: those tracks. Gaps are NaN.
    `shot_modes` overrides the mode of single shots by their index.
    Raises InvalidParams for another mode, for an id or a shot that is not there; the message names those that are.
    """
    cuts = [(0, len(frame_pts))] if shots is None else list(shots)
    modes = modes_of_shots(mode, shot_modes or {}, len(cuts))
    wanted = {name: wanted_ids(name, tracks) for name in set(modes)}
    fill_sec = _fill_sec(tracks, time_base)
    seen_tracks = [track for track in tracks if len(track.pts)]
    spans = np.array([[track.pts[0], track.pts[-1]] for track in seen_tracks], dtype=np.int64).reshape(-1, 2)
    subject = Subject(np.full((len(frame_pts), 4), np.nan), [], np.zeros(len(frame_pts), dtype=np.bool_))
    found: set[int] = set()
    for (start, stop), name in zip(cuts, modes, strict=True):
        pts = frame_pts[start:stop]
        times_sec = seconds_from_start(pts, time_base)
        seen = [_sighting(track, pts, times_sec, frame_size, fill_sec) for track in _within(seen_tracks, spans, pts)]
        seen = [sighting for sighting in seen if len(sighting.rows)]
        part = _choice(name, wanted[name], seen, times_sec, frame_size)
        subject.boxes[start:stop], subject.passing[start:stop] = part.boxes, part.passing
        found.update(part.track_ids)
    return replace(subject, track_ids=sorted(found))


def _within(tracks: Sequence[Track], spans: NDArray[np.int64], pts: NDArray[np.int64]) -> Iterator[Track]:
    """What a shot shows of each track: a cut ends it, as boxes between two framings are nobody's.

    `spans` (n_tracks, 2): their first and last PTS; a film has thousands of tracks and of shots, few of them together.
    """
    if not len(pts):
        return
    for index in np.flatnonzero((spans[:, 0] <= pts[-1]) & (spans[:, 1] >= pts[0])).tolist():
        track = tracks[index]
        inside = slice(*np.searchsorted(track.pts, pts[[0, -1]] + [0, 1]))
        if len(track.pts[inside]):
            yield Track(track.id, track.pts[inside], track.boxes[inside], track.confidence[inside])


def _choice(
    mode: str,
    wanted_ids: set[int],
    seen: Sequence[_Sighting],
    times_sec: NDArray[np.float64],
    frame_size: tuple[int, int],
) -> Subject:
    if mode == "main":
        return _main(_who_matters(seen, times_sec, frame_size), times_sec, frame_size)
    if mode == "all":
        return _union(_who_matters(seen, times_sec, frame_size), times_sec, frame_size)
    return _union([sighting for sighting in seen if sighting.track.id in wanted_ids], times_sec, frame_size)


def seconds_from_start(frame_pts: NDArray[np.int64], time_base: Fraction) -> NDArray[np.float64]:
    """Seconds of each frame since the first one; empty for no frames."""
    if not len(frame_pts):
        return np.zeros(0)
    return np.asarray((frame_pts - frame_pts[0]).astype(np.float64) * float(time_base))


def _fill_sec(tracks: Sequence[Track], time_base: Fraction) -> float:
    """The longest gap to fill: half a second, or more where sampling itself is that sparse."""
    steps = [np.diff(track.pts) for track in tracks if len(track.pts) > 1]
    if not steps:
        return _FILL_SEC
    return max(_FILL_SEC, 1.5 * float(np.median(np.concatenate(steps))) * float(time_base))


def _sighting(
    track: Track,
    frame_pts: NDArray[np.int64],
    times_sec: NDArray[np.float64],
    frame_size: tuple[int, int],
    fill_sec: float,
) -> _Sighting:
    on_frames = interpolate(track, frame_pts)
    first = int(np.searchsorted(frame_pts, track.pts[0]))
    rows = np.arange(first, first + len(on_frames.pts), dtype=np.int64)
    width, height = frame_size
    boxes = np.clip(on_frames.boxes, 0.0, np.array([width, height, width, height], dtype=np.float64))
    boxes[_in_long_gap(track.pts, frame_pts[rows], times_sec[rows], fill_sec)] = np.nan
    return _Sighting(track, rows, boxes, _prominence(boxes, on_frames.confidence, times_sec[rows], frame_size))


def _in_long_gap(
    sample_pts: NDArray[np.int64], pts: NDArray[np.int64], times_sec: NDArray[np.float64], fill_sec: float
) -> NDArray[np.bool_]:
    """Which of `pts` lie strictly between two samples that are more than `fill_sec` apart."""
    if not len(pts):
        return np.zeros(0, dtype=np.bool_)
    sample_sec = np.interp((sample_pts - pts[0]).astype(float), (pts - pts[0]).astype(float), times_sec)
    after = np.clip(np.searchsorted(sample_pts, pts, side="left"), 0, len(sample_pts) - 1)
    gap_sec = sample_sec[after] - sample_sec[np.maximum(after - 1, 0)]
    return np.asarray((sample_pts[after] != pts) & (gap_sec > fill_sec))


def _prominence(
    boxes: NDArray[np.float64],
    confidence: NDArray[np.float64],
    times_sec: NDArray[np.float64],
    frame_size: tuple[int, int],
) -> float:
    """Seconds on screen, each weighted by the box's size (square root of its share), its nearness to the centre and
    the detector's confidence: a box around two people is larger than theirs, and less sure."""
    if not len(boxes):
        return 0.0
    width, height = frame_size
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)
    size = np.sqrt(sides[:, 0] * sides[:, 1] / (width * height))
    off_centre = np.abs((boxes[:, :2] + boxes[:, 2:]) / np.array([width, height]) - 1.0)
    centrality = 1.0 - _CENTRALITY_WEIGHT * np.clip(np.hypot(off_centre[:, 0], off_centre[:, 1]), 0.0, 1.0)
    step_sec = np.diff(times_sec, prepend=times_sec[0]) if len(times_sec) > 1 else np.ones(1)
    return float(np.nansum(size * centrality * confidence**2 * step_sec))


def _who_matters(
    seen: Sequence[_Sighting], times_sec: NDArray[np.float64], frame_size: tuple[int, int]
) -> list[_Sighting]:
    """Without flickers, people tiny beside the biggest one on the same frames, and passers-by at the edge."""
    biggest_px = np.zeros(len(times_sec))
    for sighting in seen:
        biggest_px[sighting.rows] = np.fmax(biggest_px[sighting.rows], sighting.size_px)
    # A clip of half a second has no track longer than that; half its length is asked for instead.
    shortest_sec = min(_MIN_TRACK_SEC, 0.5 * float(times_sec[-1])) if len(times_sec) else 0.0
    return [
        sighting
        for sighting in seen
        if _span_sec(sighting.rows, times_sec) >= shortest_sec
        and not _is_tiny(sighting, biggest_px)
        and not _is_passer_by(sighting, times_sec, frame_size)
    ]


def _span_sec(rows: NDArray[np.int64], times_sec: NDArray[np.float64]) -> float:
    return float(times_sec[rows[-1]] - times_sec[rows[0]])


def _is_tiny(sighting: _Sighting, biggest_px: NDArray[np.float64]) -> bool:
    ratio = sighting.size_px / np.maximum(biggest_px[sighting.rows], 1e-9)
    return bool(np.nanmedian(ratio) < _TINY_RATIO)


def _is_passer_by(sighting: _Sighting, times_sec: NDArray[np.float64], frame_size: tuple[int, int]) -> bool:
    width, height = frame_size
    short_sec = min(_PASSER_BY_SEC, 0.5 * float(times_sec[-1]))
    margin = _EDGE_RATIO * np.array([width, height])
    boxes = sighting.boxes
    touches = (boxes[:, :2] <= margin) | (boxes[:, 2:] >= np.array([width, height]) - margin)
    # Only the sides: a standing person's feet and head may well be cut off for the whole shot.
    return _span_sec(sighting.rows, times_sec) < short_sec and bool(touches[:, 0].any())


def _union(chosen: Sequence[_Sighting], times_sec: NDArray[np.float64], frame_size: tuple[int, int]) -> Subject:
    boxes = np.full((len(times_sec), 4), np.nan)
    for sighting in chosen:
        rows = sighting.rows
        boxes[rows, :2] = np.fmin(boxes[rows, :2], sighting.boxes[:, :2])
        boxes[rows, 2:] = np.fmax(boxes[rows, 2:], sighting.boxes[:, 2:])
    edges = [row for sighting in chosen for row in _comings_and_goings(sighting)]
    return _subject(boxes, edges, {sighting.track.id for sighting in chosen}, times_sec, frame_size)


def _subject(
    boxes: NDArray[np.float64],
    edges: Sequence[int],
    track_ids: set[int],
    times_sec: NDArray[np.float64],
    frame_size: tuple[int, int],
) -> Subject:
    passing = passing_rows(boxes, edges, times_sec, frame_size[0])
    boxes[passing] = np.nan
    return Subject(boxes, sorted(track_ids), passing)


def _comings_and_goings(sighting: _Sighting) -> Iterator[int]:
    for start, stop in runs(np.isfinite(sighting.boxes[:, 0])):
        yield int(sighting.rows[start])
        yield int(sighting.rows[stop - 1]) + 1


def _main(seen: Sequence[_Sighting], times_sec: NDArray[np.float64], frame_size: tuple[int, int]) -> Subject:
    """Gives every stretch of frames to the most prominent person who fills it for a second or more."""
    boxes = np.full((len(times_sec), 4), np.nan)
    free = np.ones(len(times_sec), dtype=np.bool_)
    ranked = sorted(seen, key=lambda sighting: (-sighting.score, sighting.track.id))
    chosen: set[int] = set()
    edges: list[int] = []
    # The second round serves people who are only ever seen briefly, where nobody else has been chosen around them.
    for shortest_sec in (_HOLD_SEC, 0.0):
        for sighting in ranked:
            for start, stop in _stays(sighting, free, times_sec, shortest_sec):
                own = sighting.rows[start:stop]
                boxes[own] = sighting.boxes[start:stop]
                free[own] = False
                chosen.add(sighting.track.id)
                edges += [int(own[0]), int(own[-1]) + 1]
    return _subject(boxes, edges, chosen, times_sec, frame_size)


def _stays(
    sighting: _Sighting, free: NDArray[np.bool_], times_sec: NDArray[np.float64], shortest_sec: float
) -> Iterator[tuple[int, int]]:
    """Stretches [start, stop) of the sighting's rows that are present and free, with enough free around them."""
    rows = sighting.rows
    known = np.isfinite(sighting.boxes[:, 0])
    present = _bridged(known, times_sec[rows])
    for start, stop in runs(present & free[rows]):
        if _span_sec(rows[start:stop], times_sec) >= shortest_sec and _room_sec(rows[start], free, times_sec) >= min(
            _TURN_SEC, float(times_sec[-1])
        ):
            yield start, stop


def _bridged(known: NDArray[np.bool_], times_sec: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`known` with its gaps of up to a second closed: being hidden that long is not being gone."""
    present = known.copy()
    for start, stop in runs(~known):
        inner = start > 0 and stop < len(known)
        if inner and times_sec[stop] - times_sec[start - 1] <= _HOLD_SEC:
            present[start:stop] = True
    return present


def _room_sec(row: int, free: NDArray[np.bool_], times_sec: NDArray[np.float64]) -> float:
    """Seconds of the free stretch that holds `row`."""
    taken = np.flatnonzero(~free)
    at = int(np.searchsorted(taken, row))
    first = taken[at - 1] + 1 if at > 0 else 0
    last = taken[at] - 1 if at < len(taken) else len(free) - 1
    return float(times_sec[last] - times_sec[first])


def runs(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Half-open stretches [start, stop) where `mask` is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield int(start), int(stop)

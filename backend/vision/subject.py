"""Who the picture follows: one box a frame, made of the tracks that the `subject` parameter asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from backend.errors import InvalidParams
from backend.vision.stitch import Track, interpolate

# A box is filled in between samples up to this far apart; a longer gap is left to the path solver.
_FILL_SEC = 0.5
# `main` changes hands only when its person is gone for longer than this, and nobody takes over for less.
_HOLD_SEC = 1.0
_MIN_TRACK_SEC = 0.5
_PASSER_BY_SEC = 1.0
_EDGE_RATIO = 0.01
_TINY_RATIO = 0.2
_CENTRALITY_WEIGHT = 0.75
_MAX_NAMED_IDS = 50


@dataclass(frozen=True, eq=False)
class Subject:
    """`boxes` (n_frames, 4) in pixels inside the picture, NaN where nobody is known; the ids they came from."""

    boxes: NDArray[np.float64]
    track_ids: list[int]


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
) -> Subject:
    """The subject's box on every frame.

    `all`: everyone who matters. `main`: the most prominent person (time on screen x size x centrality), another only
    while that person is gone for more than a second. `track:<id>`: that track. Gaps are NaN.
    Raises InvalidParams for another mode, or for an id that is not there; the message names those that are.
    """
    wanted_id = _wanted_id(mode, tracks)
    times_sec = seconds_from_start(frame_pts, time_base)
    fill_sec = _fill_sec(tracks, time_base)
    seen = [_sighting(track, frame_pts, times_sec, frame_size, fill_sec) for track in tracks if len(track.pts)]
    seen = [sighting for sighting in seen if len(sighting.rows)]
    if wanted_id is not None:
        return _union([sighting for sighting in seen if sighting.track.id == wanted_id], len(frame_pts))
    if mode == "all":
        return _union(_who_matters(seen, times_sec, frame_size), len(frame_pts))
    return _main(seen, times_sec)


def seconds_from_start(frame_pts: NDArray[np.int64], time_base: Fraction) -> NDArray[np.float64]:
    """Seconds of each frame since the first one; empty for no frames."""
    if not len(frame_pts):
        return np.zeros(0)
    return np.asarray((frame_pts - frame_pts[0]).astype(np.float64) * float(time_base))


def _wanted_id(mode: str, tracks: Sequence[Track]) -> int | None:
    if mode in ("all", "main"):
        return None
    prefix, _, number = mode.partition(":")
    if prefix != "track" or not (number.isascii() and number.isdigit()):
        raise InvalidParams(f"subject {mode[:80]!r} is none of 'all', 'main', 'track:<id>'.")
    ids = sorted(track.id for track in tracks)
    if number not in {str(track_id) for track_id in ids}:
        named = ", ".join(str(track_id) for track_id in ids[:_MAX_NAMED_IDS]) or "none"
        more = f" and {len(ids) - _MAX_NAMED_IDS} more" if len(ids) > _MAX_NAMED_IDS else ""
        raise InvalidParams(f"There is no track {number[:20]} in this video; its tracks are: {named}{more}.")
    return int(number)


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
    return _Sighting(track, rows, boxes, _prominence(boxes, times_sec[rows], frame_size))


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


def _prominence(boxes: NDArray[np.float64], times_sec: NDArray[np.float64], frame_size: tuple[int, int]) -> float:
    """Seconds on screen, each weighted by the box's size (square root of its share) and its nearness to the centre."""
    if not len(boxes):
        return 0.0
    width, height = frame_size
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)
    size = np.sqrt(sides[:, 0] * sides[:, 1] / (width * height))
    off_centre = np.abs((boxes[:, :2] + boxes[:, 2:]) / np.array([width, height]) - 1.0)
    centrality = 1.0 - _CENTRALITY_WEIGHT * np.clip(np.hypot(off_centre[:, 0], off_centre[:, 1]), 0.0, 1.0)
    step_sec = np.diff(times_sec, prepend=times_sec[0]) if len(times_sec) > 1 else np.ones(1)
    return float(np.nansum(size * centrality * step_sec))


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


def _union(chosen: Sequence[_Sighting], frame_count: int) -> Subject:
    boxes = np.full((frame_count, 4), np.nan)
    for sighting in chosen:
        rows = sighting.rows
        boxes[rows, :2] = np.fmin(boxes[rows, :2], sighting.boxes[:, :2])
        boxes[rows, 2:] = np.fmax(boxes[rows, 2:], sighting.boxes[:, 2:])
    return Subject(boxes, sorted(sighting.track.id for sighting in chosen))


def _main(seen: Sequence[_Sighting], times_sec: NDArray[np.float64]) -> Subject:
    """Gives every stretch of frames to the most prominent person who fills it for a second or more."""
    boxes = np.full((len(times_sec), 4), np.nan)
    free = np.ones(len(times_sec), dtype=np.bool_)
    ranked = sorted(seen, key=lambda sighting: (-sighting.score, sighting.track.id))
    chosen: set[int] = set()
    # The second round serves people who are only ever seen briefly, where nobody else has been chosen around them.
    for shortest_sec in (_HOLD_SEC, 0.0):
        for sighting in ranked:
            for start, stop in _stays(sighting, free, times_sec, shortest_sec):
                own = sighting.rows[start:stop]
                boxes[own] = sighting.boxes[start:stop]
                free[own] = False
                chosen.add(sighting.track.id)
    return Subject(boxes, sorted(chosen))


def _stays(
    sighting: _Sighting, free: NDArray[np.bool_], times_sec: NDArray[np.float64], shortest_sec: float
) -> Iterator[tuple[int, int]]:
    """Stretches [start, stop) of the sighting's rows that are present and free, with enough free around them."""
    rows = sighting.rows
    known = np.isfinite(sighting.boxes[:, 0])
    present = _bridged(known, times_sec[rows])
    for start, stop in runs(present & free[rows]):
        if _span_sec(rows[start:stop], times_sec) >= shortest_sec and _room_sec(rows[start], free, times_sec) >= min(
            _HOLD_SEC, float(times_sec[-1])
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

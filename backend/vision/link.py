"""Names people over the whole video, after stitching: joins the pieces of one person's track, drops what is nobody.

A tracker that runs forward must decide at once who somebody is; here both sides of a gap are known. The joining is
tracklet association as in Huang, Wu and Nevatia (ECCV 2008): each piece's end is extrapolated at constant velocity to
the other's beginning and back, and the set of joins with the least total cost is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from backend.vision.stitch import Track
from backend.vision.timeline import Timeline


@dataclass(frozen=True)
class LinkRules:
    """Lengths are in heights of the person, so that they mean the same near and far, in every picture size."""

    # A person begins where a detection is this much surer than `conf`; ByteTrack's paper starts tracks at 0.6.
    start_per_conf: float = 2.4
    max_gap_sec: float = 3.0
    # Velocity is fitted over this much of a track's end: about one stride, so that a swinging arm averages out.
    motion_sec: float = 1.0
    # How far an extrapolated end may miss: the detector's noise, and for each second how much a walk bends.
    miss_heights: float = 0.15
    miss_heights_per_sec: float = 0.2
    min_height_ratio: float = 0.7
    # Less than half a second's worth of full confidence in all is a flicker.
    min_evidence_sec: float = 0.5


# Σ(t - mean)² in s² below which a fitted velocity is mostly noise: (0.05 heights / 0.5 heights per s)².
_VELOCITY_RIDGE_SEC2 = 0.01
# A box that ends this near to a side of the picture, as a share of its width, is cut off by it.
_EDGE_RATIO = 0.01
_DEFAULT_RULES = LinkRules()


@dataclass(frozen=True, eq=False)
class _Scene:
    """The video that the tracks are in: its shots begin at the first frame and at each of `cuts`."""

    cuts: NDArray[np.int64]
    tick_sec: float
    width_px: int

    def shot_of(self, pts: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.cuts, pts, side="right").astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Ends:
    """One end of each track: time in s, shot, box centre (n, 2) and height in px, velocity in px/s, and `_side`."""

    time_sec: NDArray[np.float64]
    shot: NDArray[np.int64]
    centre: NDArray[np.float64]
    velocity: NDArray[np.float64]
    height: NDArray[np.float64]
    side: NDArray[np.int64]


def link(
    tracks: Sequence[Track],
    timeline: Timeline,
    *,
    conf: float,
    cuts_pts: Sequence[int] = (),
    rules: LinkRules = _DEFAULT_RULES,
) -> list[Track]:
    """The people of the video, ids 1..n in order of first appearance. No track goes on over a cut.

    `conf` is the confidence that let a detection start a track, `cuts_pts` the first
    frames of the shots after the first. A joined track has no samples in its gaps; `interpolate` fills them.
    """
    scene = _Scene(np.unique(np.asarray(cuts_pts, dtype=np.int64)), float(timeline.time_base), timeline.frame_size[0])
    sure = min(rules.start_per_conf * conf, (1.0 + conf) / 2.0)
    pieces = [piece for piece in map(_Starter(sure), split_at_cuts(tracks, cuts_pts)) if len(piece.pts)]
    people: list[Track] = []
    for class_name in dict.fromkeys(piece.class_name for piece in pieces):
        people += _joined([piece for piece in pieces if piece.class_name == class_name], scene, rules)
    kept = _without_flickers(people, timeline.frame_pts, scene, rules)
    kept.sort(key=lambda track: (int(track.pts[0]), track.id))
    return [replace(track, id=number) for number, track in enumerate(kept, start=1)]


def split_at_cuts(tracks: Iterable[Track], cuts_pts: Sequence[int]) -> list[Track]:
    """The tracks with none that spans a cut; `cuts_pts` are first frames of shots. The pieces keep the track's id."""
    cuts = np.unique(np.asarray(cuts_pts, dtype=np.int64))
    pieces = []
    for track in tracks:
        edges = [0, *np.searchsorted(track.pts, cuts).tolist(), len(track.pts)]
        for start, stop in pairwise(edges):
            if start < stop:
                pieces.append(track.between(start, stop))
    return pieces


@dataclass(frozen=True)
class _Starter:
    """Cuts off what comes before a track's first sure detection: the whole of it when there is none."""

    sure: float

    def __call__(self, track: Track) -> Track:
        surely = np.flatnonzero(track.confidence >= self.sure)
        return track.between(int(surely[0]) if len(surely) else len(track.pts), len(track.pts))


def _joined(pieces: list[Track], scene: _Scene, rules: LinkRules) -> list[Track]:
    if len(pieces) < 2:
        return pieces
    pieces = sorted(pieces, key=lambda piece: int(piece.pts[0]))
    heads, tails = (_ends(pieces, scene, rules.motion_sec, last) for last in (False, True))
    following = _assigned(*_candidates(heads, tails, rules))
    starts = sorted(set(range(len(pieces))) - set(following.values()))
    return [_chained(pieces, start, following) for start in starts]


def _ends(pieces: list[Track], scene: _Scene, motion_sec: float, last: bool) -> _Ends:
    reach = round(motion_sec / scene.tick_sec)
    end_pts = np.array([piece.pts[-1 if last else 0] for piece in pieces], dtype=np.int64)
    fitted = [_fit(piece, int(at), reach, scene.tick_sec) for piece, at in zip(pieces, end_pts, strict=True)]
    centre, velocity, height = zip(*fitted, strict=True)
    time_sec = ((end_pts - pieces[0].pts[0]) * scene.tick_sec).astype(np.float64)
    side = _side(np.array([piece.boxes[-1 if last else 0] for piece in pieces]), scene.width_px)
    return _Ends(time_sec, scene.shot_of(end_pts), np.array(centre), np.array(velocity), np.array(height), side)


def _side(boxes: NDArray[np.float64], width_px: int) -> NDArray[np.int64]:
    """-1 for boxes (n, 4) cut off by the left side of the picture, 1 for the right one, else 0."""
    left, right = boxes[:, 0] <= _EDGE_RATIO * width_px, boxes[:, 2] >= (1.0 - _EDGE_RATIO) * width_px
    return right.astype(np.int64) - left.astype(np.int64)


def _fit(
    piece: Track, at_pts: int, reach: int, tick_sec: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Centre in px and velocity in px/s at `at_pts` and median height, of the samples up to `reach` ticks away.

    A ridge keeps the velocity of a piece of a few samples small.
    """
    start = np.searchsorted(piece.pts, at_pts - reach, side="left")
    stop = np.searchsorted(piece.pts, at_pts + reach, side="right")
    boxes = piece.boxes[start:stop]
    since_sec = (piece.pts[start:stop] - at_pts) * tick_sec
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    apart = since_sec - since_sec.mean()
    velocity = apart @ (centres - centres.mean(axis=0)) / (apart @ apart + _VELOCITY_RIDGE_SEC2)
    centre = centres.mean(axis=0) - velocity * since_sec.mean()
    return centre, velocity, float(np.median(boxes[:, 3] - boxes[:, 1]))


def _candidates(
    heads: _Ends, tails: _Ends, rules: LinkRules
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(earlier, later, cost below 1) of every join that is possible. Pieces are in order of their heads."""
    first = np.searchsorted(heads.time_sec, tails.time_sec, side="right")
    stop = np.searchsorted(heads.time_sec, tails.time_sec + rules.max_gap_sec, side="right")
    counts = np.maximum(stop - first, 0)
    earlier = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(earlier)) - np.repeat(np.cumsum(counts) - counts, counts)
    later = np.repeat(first, counts) + within
    cost = _cost(tails, heads, earlier, later, rules)
    possible = cost < 1.0
    return earlier[possible], later[possible], cost[possible]


def _cost(
    tails: _Ends, heads: _Ends, earlier: NDArray[np.int64], later: NDArray[np.int64], rules: LinkRules
) -> NDArray[np.float64]:
    """How far the two extrapolations miss, as a share of what is allowed; infinite where the pieces cannot be one."""
    gap_sec = heads.time_sec[later] - tails.time_sec[earlier]
    heights = np.stack([tails.height[earlier], heads.height[later]])
    apart = heads.centre[later] - tails.centre[earlier]
    # The worse of both: a piece that walks into a place is not the one that stood there.
    misses = [apart - ends.velocity[rows] * gap_sec[:, None] for ends, rows in ((tails, earlier), (heads, later))]
    miss_px = np.maximum(*(np.hypot(miss[:, 0], miss[:, 1]) for miss in misses))
    allowed_px = (rules.miss_heights + rules.miss_heights_per_sec * gap_sec) * np.sqrt(heights.prod(axis=0))
    # Who went out at a side and comes in there again has turned round unseen: only the height up the picture tells.
    back = (tails.side[earlier] != 0) & (tails.side[earlier] == heads.side[later])
    miss_px = np.where(back, np.abs(apart[:, 1]), miss_px)
    alike = heights.min(axis=0) >= rules.min_height_ratio * heights.max(axis=0)
    alike &= tails.shot[earlier] == heads.shot[later]
    return np.where(alike, miss_px / np.maximum(allowed_px, 1e-9), np.inf)


def _assigned(earlier: NDArray[np.int64], later: NDArray[np.int64], cost: NDArray[np.float64]) -> dict[int, int]:
    """Earlier piece -> later piece, each at most once, with the least total cost; no join costs 1."""
    from scipy.sparse import coo_array  # slow to import, and only aggregators link
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    if not len(cost):
        return {}
    rows, row = np.unique(earlier, return_inverse=True)
    columns, column = np.unique(later, return_inverse=True)
    alone = np.arange(len(rows))
    # One is added everywhere: a sparse matrix knows no entry that costs nothing.
    weights = np.concatenate([cost + 1.0, np.full(len(rows), 2.0)])
    at = (np.concatenate([row, alone]), np.concatenate([column, len(columns) + alone]))
    matrix = coo_array((weights, at), shape=(len(rows), len(columns) + len(rows))).tocsr()
    chosen = zip(*min_weight_full_bipartite_matching(matrix), strict=True)
    return {int(rows[i]): int(columns[j]) for i, j in chosen if j < len(columns)}


def _chained(pieces: list[Track], start: int, following: dict[int, int]) -> Track:
    chain = [start]
    while chain[-1] in following:
        chain.append(following[chain[-1]])
    first, *others = [pieces[index] for index in chain]
    return first.then(*others)


def _without_flickers(
    people: list[Track], frame_pts: NDArray[np.int64], scene: _Scene, rules: LinkRules
) -> list[Track]:
    """People seen for long enough or surely enough; in a shot shorter than a second, for half of it."""
    if not people:
        return []
    steps = [np.diff(track.pts) for track in people if len(track.pts) > 1]
    step_sec = float(np.median(np.concatenate(steps))) * scene.tick_sec if steps else 0.0
    shot_sec = np.diff(np.concatenate([frame_pts[:1], scene.cuts, frame_pts[-1:]])) * scene.tick_sec
    shots = scene.shot_of(np.array([track.pts[0] for track in people]))
    kept = []
    for track, shot in zip(people, shots, strict=True):
        enough_sec = min(rules.min_evidence_sec, 0.5 * float(shot_sec[shot]) * float(track.confidence.mean()))
        if float(track.confidence.sum()) * step_sec >= enough_sec:
            kept.append(track)
    return kept

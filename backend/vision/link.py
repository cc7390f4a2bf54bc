"""Names people over the whole video, after stitching: joins the pieces of one person's track, drops what is nobody.

A tracker that runs forward must decide at once who somebody is; here both sides of a gap are known. The joining is
tracklet association as in Huang, Wu and Nevatia (ECCV 2008): each piece's end is extrapolated at constant velocity to
the other's beginning and back, and the set of joins with the least total cost is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from backend.vision.ground import STEADY, Ground
from backend.vision.likeness import Looks, learnt, looks_of
from backend.vision.meetings import meeting_points, overlaps
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline


@dataclass(frozen=True)
class LinkRules:
    """Lengths are in heights of the person, so that they mean the same near and far, in every picture size. Scores are
    log likelihood ratios of one person to two."""

    # A person begins where a detection is this much surer than `conf`; ByteTrack's paper starts tracks at 0.6.
    start_per_conf: float = 2.4
    # A track is cut where it shares so much of a box with another: a tracker may take one for the other there.
    meeting_overlap: float = 0.5
    # Where it shares less, or looks the same afterwards, the tracker is believed.
    touching_overlap: float = 0.3
    same_after_meeting: float = 0.0
    same_after_touch: float = -1.0
    looks_samples: int = 10
    # By motion alone, and by looks.
    max_gap_sec: float = 3.0
    max_away_sec: float = 60.0
    lost_sec: float = 3.0
    # Velocity is fitted over this much of a track's end: about one stride, so that a swinging arm averages out.
    motion_sec: float = 1.0
    # Standard deviation of an extrapolated end: the detector's noise, and for each second how much a walk bends.
    miss_heights: float = 0.1
    miss_heights_per_sec: float = 0.15
    # Of one who turned round or stopped, from where they were last seen, and how often that is.
    turn_heights: float = 0.3
    turn_heights_per_sec: float = 0.5
    turn_share: float = 0.05
    # Nobody walks, or runs through the picture, faster.
    top_heights_per_sec: float = 2.5
    min_height_ratio: float = 0.7
    min_height_ratio_away: float = 0.35
    # What speaks for a join must be worth so much: to fuse two people is worse than to split one.
    least_score: float = 0.75
    least_score_away: float = 0.5
    # Less than half a second's worth of full confidence in all is a flicker.
    min_evidence_sec: float = 0.5


# Where somebody else may appear, in square heights.
_ELSEWHERE_HEIGHTS2 = 8.0
# Σ(t - mean)² in s² below which a fitted velocity is mostly noise: (0.05 heights / 0.5 heights per s)².
_VELOCITY_RIDGE_SEC2 = 0.01
# A box that ends this near to a side of the picture, as a share of its width, is cut off by it.
_EDGE_RATIO = 0.01
# Of so many that come after somebody nobody can say which one it is; and an hour of a crowd has to fit into memory.
_MOST_FOLLOWERS = 100
# What the place of a box behind another counts for.
_HIDDEN_WEIGHT = 0.05
_DEFAULT_RULES = LinkRules()


@dataclass(frozen=True, eq=False)
class _Scene:
    """The video that the tracks are in: its shots begin at the first frame and at each of `cuts`."""

    cuts: NDArray[np.int64]
    tick_sec: float
    width_px: int
    ground: Ground

    def shot_of(self, pts: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.cuts, pts, side="right").astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Ends:
    """One end of each track: time in s and shot; on the ground box centre (n, 2), height, velocity; and
    `_side` of the picture."""

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
    ground: Ground = STEADY,
    rules: LinkRules = _DEFAULT_RULES,
) -> list[Track]:
    """The people of the video, ids 1..n in order of first appearance. No track goes on over a cut.

    `conf` is the confidence that let a detection start a track, `cuts_pts` the first
    frames of the shots after the first. A joined track has no samples in its gaps; `interpolate` fills them.
    """
    cuts = np.unique(np.asarray(cuts_pts, dtype=np.int64))
    scene = _Scene(cuts, float(timeline.time_base), timeline.frame_size[0], ground)
    sure = min(rules.start_per_conf * conf, (1.0 + conf) / 2.0)
    pieces = [piece for piece in map(_Starter(sure), split_at_cuts(tracks, cuts_pts)) if len(piece.pts)]
    people: list[Track] = []
    for class_name in dict.fromkeys(piece.class_name for piece in pieces):
        people += _Linking([piece for piece in pieces if piece.class_name == class_name], scene, rules).people()
    kept = _without_flickers(people, timeline.frame_pts, scene, rules)
    kept.sort(key=lambda track: (int(track.pts[0]), track.id))
    return [replace(track, id=number, looks=None) for number, track in enumerate(kept, start=1)]


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


@dataclass(frozen=True, eq=False)
class _Piece:
    """A track's part, its `overlaps` with others (n,), and its boxes on the ground (n, 4)."""

    track: Track
    met: NDArray[np.float64]
    hidden: NDArray[np.float64]
    ground: NDArray[np.float64]

    def between(self, start: int, stop: int) -> _Piece:
        part = slice(start, stop)
        return _Piece(self.track.between(start, stop), self.met[part], self.hidden[part], self.ground[part])

    def then(self, *later: _Piece) -> _Piece:
        return _Piece(
            self.track.then(*(piece.track for piece in later)),
            np.concatenate([self.met, *(piece.met for piece in later)]),
            np.concatenate([self.hidden, *(piece.hidden for piece in later)]),
            np.concatenate([self.ground, *(piece.ground for piece in later)]),
        )


class _Linking:
    """Of the tracks of one class."""

    def __init__(self, tracks: list[Track], scene: _Scene, rules: LinkRules) -> None:
        self._scene, self._rules = scene, rules
        self._has_looks = any(track.looks is not None for track in tracks)
        met, hidden = overlaps(tracks)
        self._likeness = learnt(tracks, met, hidden, rules.touching_overlap)
        on_ground = (scene.ground.boxes(track.pts, track.boxes) for track in tracks)
        pieces = [_Piece(*each) for each in zip(tracks, met, hidden, on_ground, strict=True)]
        if self._has_looks:
            pieces = [part for piece in pieces for part in self._cut_at_meetings(piece)]
        self._pieces = sorted(pieces, key=lambda piece: int(piece.track.pts[0]))

    def people(self) -> list[Track]:
        """First who was hidden for a moment, then, with what is known of them by then, who was away."""
        rules = self._rules
        self._join(rules.max_gap_sec, self._scores_near, rules.least_score)
        if self._has_looks:
            # Step by step: each knows more of who is joined already.
            for share in (1 / 6, 1 / 3, 1):
                self._join(share * rules.max_away_sec, self._scores_away, rules.least_score_away)
        return [piece.track for piece in self._pieces]

    def _cut_at_meetings(self, piece: _Piece) -> list[_Piece]:
        """The pieces keep the track's id."""
        points = meeting_points(piece.met, self._rules.touching_overlap)
        same = self._same_afterwards(piece, points) if points else np.empty(0)
        cuts = [at for at, score in zip(points, same, strict=True) if score < self._enough(piece.met[at])]
        return [piece.between(start, stop) for start, stop in pairwise([0, *cuts, len(piece.met)])]

    def _enough(self, overlap: float) -> float:
        rules = self._rules
        return rules.same_after_meeting if overlap >= rules.meeting_overlap else rules.same_after_touch

    def _same_afterwards(self, piece: _Piece, points: list[int]) -> NDArray[np.float64]:
        reach = self._rules.looks_samples
        before = [piece.between(max(0, at - reach), at) for at in points]
        after = [piece.between(at + 1, at + 1 + reach) for at in points]
        return self._likeness.ratio(self._looks(before), self._looks(after))

    def _looks(self, pieces: Sequence[_Piece]) -> Looks:
        tracks, hidden = [piece.track for piece in pieces], [piece.hidden for piece in pieces]
        return looks_of(tracks, hidden, self._rules.touching_overlap)

    def _join(self, max_gap_sec: float, scores: _Scores, least: float) -> None:
        if len(self._pieces) < 2:
            return
        heads, tails = self._ends(lambda piece: piece.ground)
        earlier, later = _pairs(heads, tails, max_gap_sec)
        score = scores(_Pairs(heads, tails, self._looks(self._pieces), earlier, later))
        good = score > least
        following = _assigned(earlier[good], later[good], score[good] - least)
        starts = sorted(set(range(len(self._pieces))) - set(following.values()))
        self._pieces = [_joined([self._pieces[number] for number in _chain(start, following)]) for start in starts]

    def _ends(self, places: _Places) -> tuple[_Ends, _Ends]:
        """Heads and tails."""
        heads, tails = (_ends(self._pieces, places, self._scene, self._rules, last) for last in (False, True))
        return heads, tails

    def _motion_scores(self, pairs: _Pairs) -> NDArray[np.float64]:
        """On the ground, or in the picture: who fills it while nobody detects them is what the camera seems to do."""
        on_ground = _motion_scores(pairs, self._rules)
        if self._scene.ground is STEADY:
            return on_ground
        heads, tails = self._ends(lambda piece: piece.track.boxes)
        in_picture = _motion_scores(replace(pairs, heads=heads, tails=tails), self._rules)
        return np.asarray(np.logaddexp(on_ground, in_picture) - np.log(2))

    def _scores_near(self, pairs: _Pairs) -> NDArray[np.float64]:
        return self._motion_scores(pairs) + self._looks_scores(pairs)

    def _scores_away(self, pairs: _Pairs) -> NDArray[np.float64]:
        """The longer somebody is away, the less it says where they come in again."""
        rules = self._rules
        anywhere = -np.expm1(-pairs.gap_sec / rules.lost_sec)
        motion = np.exp(self._motion_scores(pairs))
        placed = np.log(np.maximum((1 - anywhere) * motion + anywhere, 1e-12))
        possible = _is_possible(pairs, rules, rules.min_height_ratio_away)
        return _less_doubt(pairs, np.where(possible, placed + self._looks_scores(pairs), -np.inf))

    def _looks_scores(self, pairs: _Pairs) -> NDArray[np.float64]:
        return self._likeness.ratio(pairs.looks.of(pairs.earlier), pairs.looks.of(pairs.later))


_Places: TypeAlias = Callable[[_Piece], NDArray[np.float64]]


def _ends(pieces: Sequence[_Piece], places: _Places, scene: _Scene, rules: LinkRules, last: bool) -> _Ends:
    """`places`: a piece's boxes, on the ground or in the picture."""
    reach, number = round(rules.motion_sec / scene.tick_sec), -1 if last else 0
    end_pts = np.array([piece.track.pts[number] for piece in pieces], dtype=np.int64)
    fitted = [
        _fit(piece, places(piece), int(at), reach, scene.tick_sec, rules)
        for piece, at in zip(pieces, end_pts, strict=True)
    ]
    centre, velocity, height = zip(*fitted, strict=True)
    time_sec = ((end_pts - pieces[0].track.pts[0]) * scene.tick_sec).astype(np.float64)
    side = _side(np.array([piece.track.boxes[number] for piece in pieces]), scene.width_px)
    return _Ends(time_sec, scene.shot_of(end_pts), np.array(centre), np.array(velocity), np.array(height), side)


def _side(boxes: NDArray[np.float64], width_px: int) -> NDArray[np.int64]:
    """-1 for boxes (n, 4) cut off by the left side of the picture, 1 for the right one, else 0."""
    left, right = boxes[:, 0] <= _EDGE_RATIO * width_px, boxes[:, 2] >= (1.0 - _EDGE_RATIO) * width_px
    return right.astype(np.int64) - left.astype(np.int64)


def _fit(
    piece: _Piece, places: NDArray[np.float64], at_pts: int, reach: int, tick_sec: float, rules: LinkRules
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Centre in px and velocity in px/s at `at_pts` and median height, of the samples up to `reach` ticks away. Boxes
    beside another's count for little.

    A ridge keeps the velocity of a piece of a few samples small.
    """
    pts = piece.track.pts
    start, stop = np.searchsorted(pts, at_pts - reach, side="left"), np.searchsorted(pts, at_pts + reach, side="right")
    boxes = places[start:stop]
    weights = np.where(piece.hidden[start:stop] < rules.meeting_overlap, 1.0, _HIDDEN_WEIGHT)
    shares = weights / weights.sum()
    since_sec = (pts[start:stop] - at_pts) * tick_sec
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    middle_sec, middle = float(shares @ since_sec), shares @ centres
    apart = weights * (since_sec - middle_sec)
    velocity = apart @ (centres - middle) / (apart @ (since_sec - middle_sec) + _VELOCITY_RIDGE_SEC2)
    heights = boxes[:, 3] - boxes[:, 1]
    alone = weights >= weights.max()
    return middle - velocity * middle_sec, velocity, float(np.median(heights[alone]))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pieces `earlier` and `later` (n,) that may be one."""

    heads: _Ends
    tails: _Ends
    looks: Looks
    earlier: NDArray[np.int64]
    later: NDArray[np.int64]

    @property
    def gap_sec(self) -> NDArray[np.float64]:
        return self.heads.time_sec[self.later] - self.tails.time_sec[self.earlier]


_Scores: TypeAlias = Callable[[_Pairs], NDArray[np.float64]]


def _pairs(heads: _Ends, tails: _Ends, max_gap_sec: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every piece that ends, with each that begins after it within the time, of a crowd with the next ones only. Pieces
    are in order of their heads."""
    first = np.searchsorted(heads.time_sec, tails.time_sec, side="right")
    stop = np.searchsorted(heads.time_sec, tails.time_sec + max_gap_sec, side="right")
    counts = np.clip(stop - first, 0, _MOST_FOLLOWERS)
    earlier = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(earlier)) - np.repeat(np.cumsum(counts) - counts, counts)
    return earlier, np.repeat(first, counts) + within


def _motion_scores(pairs: _Pairs, rules: LinkRules) -> NDArray[np.float64]:
    """By how far the two extrapolations miss; minus infinity where the pieces cannot be one."""
    heads, tails, earlier, later, gap_sec = pairs.heads, pairs.tails, pairs.earlier, pairs.later, pairs.gap_sec
    heights = np.stack([tails.height[earlier], heads.height[later]])
    height = np.sqrt(heights.prod(axis=0))
    apart = heads.centre[later] - tails.centre[earlier]
    # The worse of both: a piece that walks into a place is not the one that stood there.
    misses = [apart - ends.velocity[rows] * gap_sec[:, None] for ends, rows in ((tails, earlier), (heads, later))]
    miss_px = np.maximum(*(np.hypot(miss[:, 0], miss[:, 1]) for miss in misses))
    way_px = np.hypot(apart[:, 0], apart[:, 1])
    # Who went out at a side and comes in there again has turned round unseen: only the height up the picture tells.
    back = (tails.side[earlier] != 0) & (tails.side[earlier] == heads.side[later])
    miss_px = np.where(back, np.abs(apart[:, 1]), miss_px)
    going = _density(miss_px / height, rules.miss_heights + rules.miss_heights_per_sec * gap_sec)
    turning = _density(way_px / height, rules.turn_heights + rules.turn_heights_per_sec * gap_sec)
    share = rules.turn_share if pairs.looks.known.any() else 0.0  # by motion alone a turn cannot be told from another
    score = np.log(np.maximum((1 - share) * going + share * turning, 1e-12) * _ELSEWHERE_HEIGHTS2)
    return np.where(_is_possible(pairs, rules, rules.min_height_ratio), score, -np.inf)


def _is_possible(pairs: _Pairs, rules: LinkRules, min_height_ratio: float) -> NDArray[np.bool_]:
    """Whether somebody may have come from there to there in one shot."""
    heads, tails, earlier, later = pairs.heads, pairs.tails, pairs.earlier, pairs.later
    heights = np.stack([tails.height[earlier], heads.height[later]])
    apart = heads.centre[later] - tails.centre[earlier]
    reach_px = np.sqrt(heights.prod(axis=0)) * (0.5 + rules.top_heights_per_sec * pairs.gap_sec)
    alike = heights.min(axis=0) >= min_height_ratio * heights.max(axis=0)
    near = np.hypot(apart[:, 0], apart[:, 1]) <= reach_px
    return np.asarray(alike & near & (tails.shot[earlier] == heads.shot[later]))


def _density(miss: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a normal distribution in the plane."""
    return np.asarray(np.exp(-0.5 * (miss / deviation) ** 2) / (2 * np.pi * deviation**2))


def _less_doubt(pairs: _Pairs, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """The log odds of each pair against whatever either of them may be joined with instead, or nobody.

    Who comes later again is no rival: all three may be one. Who is there at the same time is.
    """
    odds = np.exp(np.clip(score, -30, 30))
    start, stop = pairs.heads.time_sec, pairs.tails.time_sec
    others = np.maximum(*(_of_rivals(a, b, odds, start, stop) for a, b in _both_ways(pairs)))
    return np.where(np.isfinite(score), score - np.log1p(others), -np.inf)


def _both_ways(pairs: _Pairs) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    return (pairs.earlier, pairs.later), (pairs.later, pairs.earlier)


def _of_rivals(
    of: NDArray[np.int64],
    candidates: NDArray[np.int64],
    odds: NDArray[np.float64],
    start: NDArray[np.float64],
    stop: NDArray[np.float64],
) -> NDArray[np.float64]:
    """For each pair, the odds in all of the other candidates of the same piece that are there while its own is."""
    found = np.zeros(len(odds))
    order = np.argsort(of, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(of[order])) + 1):
        first, last = start[candidates[rows]], stop[candidates[rows]]
        together = (first[:, None] <= last[None, :]) & (first[None, :] <= last[:, None])
        np.fill_diagonal(together, False)
        found[rows] = together @ odds[rows]
    return found


def _assigned(earlier: NDArray[np.int64], later: NDArray[np.int64], gain: NDArray[np.float64]) -> dict[int, int]:
    """Earlier piece -> later piece, each at most once, with the greatest total gain; no join gains nothing."""
    from scipy.sparse import coo_array  # slow to import, and only aggregators link
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    if not len(gain):
        return {}
    rows, row = np.unique(earlier, return_inverse=True)
    columns, column = np.unique(later, return_inverse=True)
    alone = np.arange(len(rows))
    # One is added everywhere: a sparse matrix knows no entry that costs nothing.
    most = float(gain.max())
    weights = np.concatenate([most - gain + 1.0, np.full(len(rows), most + 1.0)])
    at = (np.concatenate([row, alone]), np.concatenate([column, len(columns) + alone]))
    matrix = coo_array((weights, at), shape=(len(rows), len(columns) + len(rows))).tocsr()
    chosen = zip(*min_weight_full_bipartite_matching(matrix), strict=True)
    return {int(rows[i]): int(columns[j]) for i, j in chosen if j < len(columns)}


def _chain(start: int, following: dict[int, int]) -> list[int]:
    chain = [start]
    while chain[-1] in following:
        chain.append(following[chain[-1]])
    return chain


def _joined(pieces: list[_Piece]) -> _Piece:
    first, *others = pieces
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

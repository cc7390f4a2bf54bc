"""Names people over the whole video, after stitching: joins the pieces of one person's track, drops what is nobody.

A tracker that runs forward must decide at once who somebody is; here both sides of a gap are known. The joining is
tracklet association as in Huang, Wu and Nevatia (ECCV 2008): each piece's end is extrapolated at constant velocity to
the other's beginning and back, looks are compared, and the set of joins for which most speaks is taken.
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
from backend.vision.link_rules import LinkRules
from backend.vision.meetings import meeting_points, overlaps
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline
from backend.vision.track_pairs import Pairs, assigned, is_possible, less_doubt, motion_scores, pairs_of
from backend.vision.track_pieces import Ends, Piece, Places, Scene, ends_of

_DEFAULT_RULES = LinkRules()


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
    scene = Scene(cuts, float(timeline.time_base), timeline.frame_size[0], ground)
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


_Scores: TypeAlias = Callable[[Pairs], NDArray[np.float64]]


class _Linking:
    """Of the tracks of one class."""

    def __init__(self, tracks: list[Track], scene: Scene, rules: LinkRules) -> None:
        self._scene, self._rules = scene, rules
        self._has_looks = any(track.looks is not None for track in tracks)
        met, hidden = overlaps(tracks)
        self._likeness = learnt(tracks, met, hidden, rules.touching_overlap)
        on_ground = (scene.ground.boxes(track.pts, track.boxes) for track in tracks)
        pieces = [Piece(*each) for each in zip(tracks, met, hidden, on_ground, strict=True)]
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

    def _cut_at_meetings(self, piece: Piece) -> list[Piece]:
        """The pieces keep the track's id."""
        points = meeting_points(piece.met, self._rules.touching_overlap)
        same = self._same_afterwards(piece, points) if points else np.empty(0)
        cuts = [at for at, score in zip(points, same, strict=True) if score < self._enough(piece.met[at])]
        return [piece.between(start, stop) for start, stop in pairwise([0, *cuts, len(piece.met)])]

    def _enough(self, overlap: float) -> float:
        rules = self._rules
        return rules.same_after_meeting if overlap >= rules.meeting_overlap else rules.same_after_touch

    def _same_afterwards(self, piece: Piece, points: list[int]) -> NDArray[np.float64]:
        reach = self._rules.looks_samples
        before = [piece.between(max(0, at - reach), at) for at in points]
        after = [piece.between(at + 1, at + 1 + reach) for at in points]
        return self._likeness.ratio(self._looks(before), self._looks(after))

    def _looks(self, pieces: Sequence[Piece]) -> Looks:
        tracks, hidden = [piece.track for piece in pieces], [piece.hidden for piece in pieces]
        return looks_of(tracks, hidden, self._rules.touching_overlap)

    def _join(self, max_gap_sec: float, scores: _Scores, least: float) -> None:
        if len(self._pieces) < 2:
            return
        heads, tails = self._ends(lambda piece: piece.ground)
        earlier, later = pairs_of(heads, tails, max_gap_sec)
        score = scores(Pairs(heads, tails, self._looks(self._pieces), earlier, later))
        good = score > least
        following = assigned(earlier[good], later[good], score[good] - least)
        starts = sorted(set(range(len(self._pieces))) - set(following.values()))
        self._pieces = [_joined([self._pieces[number] for number in _chain(start, following)]) for start in starts]

    def _ends(self, places: Places) -> tuple[Ends, Ends]:
        """Heads and tails."""
        heads, tails = (ends_of(self._pieces, places, self._scene, self._rules, last) for last in (False, True))
        return heads, tails

    def _motion_scores(self, pairs: Pairs) -> NDArray[np.float64]:
        """On the ground, or in the picture: who fills it while nobody detects them is what the camera seems to do."""
        on_ground = motion_scores(pairs, self._rules)
        if self._scene.ground is STEADY:
            return on_ground
        heads, tails = self._ends(lambda piece: piece.track.boxes)
        in_picture = motion_scores(replace(pairs, heads=heads, tails=tails), self._rules)
        return np.asarray(np.logaddexp(on_ground, in_picture) - np.log(2))

    def _scores_near(self, pairs: Pairs) -> NDArray[np.float64]:
        return self._motion_scores(pairs) + self._looks_scores(pairs)

    def _scores_away(self, pairs: Pairs) -> NDArray[np.float64]:
        """The longer somebody is away, the less it says where they come in again."""
        rules = self._rules
        anywhere = -np.expm1(-pairs.gap_sec / rules.lost_sec)
        motion = np.exp(self._motion_scores(pairs))
        placed = np.log(np.maximum((1 - anywhere) * motion + anywhere, 1e-12))
        possible = is_possible(pairs, rules, rules.min_height_ratio_away)
        return less_doubt(pairs, np.where(possible, placed + self._looks_scores(pairs), -np.inf))

    def _looks_scores(self, pairs: Pairs) -> NDArray[np.float64]:
        return self._likeness.ratio(pairs.looks.of(pairs.earlier), pairs.looks.of(pairs.later))


def _chain(start: int, following: dict[int, int]) -> list[int]:
    chain = [start]
    while chain[-1] in following:
        chain.append(following[chain[-1]])
    return chain


def _joined(pieces: list[Piece]) -> Piece:
    first, *others = pieces
    return first.then(*others)


def _without_flickers(people: list[Track], frame_pts: NDArray[np.int64], scene: Scene, rules: LinkRules) -> list[Track]:
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

"""Which piece may go on as which, what speaks for it, and the set of joins for which most speaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.vision.likeness import Looks
from backend.vision.link_rules import LinkRules
from backend.vision.track_pieces import Ends

# Where somebody else may appear, in square heights.
_ELSEWHERE_HEIGHTS2 = 8.0
# Of so many that come after somebody nobody can say which one it is; and an hour of a crowd has to fit into memory.
_MOST_FOLLOWERS = 100


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pieces `earlier` and `later` (n,) that may be one."""

    heads: Ends
    tails: Ends
    looks: Looks
    earlier: NDArray[np.int64]
    later: NDArray[np.int64]

    @property
    def gap_sec(self) -> NDArray[np.float64]:
        return self.heads.time_sec[self.later] - self.tails.time_sec[self.earlier]


def pairs_of(heads: Ends, tails: Ends, max_gap_sec: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every piece that ends, with each that begins after it within the time, of a crowd with the next ones only. Pieces
    are in order of their heads."""
    first = np.searchsorted(heads.time_sec, tails.time_sec, side="right")
    stop = np.searchsorted(heads.time_sec, tails.time_sec + max_gap_sec, side="right")
    counts = np.clip(stop - first, 0, _MOST_FOLLOWERS)
    earlier = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(earlier)) - np.repeat(np.cumsum(counts) - counts, counts)
    return earlier, np.repeat(first, counts) + within


def motion_scores(pairs: Pairs, rules: LinkRules) -> NDArray[np.float64]:
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
    return np.where(is_possible(pairs, rules, rules.min_height_ratio), score, -np.inf)


def is_possible(pairs: Pairs, rules: LinkRules, min_height_ratio: float) -> NDArray[np.bool_]:
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


def less_doubt(pairs: Pairs, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """The log odds of each pair against whatever either of them may be joined with instead, or nobody.

    Who comes later again is no rival: all three may be one. Who is there at the same time is.
    """
    odds = np.exp(np.clip(score, -30, 30))
    start, stop = pairs.heads.time_sec, pairs.tails.time_sec
    others = np.maximum(*(_of_rivals(a, b, odds, start, stop) for a, b in _both_ways(pairs)))
    return np.where(np.isfinite(score), score - np.log1p(others), -np.inf)


def _both_ways(pairs: Pairs) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
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


def assigned(earlier: NDArray[np.int64], later: NDArray[np.int64], gain: NDArray[np.float64]) -> dict[int, int]:
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

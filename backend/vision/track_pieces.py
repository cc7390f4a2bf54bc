"""Pieces of tracks, and how people move where those begin and end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from backend.vision.ground import Ground
from backend.vision.link_rules import LinkRules
from backend.vision.stitch import Track

# Σ(t - mean)² in s² below which a fitted velocity is mostly noise: (0.05 heights / 0.5 heights per s)².
_VELOCITY_RIDGE_SEC2 = 0.01
# A box that ends this near to a side of the picture, as a share of its width, is cut off by it.
_EDGE_RATIO = 0.01
# What the place of a box behind another counts for.
_HIDDEN_WEIGHT = 0.05


@dataclass(frozen=True, eq=False)
class Scene:
    """The video that the tracks are in: its shots begin at the first frame and at each of `cuts`."""

    cuts: NDArray[np.int64]
    tick_sec: float
    width_px: int
    ground: Ground

    def shot_of(self, pts: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.cuts, pts, side="right").astype(np.int64)


@dataclass(frozen=True, eq=False)
class Ends:
    """One end of each track: time in s and shot; on the ground box centre (n, 2), height, velocity; and
    `_side` of the picture."""

    time_sec: NDArray[np.float64]
    shot: NDArray[np.int64]
    centre: NDArray[np.float64]
    velocity: NDArray[np.float64]
    height: NDArray[np.float64]
    side: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Piece:
    """A track's part, its `overlaps` with others (n,), and its boxes on the ground (n, 4)."""

    track: Track
    met: NDArray[np.float64]
    hidden: NDArray[np.float64]
    ground: NDArray[np.float64]

    def between(self, start: int, stop: int) -> Piece:
        part = slice(start, stop)
        return Piece(self.track.between(start, stop), self.met[part], self.hidden[part], self.ground[part])

    def then(self, *later: Piece) -> Piece:
        return Piece(
            self.track.then(*(piece.track for piece in later)),
            np.concatenate([self.met, *(piece.met for piece in later)]),
            np.concatenate([self.hidden, *(piece.hidden for piece in later)]),
            np.concatenate([self.ground, *(piece.ground for piece in later)]),
        )


Places: TypeAlias = Callable[[Piece], NDArray[np.float64]]


def ends_of(pieces: Sequence[Piece], places: Places, scene: Scene, rules: LinkRules, last: bool) -> Ends:
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
    return Ends(time_sec, scene.shot_of(end_pts), np.array(centre), np.array(velocity), np.array(height), side)


def _side(boxes: NDArray[np.float64], width_px: int) -> NDArray[np.int64]:
    """-1 for boxes (n, 4) cut off by the left side of the picture, 1 for the right one, else 0."""
    left, right = boxes[:, 0] <= _EDGE_RATIO * width_px, boxes[:, 2] >= (1.0 - _EDGE_RATIO) * width_px
    return right.astype(np.int64) - left.astype(np.int64)


def _fit(
    piece: Piece, places: NDArray[np.float64], at_pts: int, reach: int, tick_sec: float, rules: LinkRules
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

"""ByteTrack (Zhang et al., ECCV 2022): who is who from one frame to the next, weak detections used second. What the
camera did between two frames is taken out of what it expects, as in BoT-SORT.

Written after the paper and the versions that are about, with the same results as Ultralytics' (8.4), which needs torch.
The package `trackers` has one without, but brings the GUI build of OpenCV, and other rules (docs/decisions/0017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lap
import numpy as np
from numpy.typing import NDArray

from backend.vision import kalman

Boxes = NDArray[np.float64]

# Costs above which two are not the same: of weak detections, and of somebody seen once so far.
_WEAK_COST, _NEW_COST = 0.5, 0.7
STOOD = (1 + 0j, 0j)
# Two tracks that overlap more than this are one person; the longer one stays.
_SAME_IOU = 0.85


@dataclass(frozen=True)
class Rules:
    """`strong`: the confidence that starts a track; weaker ones down to `weak` carry one on. Costs are 1 - IoU times
    confidence. A track not seen for `patience` frames is over."""

    strong: float
    weak: float
    match_cost: float
    patience: int


@dataclass(frozen=True)
class Seen:
    """A track in this frame, by the number of the detection that is it."""

    track_id: int
    detection: int


@dataclass(eq=False)
class _Track:
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    first_frame: int
    last_frame: int
    detection: int
    track_id: int
    is_confirmed: bool  # seen a second time, or there from the first frame on
    is_lost: bool = False
    is_late: bool = False  # came back at the last moment: once more out of sight, it is over

    @property
    def frames(self) -> int:
        return self.last_frame - self.first_frame


class ByteTrack:
    """One video. Feed it each frame in order, those without detections too."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._frame = 0
        self._tracks: list[_Track] = []  # lost ones too
        self._ids = 0

    def update(
        self, boxes: Boxes, confidence: NDArray[np.float64], moved: tuple[complex, complex] = STOOD
    ) -> list[Seen]:
        """Who is in this frame. Boxes (n, 4) x1, y1, x2, y2; those without an extent are nobody. `moved`: what the
        camera did since the frame before, a factor and a shift in pixels of places as complex numbers."""
        self._frame += 1
        solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        strong = np.flatnonzero(solid & (confidence >= self._rules.strong))
        if moved != STOOD:
            self._move(moved, boxes[strong])
        weak = np.flatnonzero(solid & (confidence > self._rules.weak) & (confidence < self._rules.strong))
        strong = self._follow(strong, weak, boxes, confidence)
        self._tracks += [self._started(int(number), boxes) for number in strong]
        self._tracks = _without_twins(self._tracks)
        present = (track for track in self._tracks if track.is_confirmed and not track.is_lost)
        return [Seen(track.track_id, track.detection) for track in present]

    def _follow(
        self, strong: NDArray[np.intp], weak: NDArray[np.intp], boxes: Boxes, confidence: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """Finds everybody again, or not; returns the strong detections that are nobody so far."""
        known = [track for track in self._tracks if track.is_confirmed]
        new = [track for track in self._tracks if not track.is_confirmed]
        _predict(known)
        costs = 1 - _iou(_boxes(known), boxes[strong]) * confidence[strong]
        missed, strong = self._match(known, strong, costs, self._rules.match_cost, boxes)
        missed = [track for track in missed if not track.is_lost]
        # Without the confidence: it is low, and would put every cost above the limit (section 3.2 of the paper).
        missed, _ = self._match(missed, weak, 1 - _iou(_boxes(missed), boxes[weak]), _WEAK_COST, boxes)
        for track in missed:
            track.is_lost = True
        costs = 1 - _iou(_boxes(new), boxes[strong]) * confidence[strong]
        gone, strong = self._match(new, strong, costs, _NEW_COST, boxes)
        self._tracks = [track for track in self._tracks if track not in gone and self._is_remembered(track)]
        return strong

    def _move(self, moved: tuple[complex, complex], boxes: Boxes) -> None:
        """Takes the camera's move out of what is expected, unless people are where they would be without it: who fills
        the picture while nobody detects them is what the camera seems to do."""
        present = [track for track in self._tracks if not track.is_lost]
        means = [kalman.moved(track.mean, *moved) for track in self._tracks]
        seen = [mean for track, mean in zip(self._tracks, means, strict=True) if not track.is_lost]
        if _found(seen, boxes) >= _found([track.mean for track in present], boxes):
            for track, mean in zip(self._tracks, means, strict=True):
                track.mean = mean

    def _match(
        self, tracks: list[_Track], numbers: NDArray[np.intp], costs: Boxes, limit: float, boxes: Boxes
    ) -> tuple[list[_Track], NDArray[np.intp]]:
        """Carries on the tracks that a detection fits best; returns the other tracks, and the other detections."""
        if not costs.size:
            return tracks, numbers
        # The least sum of costs, where leaving both alone costs the limit. -1: left alone.
        _, fits, _ = lap.lapjv(costs, extend_cost=True, cost_limit=limit)
        for track, column in zip(tracks, fits, strict=True):
            if column >= 0:
                self._carry_on(track, int(numbers[column]), boxes)
        missed = [track for track, column in zip(tracks, fits, strict=True) if column < 0]
        return missed, np.delete(numbers, fits[fits >= 0])

    def _carry_on(self, track: _Track, number: int, boxes: Boxes) -> None:
        [measurement] = kalman.measured(boxes[[number]])
        track.mean, track.covariance = kalman.corrected(track.mean, track.covariance, measurement)
        track.is_late |= self._frame - track.last_frame >= self._rules.patience
        track.last_frame, track.detection = self._frame, number
        track.is_confirmed, track.is_lost = True, False

    def _started(self, number: int, boxes: Boxes) -> _Track:
        self._ids += 1
        mean, covariance = kalman.started(kalman.measured(boxes[[number]])[0])
        return _Track(mean, covariance, self._frame, self._frame, number, self._ids, is_confirmed=self._frame == 1)

    def _is_remembered(self, track: _Track) -> bool:
        unseen = self._frame - track.last_frame
        return unseen == 0 or (unseen < self._rules.patience and not track.is_late)


def _found(means: Sequence[NDArray[np.float64]], boxes: Boxes) -> float:
    """How well the next of these states fit the boxes: the sum of each one's best IoU."""
    if not means or not len(boxes):
        return 0.0
    states = np.array(means)
    states[:, :4] += states[:, 4:]
    return float(_iou(kalman.boxes_of(states), boxes).max(axis=1).sum())


def _predict(tracks: Sequence[_Track]) -> None:
    if not tracks:
        return
    means = np.array([track.mean for track in tracks])
    means[[track.is_lost for track in tracks], 7] = 0  # nobody grows while out of sight
    means, covariances = kalman.predicted(means, np.array([track.covariance for track in tracks]))
    for track, mean, covariance in zip(tracks, means, covariances, strict=True):
        track.mean, track.covariance = mean, covariance


def _without_twins(tracks: list[_Track]) -> list[_Track]:
    """A lost track and a seen one in the same place are one person: the one seen for longer stays."""
    present = [track for track in tracks if not track.is_lost]
    lost = [track for track in tracks if track.is_lost]
    shorter = set()
    for row, column in np.argwhere(_iou(_boxes(present), _boxes(lost)) > _SAME_IOU):
        one, other = present[row], lost[column]
        shorter.add(id(other if one.frames > other.frames else one))
    return [track for track in tracks if id(track) not in shorter]


def _boxes(tracks: Sequence[_Track]) -> Boxes:
    return kalman.boxes_of(np.array([track.mean for track in tracks]).reshape(-1, 8))


def _iou(one: Boxes, other: Boxes) -> Boxes:
    """(n, m) intersection over union of each box with each."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other)]
    iou: Boxes = shared / (areas[0][:, None] + areas[1][None, :] - shared + 1e-7)
    return iou

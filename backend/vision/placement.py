"""Where a window stands that cannot hold everybody: over the heads and bodies worth most, with few moves.

As an editor who chooses where to look: every place of the window is worth the people that it shows there, and the best
sequence of places over a shot is found by dynamic programming (Viterbi 1967; for cameras: Christianson et al. 1996,
Gandhi et al. 2014). Setting out costs what the picture is worth for a while, turning back costs more, and a pan no more
than its way, at a pace that can be watched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from backend.vision.sightings import OF_SEVERAL, Sighting, lasting, presence
from backend.vision.window import FITS_PX, Floats, Room

STEP_SEC = 0.2
# Places are this share of the frame width apart, and no more of them than that.
_PLACE_RATIO, _MOST_PLACES = 0.01, 200
# How far the window goes in a second at the most, in frame widths.
_PACE_PER_SEC = 0.35
# What of a person counts for how much: the head; the head not at the edge; the body; the body with its padding.
_HEAD, _HEAD_CLEAR, _BODY, _PADDED = 1.0, 0.3, 0.5, 0.2
# A head nearer to a side of the window than this, as a share of it, is at the edge.
_EDGE_RATIO = 0.1
# Who is larger than the window counts by this power of the share that it shows: rather somebody else whole.
_CUT_OFF_POWER = 3
# That somebody's head is there at all is worth this share of the picture at its best, on top.
_SOMEBODY = 0.5
# In seconds of the picture at its best: to set out, to turn back besides, to go one place further, and to be on the
# way for a second.
_SET_OUT_SEC, _TURN_SEC, _PLACE_SEC, _ON_THE_WAY = 0.3, 0.7, 0.002, 0.05

# Where the window is heading: nowhere yet; it stands and went up or down last; it goes up or down.
_FRESH, _STOOD_UP, _STOOD_DOWN, _UP, _DOWN = range(5)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the low side of the window is along `axis` on each step (steps,), in pixels; `rows`: each step's first
    frame in the shot; what the window is worth there with each of the people alone, (people, steps)."""

    axis: int
    rows: NDArray[np.int64]
    low: Floats
    worth: Floats


def placed(people: Sequence[Sighting], times_sec: Floats, frame_size: tuple[int, int], room: Room) -> Placement:
    """The best places for the largest window of a shot. `room` is as large as the picture along the other axis."""
    spare = np.array(frame_size) - room.size_px
    axis = int(spare.argmax())
    rows = np.unique(np.floor(times_sec / STEP_SEC + 1e-9), return_index=True)[1].astype(np.int64)
    count = int(np.clip(np.ceil(spare[axis] / (_PLACE_RATIO * frame_size[0])), 1, _MOST_PLACES)) + 1
    places = np.linspace(0.0, max(float(spare[axis]), 1.0), count)
    # What is gained and lost from one place to the next, and how many heads.
    steps, heads = np.zeros((len(rows), count + 1)), np.zeros((len(rows), count + 1), np.int32)
    longest_sec = max((person.span_sec for person in people), default=0.0)
    claims = [_Claims.of(person, rows, axis, frame_size, room, longest_sec) for person in people]
    for claim in claims:
        claim.add_to(steps, heads, places)
    values = np.cumsum(steps, axis=1)[:, :count]
    best = _at_its_best(values)
    values += _SOMEBODY * best * (np.cumsum(heads, axis=1)[:, :count] > 0)
    low = places[_best_places(values, best / STEP_SEC, float(places[1] / frame_size[0]))]
    worth = np.array([claim.worth_at(low) for claim in claims]).reshape(len(people), len(rows))
    return Placement(axis, rows, low, worth)


def _at_its_best(values: Floats) -> float:
    """What the best place is worth, in the mean of the steps (steps, places) where anybody is."""
    peaks = values.max(axis=1, initial=0.0)
    return max(float(peaks[peaks > 0].mean()), 1e-9) if (peaks > 0).any() else 1e-9


@dataclass(frozen=True, eq=False)
class _Claims:
    """What one person wants of the window: on the steps `at` (k,), for each claim from where to where its low side may
    be, in pixels, and what that is worth (k, claims)."""

    at: NDArray[np.int64]
    first: Floats
    last: Floats
    worth: Floats
    count: int

    @classmethod
    def of(
        cls,
        person: Sighting,
        rows: NDArray[np.int64],
        axis: int,
        frame_size: tuple[int, int],
        room: Room,
        longest_sec: float,
    ) -> _Claims:
        at, boxes = person.boxes_on(rows)
        known = np.isfinite(boxes[:, 0])
        at, boxes, heads = at[known], boxes[known], person.heads_on(rows)[known]
        length = float(room.size_px[axis])
        sides = boxes[:, axis::2]
        side = sides[:, 1] - sides[:, 0]
        padding = np.maximum(np.minimum(room.padding_ratio * side, (length - side) / 2), 0.0)[:, None] * [-1.0, 1.0]
        middle = heads[:, axis::2].mean(axis=1, keepdims=True) + _EDGE_RATIO * length * np.array([[-1.0, 1.0]])
        spans = np.stack([heads[:, axis::2], middle, sides, sides + padding], axis=1)
        low, high = np.clip(spans, 0.0, float(frame_size[axis])).transpose(2, 0, 1)
        # Of what is larger than the window all of the window is wanted.
        first, last = np.minimum(high - length, low), np.maximum(high - length, low)
        shown = np.minimum(1.0, length / np.maximum(side, 1.0))[:, None] ** _CUT_OFF_POWER
        value = presence(boxes, frame_size, OF_SEVERAL) * lasting(person, longest_sec)
        worth = value[:, None] * shown * np.array([_HEAD, _HEAD_CLEAR, _BODY, _PADDED])
        return cls(at, first - FITS_PX, last + FITS_PX, worth, len(rows))

    def add_to(self, steps: Floats, heads: NDArray[np.int32], places: Floats) -> None:
        """Adds the worth of the places [first, last] to `steps` (steps, places + 1), as what changes between them, and
        the head that is seen from them to `heads`."""
        start = np.searchsorted(places, self.first, side="left")
        stop = np.searchsorted(places, self.last, side="right")
        # Between two places neither is right; the nearer one is.
        between = start >= stop
        nearest = np.clip(np.rint((self.first + self.last) / 2 / places[1]), 0, len(places) - 1).astype(np.int64)
        start, stop = np.where(between, nearest, start), np.where(between, nearest + 1, stop)
        for claim in range(self.worth.shape[1]):
            steps[self.at, start[:, claim]] += self.worth[:, claim]
            steps[self.at, stop[:, claim]] -= self.worth[:, claim]
        heads[self.at, start[:, 0]] += 1
        heads[self.at, stop[:, 0]] -= 1

    def worth_at(self, low: Floats) -> Floats:
        found = np.zeros(self.count)
        held = (self.first <= low[self.at, None]) & (low[self.at, None] <= self.last)
        found[self.at] = (self.worth * held).sum(axis=1)
        return found


def _best_places(worth: Floats, unit: float, apart: float) -> NDArray[np.int64]:
    """For each step the place to be at: `worth` (steps, places); a second of the picture at its best is worth `unit`;
    places are `apart` in frame widths."""
    set_out, turn, on_the_way = _SET_OUT_SEC * unit, _TURN_SEC * unit, _ON_THE_WAY * unit * STEP_SEC
    reach = max(1, min(worth.shape[1] - 1, round(_PACE_PER_SEC * STEP_SEC / apart)))
    fares = _PLACE_SEC * unit * np.arange(reach + 1)
    fees = {_UP: np.full(5, set_out), _DOWN: np.full(5, set_out)}
    for heading, stood, against in ((_UP, _STOOD_DOWN, _DOWN), (_DOWN, _STOOD_UP, _UP)):
        fees[heading][[stood, against]] += turn
        fees[heading][heading] = 0.0
    count, places = worth.shape
    scores = np.full((5, places), -np.inf)
    scores[_FRESH] = worth[0]
    came = {heading: (np.zeros((count, places), np.int8), np.zeros((count, places), np.int16)) for heading in fees}
    stopped = np.zeros((2, count, places), np.bool_)
    every = np.arange(places)
    beyond = np.full(reach, -np.inf)
    for step in range(1, count):
        reached = scores.copy()
        for number, (stood, heading) in enumerate(((_STOOD_UP, _UP), (_STOOD_DOWN, _DOWN))):
            stopped[number, step] = scores[heading] > scores[stood]
            reached[stood] = np.maximum(scores[heading], scores[stood])
            paid = scores - fees[heading][:, None]
            origin = paid.argmax(axis=0)
            best = paid[origin, every]
            if heading == _UP:
                ways = sliding_window_view(np.concatenate([beyond, best]), reach + 1)[:, ::-1] - fares
            else:
                ways = sliding_window_view(np.concatenate([best, beyond]), reach + 1) - fares
            way = ways.argmax(axis=1)
            came[heading][0][step], came[heading][1][step] = origin, way
            reached[heading] = ways[every, way] - on_the_way
        scores = reached + worth[step]
    return _traced(scores, came, stopped)


def _traced(
    scores: Floats,
    came: dict[int, tuple[NDArray[np.int8], NDArray[np.int16]]],
    stopped: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Back from the best end: `came[heading]`: from which heading, and how many places ago; `stopped`: where standing
    still is having arrived."""
    found = np.zeros(stopped.shape[1], np.int64)
    heading, place = (int(index) for index in np.unravel_index(int(scores.argmax()), scores.shape))
    for step in range(len(found) - 1, -1, -1):
        found[step] = place
        if heading in (_UP, _DOWN):
            origins, ways = came[heading]
            place += int(ways[step, place]) * (1 if heading == _DOWN else -1)
            heading = int(origins[step, place]) if step else heading
        elif heading != _FRESH and stopped[heading - _STOOD_UP, step, place]:
            heading = _UP if heading == _STOOD_UP else _DOWN
    return found

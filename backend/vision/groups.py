"""Who is shown together where not everybody fits into the window: the set of people worth most, with few changes.

The best sequence of sets is found by dynamic programming over the shot (Viterbi 1967): a set is worth what its people
are worth while their union fits, and a change costs as much as some seconds of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from backend.vision.sightings import Sighting, presence
from backend.vision.window import FITS_PX, Room

_STEP_SEC = 0.1
# Sets are proposed anew for every stretch of so many steps, from every fifth of them.
_BLOCK_STEPS, _PROPOSE_EVERY = 200, 5
_MOST_PEOPLE, _MOST_SETS = 12, 24
# A change to other people costs what the picture is worth for this long: a pan shows nobody. Where somebody stays in
# the picture throughout, it costs less.
_CHANGE_SEC, _SHARED_RATIO = 3.0, 0.25
# People whose union fills the window to the last pixel are worth so much less than with their padding.
_TIGHT_WORTH = 0.5
# Who is larger than the window is worth this power of the share that it shows: rather somebody else whole.
_CUT_OFF_POWER = 3

People = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Stretch:
    """The frames [start, stop) of a shot on which these people are shown."""

    start: int
    stop: int
    people: list[Sighting]


def best_together(
    people: Sequence[Sighting], times_sec: NDArray[np.float64], frame_size: tuple[int, int], room: Room
) -> list[Stretch]:
    """Whom to show on each stretch of a shot's frames, so that they fit; a person larger than the window goes alone."""
    rows = steps(times_sec)
    longest_sec = max((person.span_sec for person in people), default=0.0)
    blocks = [
        _Block.of(people, rows[start : start + _BLOCK_STEPS], frame_size, room, longest_sec)
        for start in range(0, len(rows), _BLOCK_STEPS)
    ]
    shown = [
        chosen for block, picks in zip(blocks, _best_sequence(blocks), strict=True) for chosen in block.named(picks)
    ]
    changes = [0, *(at for at in range(1, len(shown)) if shown[at] != shown[at - 1]), len(shown)]
    edges = [*(int(rows[at]) for at in changes[:-1]), len(times_sec)]
    return [
        Stretch(start, stop, [people[index] for index in shown[at]])
        for (start, stop), at in zip(pairwise(edges), changes[:-1], strict=True)
    ]


def steps(times_sec: NDArray[np.float64]) -> NDArray[np.int64]:
    """The first frame of each tenth of a second."""
    return np.unique(np.floor(times_sec / _STEP_SEC), return_index=True)[1].astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Block:
    """Some steps of a shot: the people there by their index, their boxes (people, steps, 4), which sets of them are
    proposed (as rows of `boxes`) and what each set is worth on each step (sets, steps)."""

    members: list[int]
    boxes: NDArray[np.float64]
    sets: list[People]
    worth: NDArray[np.float64]
    change_cost: float

    @classmethod
    def of(
        cls,
        people: Sequence[Sighting],
        rows: NDArray[np.int64],
        frame_size: tuple[int, int],
        room: Room,
        longest_sec: float,
    ) -> _Block:
        members = [at for at, person in enumerate(people) if person.rows[0] <= rows[-1] and person.rows[-1] >= rows[0]]
        boxes = np.full((len(members), len(rows), 4), np.nan)
        for number, at in enumerate(members):
            inside = (rows >= people[at].rows[0]) & (rows <= people[at].rows[-1])
            boxes[number, inside] = people[at].boxes[rows[inside] - people[at].rows[0]]
        lasting = [np.sqrt(people[at].span_sec / longest_sec) if longest_sec else 1.0 for at in members]
        values = np.nan_to_num(presence(boxes, frame_size)) * np.array(lasting).reshape(-1, 1)
        proposed = sorted(set(_proposals(boxes, values, room)))
        worth = np.array([_worth(each, boxes, values, room) for each in proposed]).reshape(len(proposed), len(rows))
        kept = _promising(worth)
        best = float(worth.max(axis=0).mean())
        return cls(members, boxes, [proposed[at] for at in kept], worth[kept], best * _CHANGE_SEC / _STEP_SEC)

    def named(self, picks: Sequence[int]) -> Iterator[People]:
        """For each step the people that are shown, by their index among all."""
        for pick in picks:
            yield tuple(self.members[row] for row in self.sets[pick])

    def costs_to(self, later: _Block) -> NDArray[np.float64]:
        """(sets, sets of `later`): what it costs to go on with another set; nothing where it shows the same people."""
        before = [_people_there(self, each, -1) for each in self.sets]
        after = [_people_there(later, each, 0) for each in later.sets]
        cost = max(self.change_cost, later.change_cost)
        return np.array([[_change_cost(one, two) * cost for two in after] for one in before])


def _people_there(block: _Block, people: People, step: int) -> set[int]:
    """Of a set, by their index among all, those who are in the picture at the step."""
    return {block.members[row] for row in people if np.isfinite(block.boxes[row, step, 0])}


def _change_cost(before: set[int], after: set[int]) -> float:
    if before == after:
        return 0.0
    return _SHARED_RATIO if before & after or not before or not after else 1.0


def _proposals(boxes: NDArray[np.float64], values: NDArray[np.float64], room: Room) -> Iterator[People]:
    """Nobody, everyone alone, and on some steps whom a window holds that stands at somebody's left and at somebody's
    top side, with and without room for the padding."""
    yield ()
    for step in range(0, boxes.shape[1], _PROPOSE_EVERY):
        there = np.flatnonzero(values[:, step] > 0)
        if not len(there):
            continue
        there = there[np.argsort(-values[there, step], kind="stable")][:_MOST_PEOPLE]
        here = boxes[there, step]
        yield from ((int(row),) for row in there)
        for size in (room.size_px + FITS_PX, room.size_px / (1 + 2 * room.padding_ratio)):
            inside_x, inside_y = (_inside(here[:, axis::2], size[axis]) for axis in range(2))
            for held in (inside_x[:, None] & inside_y[None, :]).reshape(-1, len(there)):
                yield tuple(sorted(there[held].tolist()))


def _inside(sides: NDArray[np.float64], length: float) -> NDArray[np.bool_]:
    """Whose sides (people, 2) lie in a span of that length (spans, people): it begins at each one's, unless one does
    for all."""
    if sides[:, 1].max() - sides[:, 0].min() <= length:
        return np.ones((1, len(sides)), dtype=np.bool_)
    starts = sides[:, :1]
    return np.asarray((sides[:, 0] >= starts) & (sides[:, 1] <= starts + length))


def _worth(people: People, boxes: NDArray[np.float64], values: NDArray[np.float64], room: Room) -> NDArray[np.float64]:
    """What it is worth to show these people (steps,); infinitely little where several do not fit together."""
    if not people:
        return np.zeros(boxes.shape[1])
    rows = list(people)
    chosen = boxes[rows]
    union = np.concatenate([np.fmin.reduce(chosen[:, :, :2]), np.fmax.reduce(chosen[:, :, 2:])], axis=1)
    several = np.isfinite(chosen[:, :, 0]).sum(axis=0) > 1
    tight = 1.0 - (1.0 - _TIGHT_WORTH) * np.nan_to_num(room.tightness(union))
    shown = np.nan_to_num(room.share_shown(chosen)) ** _CUT_OFF_POWER
    alone = (values[rows] * shown).sum(axis=0)
    return np.where(several, np.where(room.fits(union), values[rows].sum(axis=0) * tight, -np.inf), alone)


def _promising(worth: NDArray[np.float64]) -> list[int]:
    """Rows of the sets to choose from: nobody, those that are best most often, then those that are worth most."""
    often = np.bincount(worth.argmax(axis=0), minlength=len(worth))
    total = np.maximum(worth, 0.0).sum(axis=1)
    ranked = np.lexsort((-total, -often))
    return sorted({0, *ranked[:_MOST_SETS].tolist()})


def _best_sequence(blocks: Sequence[_Block]) -> list[list[int]]:
    """For each block, the set to show on each of its steps."""
    scores, came_from = np.zeros(0), []
    for number, block in enumerate(blocks):
        first = blocks[number - 1].costs_to(block) if number else np.zeros((1, len(block.sets)))
        scores = scores if number else np.zeros(1)
        within = _costs_within(block)
        for step in range(block.worth.shape[1]):
            reached = scores[:, None] - (within if step else first)
            origin = np.asarray(reached.argmax(axis=0))
            scores = reached[origin, np.arange(len(origin))] + block.worth[:, step]
            came_from.append(origin)
    return _traced(blocks, scores, came_from)


def _costs_within(block: _Block) -> NDArray[np.float64]:
    sets = [set(each) for each in block.sets]
    return np.array([[_change_cost(one, two) * block.change_cost for two in sets] for one in sets])


def _traced(
    blocks: Sequence[_Block], scores: NDArray[np.float64], came_from: list[NDArray[np.int64]]
) -> list[list[int]]:
    if not came_from:
        return [[] for _ in blocks]
    pick, picks = int(scores.argmax()), []
    for origin in reversed(came_from):
        picks.append(pick)
        pick = int(origin[pick])
    picks.reverse()
    lengths = np.cumsum([0, *(block.worth.shape[1] for block in blocks)])
    return [picks[start:stop] for start, stop in pairwise(lengths.tolist())]

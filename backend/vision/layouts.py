"""How each stretch of a shot is laid out where several people are wanted: one window, panels stacked or side by side,
or all of it between bars.

The best sequence of layouts is found by dynamic programming (Viterbi 1967): a layout is worth the share that it shows
of the people who matter, less for the more unusual ones, and a change costs as much as some seconds of that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.vision.groups import best_together
from backend.vision.sightings import OF_SEVERAL, Sighting, Sightings, lasting, presence
from backend.vision.stitch import Track
from backend.vision.subject_modes import modes_of_shots, wanted_ids
from backend.vision.timeline import Timeline, seconds_from_start
from backend.vision.who_matters import who_matters
from backend.vision.window import FITS_PX, MAX_PANELS, Floats, Room, Shot, largest_window, panel_areas

Layout = Literal["crop", "split", "bars"]

# One window is what people expect; bars waste the picture.
_SPLIT_WORTH, _BARS_WORTH = 0.8, 0.55
_SIZE_POWER = 0.3  # faces of half the size are worth four fifths
_SAME_POWER = 2  # two panels that show the same half are worth little
_CHANGE_SEC = 1.5
# A box this much higher than wide is somebody upright, whose head and trunk are this share of it.
_UPRIGHT_RATIO, _UPPER_BODY_RATIO = 1.3, 0.6
_PROPOSE_EVERY, _MOST_GROUPINGS = 5, 8
_STEP_SEC = 0.1

Grouping = tuple[tuple[int, ...], ...]  # the people of each panel, by their index, in the order of the panels


@dataclass(frozen=True, eq=False)
class Part:
    """The frames [start, stop) of a shot in one layout; `panels`: the people of each panel, in order, for a split."""

    start: int
    stop: int
    layout: Layout
    panels: Sequence[Sequence[Sighting]] = ()

    def boxes(self, frames: int) -> list[Floats]:
        """For each panel the box of its people on each frame of the part (stop - start, 4), NaN where none is there.
        `frames`: of the shot."""
        found = []
        for panel in self.panels:
            boxes = np.full((len(panel), frames, 4), np.nan)
            for number, person in enumerate(panel):
                boxes[number, person.rows] = person.boxes
            union = _union(boxes)[self.start : self.stop]
            found.append(_upper_body(union) if len(panel) == 1 else union)
        return found


@dataclass(frozen=True)
class Rooms:
    """What one window holds, and each of two or of three panels. `bars`: whether bars are a choice."""

    output_size: tuple[int, int]
    whole: Room
    panels: dict[int, Room]
    bars: bool = True


def rooms_of(whole: Room, output_size: tuple[int, int], frame_size: tuple[int, int], *, bars: bool) -> Rooms:
    """Of an output of that size. There are no panels too small for a picture."""
    panels = {}
    for count in range(2, MAX_PANELS + 1):
        _, _, width, height = panel_areas(output_size, count)[0]
        if width >= 2 and height >= 2:
            panels[count] = Room(*largest_window(frame_size, width / height), whole.padding_ratio)
    return Rooms(output_size, whole, panels, bars)


@dataclass(frozen=True, eq=False)
class Laid:
    """The frames [start, stop) of a film in one layout, in the shot of that index; for a split the box of each panel's
    people on each of the frames, and their tracks."""

    start: int
    stop: int
    shot: int
    layout: Layout = "crop"
    panel_boxes: Sequence[Floats] = ()
    track_ids: Sequence[int] = ()


def laid_out(
    tracks: Sequence[Track],
    timeline: Timeline,
    shots: Sequence[Shot],
    mode: str,
    shot_modes: Mapping[int, str],
    rooms: Rooms,
    pinned: Sequence[int] = (),
) -> list[Laid]:
    """The film's frames, in order and without a gap. `mode`, `shot_modes`: the subject's, as for `choose_subject`; only
    where it is several people is there a choice. A shot with a frame that is `pinned` is one window: somebody has said
    where. Raises InvalidParams for a mode, an id or a shot that is not there."""
    modes = modes_of_shots(mode, shot_modes, len(shots))
    wanted = {name: wanted_ids(name, tracks) for name in set(modes)}
    sightings = Sightings(tracks, timeline)
    found: list[Laid] = []
    for index, ((start, stop), name) in enumerate(zip(shots, modes, strict=True)):
        several = name == "all" or len(wanted[name]) > 1
        if not several or any(start <= frame < stop for frame in pinned):
            found.append(Laid(start, stop, index))
            continue
        pts = timeline.frame_pts[start:stop]
        times_sec = seconds_from_start(pts, timeline.time_base)
        seen = sightings.on(pts, times_sec)
        people = (
            [each for each in seen if each.track.id in wanted[name]]
            if wanted[name]
            else who_matters(seen, times_sec, timeline.frame_size)
        )
        for part in layouts_of(people, times_sec, timeline.frame_size, rooms):
            ids = [person.track.id for panel in part.panels for person in panel]
            boxes = part.boxes(stop - start)
            found.append(Laid(start + part.start, start + part.stop, index, part.layout, boxes, ids))
    return found


def layouts_of(people: Sequence[Sighting], times_sec: Floats, frame_size: tuple[int, int], rooms: Rooms) -> list[Part]:
    """The parts of a shot, in order and without a gap. `people`: who matters in it."""
    rows = _steps(times_sec)
    values, boxes = _values(people, rows, frame_size)
    total = values.sum(axis=0)
    groupings = _groupings(boxes, values, rooms)
    worth = [np.where(total > 0, _crop_share(people, times_sec, rows, values, frame_size, rooms.whole), 1.0)]
    worth.append(np.where(total > 0, _BARS_WORTH, 0.0) if rooms.bars else np.full(len(rows), -np.inf))
    for each in groupings:
        width_px = panel_areas(rooms.output_size, len(each))[0][2]
        worth.append(_SPLIT_WORTH * _split_share(each, boxes, values, rooms.panels[len(each)], width_px))
    picks = _best(np.array(worth), _CHANGE_SEC / _STEP_SEC)
    changes = [0, *(np.flatnonzero(np.diff(picks)) + 1).tolist(), len(picks)]
    edges = [*(int(rows[at]) for at in changes[:-1]), len(times_sec)]
    return [
        _part(start, stop, int(picks[at]), groupings, people)
        for (start, stop), at in zip(pairwise(edges), changes[:-1], strict=True)
    ]


def _steps(times_sec: Floats) -> NDArray[np.int64]:
    """The first frame of each tenth of a second."""
    return np.unique(np.floor(times_sec / _STEP_SEC), return_index=True)[1].astype(np.int64)


def _part(start: int, stop: int, pick: int, groupings: Sequence[Grouping], people: Sequence[Sighting]) -> Part:
    if pick < 2:
        return Part(start, stop, "bars" if pick else "crop")
    return Part(start, stop, "split", [[people[index] for index in panel] for panel in groupings[pick - 2]])


def _values(people: Sequence[Sighting], rows: NDArray[np.int64], frame_size: tuple[int, int]) -> tuple[Floats, Floats]:
    """What each person is worth on each step (people, steps), 0 where not there, and the boxes (people, steps, 4)."""
    boxes = np.full((len(people), len(rows), 4), np.nan)
    longest_sec = max((person.span_sec for person in people), default=0.0)
    for number, person in enumerate(people):
        at, own = person.boxes_on(rows)
        boxes[number, at] = own
    stays = np.array([lasting(person, longest_sec) for person in people]).reshape(-1, 1)
    sizes = np.nan_to_num(presence(boxes, frame_size, OF_SEVERAL))
    # Many small ones behind a large one are a background: nobody's picture is split for them, or shrunk.
    return sizes**2 / np.maximum(sizes.max(axis=0, initial=0.0), 1e-9) * stays, boxes


def _crop_share(
    people: Sequence[Sighting],
    times_sec: Floats,
    rows: NDArray[np.int64],
    values: Floats,
    frame_size: tuple[int, int],
    room: Room,
) -> Floats:
    """Which share of what is there one window shows (steps,)."""
    shown = np.zeros(len(rows))
    index = {id(person): number for number, person in enumerate(people)}
    for stretch in best_together(people, times_sec, frame_size, room).stretches:
        inside = (rows >= stretch.start) & (rows < stretch.stop)
        chosen = [index[id(person)] for person in stretch.people]
        shown[inside] = values[chosen][:, inside].sum(axis=0)
    return np.asarray(shown / np.maximum(values.sum(axis=0), 1e-9))


def _groupings(boxes: Floats, values: Floats, rooms: Rooms) -> list[Grouping]:
    """Whom panels could show: on some steps those who are there, from left to right, parted at their widest gaps."""
    seen: Counter[Grouping] = Counter()
    for step in range(0, boxes.shape[1], _PROPOSE_EVERY):
        there = np.flatnonzero(values[:, step] > 0)
        there = there[np.argsort(boxes[there, step, 0] + boxes[there, step, 2], kind="stable")]
        for count in rooms.panels:
            if len(there) >= count:
                seen[_parted(there, boxes[there, step], count)] += 1
    return [grouping for grouping, _ in seen.most_common(_MOST_GROUPINGS)]


def _parted(there: NDArray[np.int64], here: Floats, count: int) -> Grouping:
    gaps = here[1:, 0] - np.maximum.accumulate(here[:, 2])[:-1]
    cuts = sorted((np.argsort(-gaps, kind="stable")[: count - 1] + 1).tolist())
    return tuple(tuple(there[start:stop].tolist()) for start, stop in pairwise([0, *cuts, len(there)]))


def _split_share(grouping: Grouping, boxes: Floats, values: Floats, room: Room, panel_width_px: float) -> Floats:
    """Which share of what is there the panels show (steps,); nothing where one of them would be empty, less where two
    show the same part of the picture."""
    shown, everywhere = np.zeros(boxes.shape[1]), np.ones(boxes.shape[1], np.bool_)
    sides: list[Floats] = []
    for panel in grouping:
        rows = list(panel)
        union = _union(boxes[rows])
        fits = np.asarray(((union[:, 2:] - union[:, :2]) <= room.size_px + FITS_PX).all(axis=1))
        alone = len(rows) == 1  # one larger than the panel is shown in part
        held = values[rows].sum(axis=0) * (room.share_shown(union) if alone else fits)
        everywhere &= (values[rows] > 0).any(axis=0)
        side = _needed(_upper_body(union) if alone else union, room)
        sides.append(side)
        shown += np.nan_to_num(held * _size(panel_width_px / (side[:, 1] - side[:, 0])))
    share = shown / np.maximum(values.sum(axis=0), 1e-9) * _apart(sides)
    return np.asarray(np.where(everywhere, share, 0.0))


def _needed(union: Floats, room: Room) -> Floats:
    """From where to where, along x, a panel's picture reaches (steps, 2) that holds the union with its padding."""
    width, height = ((union[:, 2:] - union[:, :2]) * (1 + 2 * room.padding_ratio)).T
    needed = np.minimum(np.maximum(width, height * room.width_px / room.height_px), room.width_px)
    middle = (union[:, 0] + union[:, 2]) / 2
    return np.stack([middle - needed / 2, middle + needed / 2], axis=1)


def _size(scale: Floats) -> Floats:
    """What people are worth who are shown at this scale, 1 where a pixel of the source is one of the output or more."""
    return np.asarray(np.minimum(1.0, scale) ** _SIZE_POWER)


def _apart(sides: Sequence[Floats]) -> Floats:
    """From 1 (steps,) where no two panels show the same to 0 where one shows all of another."""
    worst = np.zeros(len(sides[0]))
    for one, other in combinations(sides, 2):
        shared = np.minimum(one[:, 1], other[:, 1]) - np.maximum(one[:, 0], other[:, 0])
        least = np.minimum(one[:, 1] - one[:, 0], other[:, 1] - other[:, 0])
        worst = np.fmax(worst, np.clip(shared / np.maximum(least, 1.0), 0.0, 1.0))
    return np.asarray((1.0 - worst) ** _SAME_POWER)


def _upper_body(boxes: Floats) -> Floats:
    """Of somebody upright (n, 4) head and trunk: a panel is for faces, and legs would make them small."""
    found = boxes.copy()
    height = boxes[:, 3] - boxes[:, 1]
    upright = height > _UPRIGHT_RATIO * (boxes[:, 2] - boxes[:, 0])
    found[upright, 3] = (boxes[:, 1] + _UPPER_BODY_RATIO * height)[upright]
    return found


def _union(boxes: Floats) -> Floats:
    return np.concatenate([np.fmin.reduce(boxes[:, :, :2]), np.fmax.reduce(boxes[:, :, 2:])], axis=1)


def _best(worth: Floats, change_cost: float) -> NDArray[np.int64]:
    """For each step the row to choose: `worth` (layouts, steps)."""
    scores, came_from = worth[:, 0].copy(), []
    for step in range(1, worth.shape[1]):
        best = int(scores.argmax())
        origin = np.where(scores >= scores[best] - change_cost, np.arange(len(scores)), best)
        scores = np.where(origin == best, scores[best], scores)
        scores[origin != np.arange(len(scores))] -= change_cost
        scores += worth[:, step]
        came_from.append(origin)
    picks = [int(scores.argmax())]
    for origin in reversed(came_from):
        picks.append(int(origin[picks[-1]]))
    return np.array(picks[::-1], np.int64)

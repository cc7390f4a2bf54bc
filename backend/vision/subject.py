"""Who the picture follows: one box a frame, made of the tracks that the `subject` parameter asks for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from backend.vision.candidates import People, candidates, could_be_shown
from backend.vision.groups import Stretch, best_together
from backend.vision.limbs import Bodies
from backend.vision.passages import Passage, passages
from backend.vision.sightings import Sighting, Sightings, bridged
from backend.vision.stitch import Track
from backend.vision.subject_modes import modes_of_shots, wanted_ids
from backend.vision.timeline import Timeline, runs, seconds_from_start
from backend.vision.window import Room, needs_bars

# `main` changes hands only when its person is gone for longer than this, and nobody takes over for less.
_HOLD_SEC = 1.0
# Nobody takes over where less than this is free around them: so short a turn is not worth the two pans.
_TURN_SEC = 2.0


@dataclass(frozen=True, eq=False)
class Subject:
    """`boxes` (n_frames, 4) in pixels inside the picture, NaN where nobody is known or the picture passes from one
    person to another; `bodies`, the same without limbs; the ids of the tracks that they came from; the
    `people` who could be shown; `aims`, where the window's centre would best be, NaN where only the boxes say so.

    Masks (n_frames,): `passing` marks the latter, `left_out` the frames where somebody who was asked for and is there
    is not in the box, `somebody` those where any track is.
    """

    boxes: NDArray[np.float64]
    track_ids: list[int]
    passing: NDArray[np.bool_]
    left_out: NDArray[np.bool_]
    somebody: NDArray[np.bool_]
    people: People = field(default_factory=People.nobody)
    bodies: Bodies | None = None
    aims: NDArray[np.float64] | None = None

    @classmethod
    def nobody(cls, count: int) -> Subject:
        masks = [np.zeros(count, dtype=np.bool_) for _ in range(3)]
        return cls(np.full((count, 4), np.nan), [], masks[0], masks[1], masks[2])


def choose_subject(
    tracks: Sequence[Track],
    timeline: Timeline,
    mode: str,
    shots: Sequence[tuple[int, int]] | None = None,
    shot_modes: Mapping[int, str] | None = None,
    room: Room | None = None,
    bars: Sequence[bool] | None = None,
) -> Subject:
    """The subject's box on every frame, chosen for each of `shots` ([start, stop) in frames) from what is in it.

    `all`: everyone who matters. `main`: the most prominent person (time on screen x size x centrality), another only
    while that person is gone for more than a second. `track:<id>`, or several with commas: those tracks. Gaps are NaN.
    Where several people do not fit into `room`, the box is that of those worth most, never of the gap between them.
    `shot_modes` overrides the mode of single shots by their index; `bars` says for each whether it may have some.
    Raises InvalidParams for another mode, for an id or a shot that is not there; the message names those that are.
    """
    frame_pts, frame_size = timeline.frame_pts, timeline.frame_size
    cuts = [(0, len(timeline))] if shots is None else list(shots)
    modes = modes_of_shots(mode, shot_modes or {}, len(cuts))
    wanted = {name: wanted_ids(name, tracks) for name in set(modes)}
    sightings = Sightings(tracks, timeline)
    subject = replace(Subject.nobody(len(timeline)), somebody=sightings.anybody(frame_pts))
    found: set[int] = set()
    rooms = [room] * len(cuts) if room is None or bars is None else [replace(room, may_have_bars=may) for may in bars]
    everybody: list[People] = []
    aims = np.full((len(timeline), 2), np.nan)
    for (start, stop), name, shot_room in zip(cuts, modes, rooms, strict=True):
        times_sec = seconds_from_start(frame_pts[start:stop], timeline.time_base)
        seen = sightings.on(frame_pts[start:stop], times_sec)
        people = candidates(name, wanted[name], seen, times_sec, frame_size)
        part = (_main if name == "main" else _together)(people, _Shot(times_sec, frame_size, shot_room))
        subject.boxes[start:stop], subject.passing[start:stop] = part.boxes, part.passing
        subject.left_out[start:stop] = part.left_out
        if part.aims is not None:
            aims[start:stop] = part.aims
        found.update(part.track_ids)
        here = could_be_shown(people, start, times_sec, subject.boxes if name == "main" else None)
        everybody.append(here if part.aims is None else here.by_heads(np.isfinite(aims).any(axis=1)))
    shown = People.all_of(everybody)
    bodies = replace(shown.bodies_in(subject.boxes, frame_size), aims=aims)
    return replace(subject, track_ids=sorted(found), people=shown, bodies=bodies)


@dataclass(frozen=True, eq=False)
class _Shot:
    times_sec: NDArray[np.float64]
    frame_size: tuple[int, int]
    room: Room | None


# Several people.


def _together(people: Sequence[Sighting], shot: _Shot) -> Subject:
    """Everybody in one box, or in each stretch those of them who fit and are worth most."""
    everybody = [Stretch(0, len(shot.times_sec), list(people))]
    subject = _shown(people, everybody, shot)
    room = shot.room
    if room is None or room.fits(_union_of(everybody, len(shot.times_sec))).all():
        return subject
    if room.may_have_bars and needs_bars(subject.boxes, room.size_px):
        return subject
    found = best_together(people, shot.times_sec, shot.frame_size, room)
    return replace(_shown(people, found.stretches, shot), aims=found.aims)


def _shown(people: Sequence[Sighting], stretches: Sequence[Stretch], shot: _Shot) -> Subject:
    count = len(shot.times_sec)
    boxes = _union_of(stretches, count)
    edges = {edge for stretch in stretches for edge in (stretch.start, *_comings_and_goings(stretch))}
    ids = {sighting.track.id for sighting in people}
    pans = list(passages(boxes, edges, shot.times_sec, shot.frame_size[0]))
    subject = _passing(boxes, ids, pans, shot)
    for pan in pans:
        # Who is in the picture before and after is held on the way.
        before, after = (_on_frame(stretches, row) for row in (pan.last, pan.first))
        _hold(subject, pan, [person for track_id, person in before.items() if track_id in after])
    return replace(subject, left_out=_left_out(people, subject.boxes))


def _union_of(stretches: Sequence[Stretch], count: int) -> NDArray[np.float64]:
    boxes = np.full((count, 4), np.nan)
    for stretch in stretches:
        for person in stretch.people:
            _widen(boxes, person, stretch.start, stretch.stop)
    return boxes


def _widen(boxes: NDArray[np.float64], person: Sighting, start: int, stop: int) -> None:
    """Makes the boxes of the frames [start, stop) hold the person too."""
    own, rows = _within(person, start, stop)
    boxes[rows, :2] = np.fmin(boxes[rows, :2], person.boxes[own, :2])
    boxes[rows, 2:] = np.fmax(boxes[rows, 2:], person.boxes[own, 2:])


def _within(person: Sighting, start: int, stop: int) -> tuple[slice, slice]:
    """The frames [start, stop) that the person is on, as places in its boxes and as rows."""
    first, last = int(person.rows[0]), int(person.rows[-1])
    start, stop = max(start, first), max(min(stop, last + 1), max(start, first))
    return slice(start - first, stop - first), slice(start, stop)


def _comings_and_goings(stretch: Stretch) -> Iterator[int]:
    for person in stretch.people:
        own, rows = _within(person, stretch.start, stretch.stop)
        for start, stop in runs(np.isfinite(person.boxes[own, 0])):
            yield rows.start + start
            yield rows.start + stop


def _on_frame(stretches: Sequence[Stretch], row: int) -> dict[int, Sighting]:
    """Who is shown on a frame, by track id."""
    stretch = stretches[bisect_right(stretches, row, key=lambda stretch: stretch.start) - 1]
    return {
        person.track.id: person
        for person in stretch.people
        if person.rows[0] <= row <= person.rows[-1] and np.isfinite(person.boxes[row - person.rows[0], 0])
    }


def _hold(subject: Subject, pan: Passage, people: Sequence[Sighting]) -> None:
    rows = np.arange(pan.start, pan.stop)
    held = np.full((len(subject.boxes), 4), np.nan) if people else subject.boxes
    for person in people:
        _widen(held, person, pan.start, pan.stop)
    found = rows[subject.passing[rows] & np.isfinite(held[rows, 0])]
    subject.boxes[found] = held[found]
    subject.passing[found] = False


def _left_out(people: Sequence[Sighting], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where somebody of `people` is not inside the subject's box, of the frames that have one."""
    everybody = _union_of([Stretch(0, len(boxes), list(people))], len(boxes))
    more = (everybody[:, :2] < boxes[:, :2]) | (everybody[:, 2:] > boxes[:, 2:])
    return np.asarray(more.any(axis=1))


def _passing(boxes: NDArray[np.float64], track_ids: set[int], pans: Iterable[Passage], shot: _Shot) -> Subject:
    """The subject with nobody in it while the picture passes on, and short gaps at one place filled."""
    passing = np.zeros(len(boxes), dtype=np.bool_)
    for pan in pans:
        passing[pan.start : pan.stop] |= np.isfinite(boxes[pan.start : pan.stop, 0])
    filled = bridged(boxes, shot.times_sec, shot.frame_size[0])
    filled[passing] = np.nan
    return replace(Subject.nobody(len(boxes)), boxes=filled, track_ids=sorted(track_ids), passing=passing)


# One person at a time.


def _main(seen: Sequence[Sighting], shot: _Shot) -> Subject:
    """Gives every stretch of frames to the most prominent person who fills it for a second or more."""
    times_sec = shot.times_sec
    boxes = np.full((len(times_sec), 4), np.nan)
    free = np.ones(len(times_sec), dtype=np.bool_)
    ranked = sorted(seen, key=lambda sighting: (-sighting.prominence, sighting.track.id))
    chosen: set[int] = set()
    edges: list[int] = []
    # The second round serves people who are only ever seen briefly, where nobody else has been chosen around them.
    for shortest_sec in (_HOLD_SEC, 0.0):
        for sighting in ranked:
            for start, stop in _stays(sighting, free, times_sec, shortest_sec):
                own = sighting.rows[start:stop]
                boxes[own] = sighting.boxes[start:stop]
                free[own] = False
                chosen.add(sighting.track.id)
                edges += [int(own[0]), int(own[-1]) + 1]
    return _passing(boxes, chosen, list(passages(boxes, edges, times_sec, shot.frame_size[0])), shot)


def _stays(
    sighting: Sighting, free: NDArray[np.bool_], times_sec: NDArray[np.float64], shortest_sec: float
) -> Iterator[tuple[int, int]]:
    """Stretches [start, stop) of the sighting's rows that are present and free, with enough free around them."""
    rows = sighting.rows
    known = np.isfinite(sighting.boxes[:, 0])
    present = _bridged(known, times_sec[rows])
    for start, stop in runs(present & free[rows]):
        if _span_sec(rows[start:stop], times_sec) >= shortest_sec and _room_sec(rows[start], free, times_sec) >= min(
            _TURN_SEC, float(times_sec[-1])
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


def _span_sec(rows: NDArray[np.int64], times_sec: NDArray[np.float64]) -> float:
    return float(times_sec[rows[-1]] - times_sec[rows[0]])

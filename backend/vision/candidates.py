"""Who could be shown on each frame, by their boxes, with and without limbs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.vision.heads import head_boxes
from backend.vision.limbs import Bodies, without_limbs
from backend.vision.sightings import Sighting
from backend.vision.who_matters import who_matters
from backend.vision.window import Floats

_FIELDS = ("frames", "boxes", "cores", "heads", "asked")


@dataclass(frozen=True, eq=False)
class People:
    """Everybody who could be shown: for each frame and person the number of the frame (k,), the box (k, 4) in pixels,
    the same without limbs, the head, and whether it was asked for that this person is shown then (k,)."""

    frames: NDArray[np.int64]
    boxes: Floats
    cores: Floats
    heads: Floats
    asked: NDArray[np.bool_]

    @classmethod
    def nobody(cls) -> People:
        none = np.zeros((0, 4))
        return cls(np.zeros(0, dtype=np.int64), none, none, none, np.zeros(0, dtype=np.bool_))

    @classmethod
    def all_of(cls, parts: Sequence[People]) -> People:
        """`parts` one after another."""
        if not parts:
            return cls.nobody()
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))

    def by_heads(self, on: NDArray[np.bool_]) -> People:
        """The same, with their heads for what has to be held `on` some of the film's frames (n_frames,)."""
        return replace(self, cores=np.where(on[self.frames, None], self.heads, self.cores))

    @property
    def size_bytes(self) -> int:
        return sum(int(getattr(self, name).nbytes) for name in _FIELDS)

    def bodies_in(self, boxes: Floats, frame_size: tuple[int, int]) -> Bodies:
        """Of the people who are in each frame's box (n_frames, 4), the union without their limbs; the box itself where
        nobody is in it, as where it is bridged between two tracks of one person."""
        around = boxes[self.frames]
        inside = ((self.boxes[:, :2] >= around[:, :2]) & (self.boxes[:, 2:] <= around[:, 2:])).all(axis=1)
        frames, cores = self.frames[inside], self.cores[inside]
        low, high = np.full((len(boxes), 2), np.inf), np.full((len(boxes), 2), -np.inf)
        np.minimum.at(low, frames, cores[:, :2])
        np.maximum.at(high, frames, cores[:, 2:])
        cores_of_all = np.where(np.isfinite(low[:, :1]), np.hstack([low, high]), boxes)
        alone = np.bincount(frames, minlength=len(boxes)) == 1
        heads, own = head_boxes(boxes, frame_size), alone[frames]
        heads[frames[own]] = self.heads[inside][own]
        return Bodies(cores_of_all, alone, heads)


def candidates(
    mode: str,
    wanted_ids: set[int],
    seen: Sequence[Sighting],
    times_sec: NDArray[np.float64],
    frame_size: tuple[int, int],
) -> list[Sighting]:
    """Those in a shot whom the mode may mean: everyone who matters, or the tracks that it names."""
    if mode in ("main", "all"):
        return who_matters(seen, times_sec, frame_size)
    return [sighting for sighting in seen if sighting.track.id in wanted_ids]


def could_be_shown(
    people: Sequence[Sighting], start: int, times_sec: NDArray[np.float64], only: NDArray[np.float64] | None
) -> People:
    """The people of a shot that begins on frame `start`; asked for are all of them, or those who are what `only`
    (n_frames, 4) has."""
    parts = []
    for person in people:
        known = np.isfinite(person.boxes[:, 0])
        frames, boxes = start + person.rows[known], person.boxes[known]
        asked = np.ones(len(frames), dtype=np.bool_) if only is None else (only[frames] == boxes).all(axis=1)
        cores = _with_heads(without_limbs(boxes, times_sec[person.rows[known]]), person, known)
        parts.append(People(frames, boxes, cores, person.heads[known], asked))
    return People.all_of(parts)


def _with_heads(cores: Floats, person: Sighting, known: NDArray[np.bool_]) -> Floats:
    """The cores on the frames that are `known`, so wide that they have the head in them where it is seen."""
    heads, is_seen = person.heads[known], person.is_seen[known]
    found = cores.copy()
    found[is_seen, 0] = np.minimum(cores[is_seen, 0], heads[is_seen, 0])
    found[is_seen, 2] = np.maximum(cores[is_seen, 2], heads[is_seen, 2])
    return found

"""Who is shown together where not everybody fits into the window: whom it holds where it is best placed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from backend.vision.placement import STEP_SEC, Placement, placed
from backend.vision.sightings import Sighting
from backend.vision.timeline import runs
from backend.vision.window import Floats, Room

# Who is in the window for less than this is not held there.
_SHORTEST_SEC = 0.6
_EASE_SEC = 1.0
# A body may reach beyond the window by this share of it and still be whole: places are not closer than that.
_TOLERANCE_RATIO = 0.01


@dataclass(frozen=True, eq=False)
class Stretch:
    """The frames [start, stop) of a shot on which these people are shown."""

    start: int
    stop: int
    people: list[Sighting]


@dataclass(frozen=True, eq=False)
class Together:
    """Whom to show on each stretch of a shot's frames; `aims` (n_frames, 2): where the window's centre would best be,
    in pixels, NaN along the axis that leaves no choice, and where nobody or one person is."""

    stretches: list[Stretch]
    aims: Floats


def best_together(
    people: Sequence[Sighting], times_sec: NDArray[np.float64], frame_size: tuple[int, int], room: Room
) -> Together:
    """Those whom the window holds where it is worth most, so that they fit; a person larger than the window goes
    alone, and so does one who is alone in the picture: there nothing is to be weighed, and the window has no aim."""
    where = placed(people, times_sec, frame_size, room)
    present = _present(people, where)
    shown = _shown(people, where, frame_size, room)
    alone = present.sum(axis=0) < 2
    shown[:, alone] = present[:, alone]
    changes = [0, *(np.flatnonzero((np.diff(shown) != 0).any(axis=0)) + 1).tolist(), shown.shape[1]]
    edges = [*(int(where.rows[at]) for at in changes[:-1]), len(times_sec)]
    stretches = [
        Stretch(start, stop, [people[index] for index in np.flatnonzero(shown[:, at]).tolist()])
        for (start, stop), at in zip(pairwise(edges), changes[:-1], strict=True)
    ]
    aims = np.full((len(times_sec), 2), np.nan)
    centres = _eased(where.low + room.size_px[where.axis] / 2)
    several = ~np.repeat(alone, np.diff([*where.rows.tolist(), len(times_sec)]))
    aims[several, where.axis] = np.interp(times_sec, times_sec[where.rows], centres)[several]
    return Together(stretches, aims)


def _eased(places: Floats) -> Floats:
    """The places with soft starts and ends of each move: twice the mean of what is around."""
    reach = min(round(_EASE_SEC / STEP_SEC / 2), len(places) // 2)
    for _ in range(2):
        around = sliding_window_view(np.pad(places, reach, mode="edge"), 2 * reach + 1)
        places = np.asarray(around.mean(axis=1))
    return places


def _present(people: Sequence[Sighting], where: Placement) -> NDArray[np.bool_]:
    """(people, steps): who is in the picture."""
    found = np.zeros(where.worth.shape, dtype=np.bool_)
    for number, person in enumerate(people):
        at, boxes = person.boxes_on(where.rows)
        found[number, at] = np.isfinite(boxes[:, 0])
    return found


def _shown(people: Sequence[Sighting], where: Placement, frame_size: tuple[int, int], room: Room) -> NDArray[np.bool_]:
    """(people, steps): who is whole in the window; where nobody is, the one whom it shows most of."""
    length = float(room.size_px[where.axis])
    limit = np.tile(np.array(frame_size, dtype=np.float64), 2)
    whole = np.zeros(where.worth.shape, dtype=np.bool_)
    for number, person in enumerate(people):
        at, boxes = person.boxes_on(where.rows)
        boxes = np.clip(boxes, 0.0, limit)
        sides, low = boxes[:, where.axis :: 2], where.low[at]
        grace = _TOLERANCE_RATIO * length
        inside = (sides[:, 0] >= low - grace) & (sides[:, 1] <= low + length + grace)
        whole[number, at] = inside & room.fits(boxes) & np.isfinite(boxes[:, 0])
        whole[number] = _lasting(whole[number])
    if not len(people):
        return whole
    best = where.worth.argmax(axis=0)
    steps = np.flatnonzero(~whole.any(axis=0) & (where.worth.max(axis=0) > 0))
    whole[best[steps], steps] = True
    return whole


def _lasting(shown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the stretches that are too short to count, but at the shot's ends."""
    found = shown.copy()
    for start, stop in runs(shown):
        if start > 0 and stop < len(shown) and (stop - start) * STEP_SEC < _SHORTEST_SEC:
            found[start:stop] = False
    return found

"""Where in the window an editor would have the subject: room to move into, and eyes near the upper third."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.vision.window import Floats, Shot

# How fast somebody goes, frame widths per s, before room in front of them is wanted, and when all of it is.
_SLOW, _FAST = 0.03, 0.05
# The window's middle is then at least so far ahead of theirs, as a share of its width.
_LEAD_RATIO = 0.05
_GRID_SEC, _SPEED_SEC = 0.1, 3.0
# How near to where it would best be the window is wanted, in frame widths.
_AIM_RATIO = 0.015
# Eyes may be this share of the window's height above or below its upper third.
_EYE_FREEDOM = 0.1


def composed(
    wanted: tuple[Floats, Floats],
    boxes: Floats,
    heads: Floats,
    leads: NDArray[np.bool_],
    sizes: Floats,
    clock_sec: Floats,
    shots: Sequence[Shot],
    frame_size: tuple[int, int],
) -> tuple[Floats, Floats]:
    """Narrows the bands of wanted centres (n, 2): low and high, never beyond themselves, so the padding stays.

    Along x the window is ahead of who moves on (lead room), on frames of `leads` (n,): a group has no front. Along y
    the eyes, in the middle of `heads` (n, 4), are near the upper third where the window has the height for it
    (headroom). Both as far as the picture goes.
    """
    low, high = (side.copy() for side in wanted)
    for start, stop in shots:
        part = slice(start, stop)
        forwards = leads[part] * _pace(boxes[part], leads[part], clock_sec[part], frame_size[0])
        middle = (boxes[part, 0] + boxes[part, 2]) / 2
        limits = sizes[part, 0] / 2, frame_size[0] - sizes[part, 0] / 2
        ahead = middle + np.sign(forwards) * _LEAD_RATIO * sizes[part, 0]
        aim = np.clip(np.clip(ahead, *limits), low[part, 0], high[part, 0])
        low[part, 0] += np.maximum(forwards, 0.0) * (aim - low[part, 0])
        high[part, 0] -= np.maximum(-forwards, 0.0) * (high[part, 0] - aim)
    thirds = (heads[:, 1] + heads[:, 3]) / 2 + sizes[:, 1] / 6
    reachable = np.clip(thirds, sizes[:, 1] / 2, frame_size[1] - sizes[:, 1] / 2)
    aim = np.clip(reachable, low[:, 1], high[:, 1])
    freedom = _EYE_FREEDOM * sizes[:, 1]
    return (
        np.stack([low[:, 0], np.maximum(low[:, 1], aim - freedom)], axis=1),
        np.stack([high[:, 0], np.minimum(high[:, 1], aim + freedom)], axis=1),
    )


def aimed(
    wanted: tuple[Floats, Floats], aims: Floats, held: tuple[Floats, Floats], frame_size: tuple[int, int]
) -> tuple[Floats, Floats]:
    """The wanted bands, but around `aims` (n, 2) where those are known, as near as the bands that are `held` allow: who
    found the aim has weighed the padding already."""
    aim, near = np.clip(aims, *held), _AIM_RATIO * frame_size[0]
    known = np.isfinite(aim)
    low, high = np.maximum(held[0], aim - near), np.minimum(held[1], aim + near)
    return np.where(known, low, wanted[0]), np.where(known, high, wanted[1])


def _pace(boxes: Floats, leads: NDArray[np.bool_], clock_sec: Floats, frame_width: int) -> Floats:
    """From -1, going left fast, over 0, standing, to 1 (n,): what the middle of the box does over a second and a
    half before and after."""
    known = np.isfinite(boxes[:, 0]) & leads
    if known.sum() < 2 or clock_sec[-1] - clock_sec[0] < _SPEED_SEC:
        return np.zeros(len(boxes))
    middle = (boxes[known, 0] + boxes[known, 2]) / 2 / frame_width
    grid = np.arange(clock_sec[0], clock_sec[-1] + _GRID_SEC, _GRID_SEC)
    places = np.interp(grid, clock_sec[known], middle)
    half = round(_SPEED_SEC / 2 / _GRID_SEC)
    around = np.pad(places, half, mode="reflect", reflect_type="odd")
    # Both before and after, or the window would set out before them and settle after them.
    before, after = (around[half:-half] - around[: -2 * half], around[2 * half :] - around[half:-half])
    speed = np.where(before * after > 0, np.minimum(np.abs(before), np.abs(after)), 0.0) / (half * _GRID_SEC)
    share = np.clip((speed - _SLOW) / (_FAST - _SLOW), 0.0, 1.0) * np.sign(before)
    return np.asarray(np.interp(clock_sec, grid, share))

"""Finds hard cuts while frames are decoded anyway: no second pass, exact to the frame.

A cut is a change of the picture that is large, and large beside the changes around it (after PySceneDetect's
AdaptiveDetector): a pan changes every frame alike and is none.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

# Mean change of brightness (8 bit) over the picture, and how many times the change around it that must be.
MIN_CHANGE = 12.0
MIN_RATIO = 3.0
NEIGHBOURS = 2  # on each side
_GRID = (36, 64)  # rows, columns that are looked at
_FLOOR = 1.0  # noise of a still picture


class CutDetector:
    """Feed it every frame in order. A cut is named by the PTS of the first frame of the new shot.

    A chunk begins with `has_start=False`: its first frames have too few neighbours to judge, and the worker before it,
    who runs on past its own end, has judged them. What two neighbouring workers find together is therefore what one
    pass finds.
    """

    def __init__(self, *, has_start: bool) -> None:
        self.cuts_pts: list[int] = []
        self._last: NDArray[np.int16] | None = None
        self._changes: deque[tuple[int, float]] = deque(maxlen=2 * NEIGHBOURS + 1)
        self._unjudged = 0 if has_start else NEIGHBOURS
        self._fed = 0

    def feed(self, frame: VideoFrame) -> None:
        look = _look(frame)
        if self._last is not None and frame.pts is not None:
            change = float(np.abs(look - self._last).mean()) if look.shape == self._last.shape else 255.0
            self._changes.append((frame.pts, change))
            self._fed += 1
            if self._fed > NEIGHBOURS:
                self._judge(len(self._changes) - 1 - NEIGHBOURS)
        self._last = look

    def finish(self) -> list[int]:
        """At the stream's end: the last frames are judged by what neighbours they have. Returns every cut's PTS."""
        for position in range(max(0, len(self._changes) - NEIGHBOURS), len(self._changes)):
            self._judge(position)
        return self.cuts_pts

    def _judge(self, position: int) -> None:
        if self._unjudged:
            self._unjudged -= 1
            return
        pts, change = self._changes[position]
        near = range(max(0, position - NEIGHBOURS), min(len(self._changes), position + NEIGHBOURS + 1))
        around = [self._changes[other][1] for other in near if other != position]
        mean = sum(around) / len(around) if around else 0.0
        if change >= MIN_CHANGE and change >= MIN_RATIO * max(mean, _FLOOR):
            self.cuts_pts.append(pts)


def _look(frame: VideoFrame) -> NDArray[np.int16]:
    """A coarse grid of the picture's brightness, in 8-bit steps."""
    component = frame.format.components[0]
    wide = component.bits > 8
    part = frame.planes[0]
    samples = np.frombuffer(memoryview(part), np.uint16 if wide else np.uint8)
    picture = samples.reshape(part.height, -1)
    rows, columns = max(1, frame.height // _GRID[0]), max(1, frame.width // _GRID[1])
    grid = picture[: frame.height : rows, : frame.width : columns]
    return np.asarray(grid // 2 ** (component.bits - 8), np.int16)

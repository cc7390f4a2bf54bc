"""Small upright pictures of chosen frames, taken while the film goes by: no reads, seeks or decoding of their own.
Child process only.
"""

from __future__ import annotations

import mmap
from typing import Annotated, TypeAlias

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from backend.media.samples import Pictures
from backend.media.shape import CodedShape

MAX_STILLS = 64
MAX_SIDE_PX = 1024
Pictures8: TypeAlias = NDArray[np.uint8]


class StillOrder(BaseModel):
    """Which frames, by PTS, and the size of their upright pictures."""

    model_config = ConfigDict(extra="forbid")

    pts: list[int] = Field(max_length=MAX_STILLS)
    width: Annotated[int, Field(gt=0, le=MAX_SIDE_PX)]
    height: Annotated[int, Field(gt=0, le=MAX_SIDE_PX)]

    def within(self, start_pts: int, end_pts: int | None) -> StillOrder:
        """Those of the frames from `start_pts` on and before `end_pts`, if there is one."""
        pts = [when for when in self.pts if when >= start_pts and (end_pts is None or when < end_pts)]
        return self.model_copy(update={"pts": pts})

    def pictures_in(self, memory: mmap.mmap | None) -> Pictures8:
        """Room for all of them, (stills, height, width, 3), in `memory` where there is one."""
        sides = (len(self.pts), self.height, self.width, 3)
        if memory is None:
            return np.zeros(sides, np.uint8)
        return np.frombuffer(memory, np.uint8, int(np.prod(sides))).reshape(sides)


class Stills:
    """Puts the picture of the n-th ordered frame, BGR, into the n-th place of `pictures`."""

    def __init__(self, order: StillOrder, shape: CodedShape, pictures: Pictures8) -> None:
        self.pictures = pictures
        self.taken_pts: list[int] = []
        self._places = {pts: number for number, pts in enumerate(order.pts)}
        self._scaled = Pictures((order.width, order.height), shape)

    def look_at(self, frame: VideoFrame) -> None:
        place = None if frame.pts is None else self._places.get(frame.pts)
        if place is not None and frame.pts is not None:
            self.pictures[place] = self._scaled.of(frame)
            self.taken_pts.append(frame.pts)

"""Small upright pictures of chosen frames, taken while the film goes by: no reads, seeks or decoding of their own.
Child process only.
"""

from __future__ import annotations

import mmap
from typing import Annotated

import numpy as np
from av.video.frame import VideoFrame
from pydantic import BaseModel, ConfigDict, Field

from backend.media.samples import Pictures
from backend.media.shape import CodedShape

MAX_STILLS = 64
MAX_SIDE_PX = 1024


class StillOrder(BaseModel):
    """Which frames, by PTS, and the size of their upright pictures."""

    model_config = ConfigDict(extra="forbid")

    pts: list[int] = Field(max_length=MAX_STILLS)
    width: Annotated[int, Field(gt=0, le=MAX_SIDE_PX)]
    height: Annotated[int, Field(gt=0, le=MAX_SIDE_PX)]


class Stills:
    """Puts the picture of the n-th ordered frame, BGR, into the n-th place of `memory`, one after another."""

    def __init__(self, order: StillOrder, shape: CodedShape, memory: mmap.mmap) -> None:
        self._places = {pts: number for number, pts in enumerate(order.pts)}
        self._pictures = Pictures((order.width, order.height), shape)
        sides = (len(order.pts), order.height, order.width, 3)
        self._memory = np.frombuffer(memory, np.uint8, int(np.prod(sides))).reshape(sides)
        self.taken = 0

    def look_at(self, frame: VideoFrame) -> None:
        place = None if frame.pts is None else self._places.get(frame.pts)
        if place is not None:
            self._memory[place] = self._pictures.of(frame)
            self.taken += 1

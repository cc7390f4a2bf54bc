"""Small upright pictures of chosen frames, taken while the film goes by, or of a film that nobody renders. Child
process only."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Annotated, TypeAlias

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from backend.media.decode import FrameReader
from backend.media.samples import Pictures
from backend.media.shape import CodedShape, PictureOrder
from backend.media.shown import shown

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


class TakeOrder(PictureOrder):
    """Stills of a film that is not rendered."""

    stills: StillOrder


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


def take_stills(
    container: InputContainer,
    stream: VideoStream,
    order: TakeOrder,
    report: Callable[[int], None],
    memory: mmap.mmap | None,
) -> dict[str, list[int]]:
    """The ordered frames of the source, each after a seek where frames can be found by one. Returns which of them were
    there; `report` gets their number as it grows."""
    stills = Stills(order.stills, order.coded_shape, order.stills.pictures_in(memory))
    reader = FrameReader(container, stream, clock=order.clock)
    wanted = sorted(set(order.stills.pts))
    for frame in _found(reader, wanted, reads_on=order.clock != "pts"):
        stills.look_at(frame)
        report(len(stills.taken_pts))
    return {"taken_pts": stills.taken_pts}


def _found(reader: FrameReader, wanted: list[int], *, reads_on: bool) -> Iterator[VideoFrame]:
    if reads_on:
        left = set(wanted)
        for frame in shown(reader.frames()):
            if frame.pts in left:
                left.discard(frame.pts)
                yield frame
            if not left:
                return
        return
    for pts in wanted:
        first = next(shown(reader.frames_from(pts)), None)
        if first is not None and first.pts == pts:
            yield first

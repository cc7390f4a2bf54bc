"""Joins the small films of chunks to one: copies their packets and lays them on the film's clock. Who made them may be
anybody's machine, so what does not look like a preview of ours is left out, and leaves a gap. Child process only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from typing import Self, TypeAlias

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend.media.facts import PREVIEW_PX, PREVIEW_TICKS
from backend.media.film import writing_pictures

REPORT_EVERY_PACKETS = 1000
CLOCK = Fraction(1, PREVIEW_TICKS)
REFUSED = "The previews cannot be written into one film."
Timed: TypeAlias = "tuple[int, Packet[VideoStream]]"
UNREADABLE = (av.error.FFmpegError, ValueError, EOFError, IndexError)


class PreviewRef(BaseModel):
    """A chunk's film, and when its first picture is shown, counted from the whole film's first frame."""

    model_config = ConfigDict(extra="forbid")

    file: str
    start_ticks: int = Field(ge=0, lt=2**53)


class PreviewsOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    previews: list[PreviewRef] = Field(min_length=1)
    output_file: str

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(one.start_ticks >= other.start_ticks for one, other in pairwise(self.previews)):
            raise ValueError("previews are not in the order of the film")
        return self


def join_previews(order: PreviewsOrder, report: Callable[[int], None]) -> dict[str, list[int]]:
    """Writes `order.output_file`. Returns the places of those that are in it; `report` gets the pictures done."""
    joined = _Joined(order.output_file, report)
    ends = [preview.start_ticks for preview in order.previews[1:]]
    taken = [
        place
        for place, (preview, end_ticks) in enumerate(zip(order.previews, [*ends, None], strict=True))
        if joined.takes(preview, end_ticks)
    ]
    joined.finish()
    return {"taken": taken}


class _Joined:
    def __init__(self, output_file: str, report: Callable[[int], None]) -> None:
        self._output: OutputContainer = av.open(
            output_file, "w", format="mp4", options={"movflags": "+faststart", "movie_timescale": str(PREVIEW_TICKS)}
        )
        self._video: VideoStream | None = None
        self._parameters: tuple[int, int, bytes] | None = None
        self._last_ticks = -1
        self._done = 0
        self._report = report

    def takes(self, preview: PreviewRef, end_ticks: int | None) -> bool:
        """Whether anything of it is in the film; nothing of it comes at or after `end_ticks`."""
        try:
            with _opened(preview.file) as (container, stream):
                if not self._fits(stream):
                    return False
                return self._copied(_packets(container, stream), preview, end_ticks)
        except UNREADABLE:
            return False

    def finish(self) -> None:
        with writing_pictures(REFUSED):
            self._output.close()

    def _fits(self, stream: VideoStream) -> bool:
        """The first one that is like ours decides what the others have to be."""
        context = stream.codec_context
        if context.name != "h264" or max(context.width, context.height) > PREVIEW_PX or not context.extradata:
            return False
        parameters = (context.width, context.height, bytes(context.extradata))
        if self._video is None:
            with writing_pictures(REFUSED):
                self._video = self._output.add_stream_from_template(stream, opaque=True)
                self._video.time_base = CLOCK
                self._output.start_encoding()
            self._parameters = parameters
        return parameters == self._parameters

    def _copied(self, packets: Iterator[Timed], preview: PreviewRef, end_ticks: int | None) -> bool:
        assert self._video is not None  # it fits
        is_any = False
        for ticks, packet in packets:
            at = preview.start_ticks + ticks
            begins = is_any or packet.is_keyframe
            if not begins or at <= self._last_ticks or (end_ticks is not None and at >= end_ticks):
                break
            packet.stream, packet.time_base = self._video, CLOCK
            packet.pts = packet.dts = self._last_ticks = at
            with writing_pictures(REFUSED):
                self._output.mux(packet)
            is_any = True
            self._done += 1
            if self._done % REPORT_EVERY_PACKETS == 0:
                self._report(self._done)
        return is_any


@contextmanager
def _opened(file: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    with av.open(file, "r", format="mp4") as container:
        stream = container.streams.video[0]
        if stream.time_base is None or len(container.streams) != 1:
            raise ValueError("not one stream of pictures")
        yield container, stream


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Timed]:
    """With their times on our clock; up to the first that is shown at another time than it is decoded."""
    for packet in container.demux(stream):
        if packet.size and packet.pts is not None and packet.pts == packet.dts and packet.pts >= 0:
            assert stream.time_base is not None
            packet.duration = round((packet.duration or 0) * stream.time_base / CLOCK)
            yield round(packet.pts * stream.time_base / CLOCK), packet
        elif packet.size:
            return

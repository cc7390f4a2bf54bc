"""Whole pictures from interlaced ones: one for each frame, at that frame's own time. Child process only.

The filter is bwdif (Bob Weaver: the w3fdif and yadif interpolators joined, as the BBC describes the first in WHP 270),
from libavfilter. It looks one frame ahead, so it lags by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av.error
from av.filter import Graph
from av.video.frame import VideoFrame

from backend.errors import MediaUndecodable

_THREADS = 2


def deinterlaced(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """As many frames as come in, with their PTS. Progressive films pass untouched and at no cost.

    The first frame that is flagged interlaced starts the filter, which passes later progressive ones as they are; a
    new size starts it afresh. Raises MediaUndecodable when the filter gives another number of frames than it got.
    """
    weaver: _Weaver | None = None
    for frame in frames:
        if weaver is not None and weaver.shape != _shape(frame):
            yield from weaver.finish()
            weaver = None
        if weaver is None and not frame.interlaced_frame:
            yield frame
            continue
        weaver = weaver or _Weaver(frame)
        yield from weaver.push(frame)
    if weaver is not None:
        yield from weaver.finish()


class _Weaver:
    """One bwdif over frames of one size and format."""

    def __init__(self, frame: VideoFrame) -> None:
        self.shape = _shape(frame)
        self._waiting: deque[tuple[int | None, int, Fraction | None, object]] = deque()
        self._graph = Graph()
        self._graph.threads = _THREADS
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        bwdif = self._graph.add("bwdif", mode="send_frame", parity="auto", deint="interlaced")
        self._graph.link_nodes(source, bwdif, self._graph.add("buffersink")).configure()

    def push(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        self._waiting.append((frame.pts, frame.duration, frame.time_base, frame.opaque))
        self._graph.vpush(frame)
        yield from self._pull()

    def finish(self) -> Iterator[VideoFrame]:
        self._graph.vpush(None)
        yield from self._pull()
        if self._waiting:
            raise MediaUndecodable("The deinterlacer lost a frame.")

    def _pull(self) -> Iterator[VideoFrame]:
        while True:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if not self._waiting:
                raise MediaUndecodable("The deinterlacer made a frame of its own.")
            # Frames leave in the order in which they came; bwdif counts time in half ticks.
            frame.pts, frame.duration, frame.time_base, frame.opaque = self._waiting.popleft()
            yield frame


def _shape(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name

"""The small film of a chunk's samples, for people to look at before the whole is done. Encoded by the chunk's worker,
from pictures that it has in memory anyway; nothing is parsed here.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from backend.media.facts import PREVIEW_TICKS, preview_size

CLOCK = Fraction(1, PREVIEW_TICKS)
# No picture refers to a later one: they are decoded in the order in which they are shown. The rate is bounded, so that
# water and leaves do not make megabytes of a chunk.
OPTIONS = {"preset": "superfast", "crf": "30", "bf": "0", "forced-idr": "1", "maxrate": "400k", "bufsize": "800k"}
BT601, BT709 = 6, 1  # of ITU-T H.273; OpenCV converts with BT.601's matrix


class PreviewFilm:
    """H.264 in an MP4 whose time 0 is the first picture, with a keyframe in every second. Pictures are encoded as they
    come. Raises FFmpegError, ValueError, OSError."""

    def __init__(self, file: Path, size: tuple[int, int], time_base: Fraction, fps: float) -> None:
        """`size`: of the pictures that come; `time_base`: of their times; `fps`: about how many a second."""
        self._size = preview_size(*size)
        self._time_base = time_base
        self._container = av.open(str(file), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._begun(fps)
        self._first_pts: int | None = None
        self._ticks = self._keyframe_ticks = -1
        self._held: Packet[VideoStream] | None = None  # until it is known for how long it is shown
        self._shown_ticks = round(PREVIEW_TICKS / fps)

    @property
    def is_empty(self) -> bool:
        return self._first_pts is None

    def add(self, pts: int, picture: NDArray[np.uint8]) -> None:
        """BGR, (height, width, 3)."""
        if self._first_pts is None:
            self._first_pts = pts
        ticks = max(self._ticks + 1, round((pts - self._first_pts) * self._time_base / CLOCK))
        frame = self._planar(picture)
        frame.pts, frame.time_base = ticks, CLOCK
        step_ticks = ticks - self._ticks
        if self._keyframe_ticks < 0 or ticks + step_ticks - self._keyframe_ticks > PREVIEW_TICKS:
            frame.pict_type, self._keyframe_ticks = PictureType.I, ticks
        self._ticks = ticks
        for packet in self._stream.encode(frame):
            self._write(packet)

    def finish(self) -> None:
        """The file is whole afterwards. The last picture is shown for as long as the one before it."""
        for packet in self._stream.encode(None):
            self._write(packet)
        if self._held is not None:
            self._held.duration = self._shown_ticks
            self._container.mux(self._held)
        self._container.close()

    def _begun(self, fps: float) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=max(1, round(fps)), options=OPTIONS)
        assert isinstance(stream, VideoStream)  # a video encoder's
        context = stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt = "yuv420p"
        context.thread_count = 1  # the other cores decode and detect
        context.colorspace, context.color_primaries, context.color_trc = BT601, BT709, BT709
        context.time_base = stream.time_base = CLOCK
        return stream

    def _planar(self, picture: NDArray[np.uint8]) -> VideoFrame:
        small = cv2.resize(picture, self._size, interpolation=cv2.INTER_LINEAR)
        planes = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2YUV_I420), np.uint8)
        return VideoFrame.from_ndarray(planes, "yuv420p")

    def _write(self, packet: Packet[VideoStream]) -> None:
        if self._held is not None and self._held.pts is not None and packet.pts is not None:
            self._held.duration = self._shown_ticks = packet.pts - self._held.pts
            self._container.mux(self._held)
        self._held = packet

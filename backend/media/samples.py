"""Decodes one chunk and hands its sampled frames, scaled and upright, to the parent. Child process only."""

from __future__ import annotations

import mmap
import socket
from typing import Any

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from pydantic import BaseModel, ConfigDict

from backend.media import wire
from backend.media.colour import tags_of
from backend.media.cuts import CutDetector
from backend.media.decode import FrameReader
from backend.media.deinterlace import deinterlaced
from backend.media.look import Look, look_of
from backend.media.timebase import SampleGrid

# Long gaps between samples still report, so that the parent sees a living process.
REPORT_EVERY_FRAMES = 200


class SampleOrder(BaseModel):
    """Which frames of which interval. None as a bound means: from the first frame, to the last one."""

    model_config = ConfigDict(extra="forbid")

    start_pts: int | None
    end_pts: int | None
    overlap_samples: int
    sample_fps: float
    origin_pts: int
    width: int  # of the picture in the slot: upright, pixels
    height: int
    rotation: int
    max_pixels: int
    threads: int


class SlotSink:
    """Writes pictures into free slots of the ring, in order; waits while the parent still reads all of them."""

    def __init__(self, messages_sock: socket.socket, ring: mmap.mmap, slots: int, slot_bytes: int) -> None:
        self._sock = messages_sock
        self._ring = ring
        self._slots = slots
        self._slot_bytes = slot_bytes
        self._written = 0
        self._freed = 0

    def write(self, picture: np.ndarray, pts: int, frame_pts: list[int]) -> None:
        while self._written - self._freed >= self._slots:
            self._freed += len(wire.receive_exactly(self._sock, 1))
        slot = self._written % self._slots
        flat = np.ascontiguousarray(picture).reshape(-1)
        np.frombuffer(self._ring, np.uint8, flat.size, slot * self._slot_bytes)[:] = flat
        self._written += 1
        wire.send_message(self._sock, {"slot": slot, "pts": pts, "frame_pts": frame_pts})

    def report(self, frame_pts: list[int]) -> None:
        wire.send_message(self._sock, {"frame_pts": frame_pts})


def stream_samples(
    container: InputContainer, stream: VideoStream, order: SampleOrder, sink: SlotSink
) -> dict[str, Any]:
    """Sends every frame's PTS of the interval and the picture of each sampled one, then `overlap_samples` more
    pictures from past its end. Returns how many packets were broken and frames dropped, where cuts are, and whether
    a frame past the interval was there."""
    reader = FrameReader(container, stream)
    cuts = CutDetector(has_start=order.start_pts is None)
    grid = SampleGrid(order.origin_pts, reader.time_base, order.sample_fps)
    pictures = Pictures((order.width, order.height), order.rotation)
    pending: list[int] = []
    overlap_left = order.overlap_samples
    first = True
    past_end = False
    for frame in deinterlaced(reader.frames_from(order.start_pts)):
        assert frame.pts is not None  # FrameReader drops frames without one
        cuts.feed(frame)
        crosses = not past_end and order.end_pts is not None and frame.pts >= order.end_pts
        past_end = past_end or crosses
        if not past_end:
            pending.append(frame.pts)
        if grid.takes(frame.pts, boundary=first or crosses):
            if past_end and overlap_left == 0:
                break
            overlap_left -= past_end
            sink.write(pictures.of(frame), frame.pts, pending)
            pending = []
        elif len(pending) >= REPORT_EVERY_FRAMES:
            sink.report(pending)
            pending = []
        first = False
    sink.report(pending)
    return {
        "broken_packets": reader.broken_packets,
        "dropped_frames": reader.dropped_frames,
        "cuts_pts": cuts.finish() if order.end_pts is None else cuts.cuts_pts,
        "saw_later_frame": past_end,
    }


class Pictures:
    """Upright BGR pictures, (height, width, 3) uint8, of the given width and height."""

    def __init__(self, size: tuple[int, int], rotation: int) -> None:
        turned = rotation in (90, -90)
        self._size = (size[1], size[0]) if turned else size
        self._turns = rotation // 90
        self._look: Look | None = None

    def of(self, frame: VideoFrame) -> np.ndarray:
        scaled = self._shown(frame) if tags_of(frame).is_wide else frame
        width, height = self._size
        picture = scaled.reformat(width, height, "bgr24", interpolation="AREA", threads=1).to_ndarray()
        return np.rot90(picture, self._turns) if self._turns else picture

    def _shown(self, frame: VideoFrame) -> VideoFrame:
        """HDR as a viewer of SDR sees it: detectors never learned the grey that PQ looks like by itself."""
        self._look = self._look or look_of(frame, keep_hdr=False)
        even = tuple(-(-side // 2) * 2 for side in self._size)
        small, tags = self._look.planar(frame, (even[0], even[1]))
        return self._look.finished(small, tags)

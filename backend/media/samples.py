"""Decodes one chunk and hands its sampled frames, scaled and upright, to the parent. Child process only."""

from __future__ import annotations

import mmap
import socket
from typing import Any

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from backend.media import wire
from backend.media.colour import tags_of
from backend.media.cuts import CutDetector
from backend.media.decode import FrameReader
from backend.media.look import Look, appearance_of, look_of
from backend.media.shape import CodedShape, PictureOrder
from backend.media.shown import shown
from backend.media.timebase import SampleGrid

# Long gaps between samples still report, so that the parent sees a living process.
REPORT_EVERY_FRAMES = 200


class SampleOrder(PictureOrder):
    """Which frames of which interval. None as a bound means: from the first frame, to the last one."""

    start_pts: int | None
    end_pts: int | None
    overlap_samples: int
    sample_fps: float
    origin_pts: int
    width: int  # of the picture in the slot: upright, pixels
    height: int


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
    pictures from past its end. Returns how many packets were broken and frames dropped, and where cuts are."""
    reader = FrameReader(container, stream, clock=order.clock, in_hardware=order.in_hardware)
    cuts = CutDetector(has_start=order.start_pts is None)
    grid = SampleGrid(order.origin_pts, reader.time_base, order.sample_fps)
    pictures = Pictures((order.width, order.height), order.coded_shape)
    pending: list[int] = []
    overlap_left = order.overlap_samples
    first = True
    past_end = False
    for frame in shown(reader.frames_from(order.start_pts)):
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
    }


class Pictures:
    """Upright BGR pictures, (height, width, 3) uint8, of the given width and height."""

    def __init__(self, size: tuple[int, int], shape: CodedShape) -> None:
        turned = shape.rotation in (90, -90)
        self._size = (size[1], size[0]) if turned else size
        self._shape = shape
        self._look: Look | None = None

    def of(self, frame: VideoFrame) -> np.ndarray:
        area = self._shape.area_of(frame, self._size)
        picture = self._scaled(frame, area.size if area else self._size)
        if area is not None:
            whole = np.zeros((self._size[1], self._size[0], 3), np.uint8)
            whole[area.y : area.y + area.size[1], area.x : area.x + area.size[0]] = picture
            picture = whole
        if self._shape.mirrored:
            picture = picture[:, ::-1]
        turns = self._shape.rotation // 90
        return np.rot90(picture, turns) if turns else picture

    def _scaled(self, frame: VideoFrame, size: tuple[int, int]) -> np.ndarray:
        plain = self._plain(frame, size) if tags_of(frame).is_wide else frame
        return plain.reformat(*size, "bgr24", interpolation="AREA", threads=1).to_ndarray()

    def _plain(self, frame: VideoFrame, size: tuple[int, int]) -> VideoFrame:
        """HDR as a viewer of SDR sees it: detectors never learned the grey that PQ looks like by itself."""
        self._look = self._look or look_of(appearance_of(frame), keep_hdr=False)
        small, tags = self._look.planar(frame, (-(-size[0] // 2) * 2, -(-size[1] // 2) * 2))
        return self._look.finished(small, tags)

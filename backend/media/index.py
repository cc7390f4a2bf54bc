"""Which frames a video holds, by PTS, without anything being done to them: told by its packets where they can be
believed, else by decoding. Child process only."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, BinaryIO

import av.error
from av.container import InputContainer
from av.video.stream import VideoStream
from pydantic import BaseModel, ConfigDict

from backend.media.decode import FrameReader, container_named, open_container, open_video
from backend.media.facts import Clock
from backend.media.scan import thinned
from backend.media.shown import shown

# Where a packet is a picture that is shown. VP8 has pictures that are never shown in packets of their own, MPEG-4 in
# AVI holds two in one or none, and MPEG-2's may be fields.
ONE_FRAME_A_PACKET = frozenset({"h264", "hevc", "av1", "vp9", "prores", "mjpeg"})
CONTAINERS = ("mov", "matroska", "mpegts")
SENT_AT_ONCE = 2000
MIN_KEYFRAME_GAP_SEC = 0.5
MAX_KEYFRAMES = 100_000


class IndexOrder(BaseModel):
    """`decode`: packets are not believed in any case."""

    model_config = ConfigDict(extra="forbid")

    clock: Clock
    is_interlaced: bool
    decode: bool
    max_pixels: int
    threads: int


def index(source: BinaryIO, order: IndexOrder, send: Callable[[list[int]], None]) -> dict[str, Any]:
    """Sends the PTS of all frames that will be decoded, rising, a few at a time. Returns some keyframes, and whether
    packets told: then damage, which only a decoder meets, can have made it fewer.

    Raises MediaUndecodable.
    """
    if not (order.decode or order.is_interlaced) and order.clock == "pts":
        with _opened(source, order) as container:
            stream = open_video(container, max_pixels=order.max_pixels, threads=order.threads)
            found = _by_packets(container, stream)
            if found is not None:
                pts, keyframe_pts = found
                for start in range(0, len(pts), SENT_AT_ONCE):
                    send(pts[start : start + SENT_AT_ONCE])
                return _result(stream, keyframe_pts, by_packets=True)
    with _opened(source, order) as container:
        stream = open_video(container, max_pixels=order.max_pixels, threads=order.threads)
        return _result(stream, _by_frames(FrameReader(container, stream, clock=order.clock), send), by_packets=False)


def _opened(source: BinaryIO, order: IndexOrder) -> InputContainer:
    source.seek(0)
    return open_container(source)


def _by_packets(container: InputContainer, stream: VideoStream) -> tuple[list[int], list[int]] | None:
    """PTS of all that is shown, and of keyframes; None where packets do not say, or contradict themselves."""
    if not container_named(container, *CONTAINERS) or stream.codec_context.name not in ONE_FRAME_A_PACKET:
        return None
    shown_pts: list[int] = []
    keyframe_pts: list[int] = []
    first_pts: int | None = None
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or packet.is_corrupt or (first_pts is None and not packet.is_keyframe):
                return None
            first_pts = packet.pts if first_pts is None else first_pts
            if packet.is_discard:  # before an edit list's start: decoded for what follows, and not shown
                continue
            shown_pts.append(packet.pts)
            if packet.is_keyframe:
                keyframe_pts.append(packet.pts)
    except av.error.FFmpegError:
        return None
    shown_pts.sort()
    # Pictures before the first keyframe refer to what is not there. Two at one time are fields, or a broken clock.
    if first_pts is None or not shown_pts or shown_pts[0] < first_pts or any(a == b for a, b in pairwise(shown_pts)):
        return None
    return shown_pts, keyframe_pts


def _by_frames(reader: FrameReader, send: Callable[[list[int]], None]) -> list[int]:
    pending: list[int] = []
    keyframe_pts: list[int] = []
    for frame in shown(reader.frames()):
        assert frame.pts is not None  # the reader gives no other
        pending.append(frame.pts)
        if frame.key_frame:
            keyframe_pts.append(frame.pts)
        if len(pending) >= SENT_AT_ONCE // 10:  # decoding takes its time: whoever waits sees that it goes on
            send(pending)
            pending = []
    send(pending)
    return keyframe_pts


def _result(stream: VideoStream, keyframe_pts: list[int], *, by_packets: bool) -> dict[str, Any]:
    assert stream.time_base is not None  # open_video chose a stream that has one
    kept = thinned(keyframe_pts, stream.time_base, MIN_KEYFRAME_GAP_SEC, MAX_KEYFRAMES)
    return {"keyframe_pts": kept, "by_packets": by_packets}

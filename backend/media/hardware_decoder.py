"""Decoding on the GPU, with frames that are the CPU's own. Child process only.

A decoder in hardware is believed after it was compared: the first frames after every seek are decoded on the CPU too,
and have to be the same in every sample, time and tag. H.264 and HEVC say exactly what a decoder's output is, but only
for sound streams: what is broken, each decoder patches in its own way. So whatever does not fit, or breaks, at any
time, ends the work with HardwareDecoderUnfit, and it is done again on the CPU. No two workers see different frames.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import av
import av.error
import numpy as np
import numpy.random  # numpy itself loads it when it is first asked for: see jail/
from av.codec.hwaccel import HWAccel
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from backend.errors import HardwareDecoderUnfit
from backend.media.encoder_names import NVDEC, X264
from backend.media.facts import DECODED_IN_HARDWARE

DEVICE = "cuda"
PLAIN = "yuv420p"
COMPARED_FRAMES = 12
_TRIED_FRAMES = 2 * COMPARED_FRAMES

Make = Callable[[VideoCodecContext], VideoCodecContext]


def on_device(own: VideoCodecContext) -> VideoCodecContext:
    """A decoder for the same stream on the GPU. Raises HardwareDecoderUnfit where there is none for it."""
    if own.name not in DECODED_IN_HARDWARE or own.pix_fmt != PLAIN:
        raise HardwareDecoderUnfit(f"{own.name} in {own.pix_fmt} is decoded on the CPU.")
    try:
        device = HWAccel(DEVICE, allow_software_fallback=False)
        decoder = av.CodecContext.create(own.name, "r", hwaccel=device)
    except (av.error.FFmpegError, ValueError, NotImplementedError, RuntimeError) as error:
        raise HardwareDecoderUnfit(f"The GPU's decoder cannot be had: {error}") from error
    assert isinstance(decoder, VideoCodecContext)
    return decoder


class CheckedDecoder:
    """Takes the place of a stream's decoder: gives the frames of the one in hardware, the first ones once they were
    compared with those of the stream's own."""

    def __init__(self, stream: VideoStream, make: Make = on_device) -> None:
        """Raises HardwareDecoderUnfit."""
        self._own = stream.codec_context
        self._hardware = make(self._own)
        self._hardware.extradata, self._hardware.options = self._own.extradata, self._own.options
        self._begin()

    @property
    def sample_aspect_ratio(self) -> Fraction | None:
        return self._hardware.sample_aspect_ratio

    def decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        """Those that are known to be right by now. Raises HardwareDecoderUnfit."""
        try:
            self._mine.extend(self._plain(frame, packet) for frame in self._hardware.decode(packet))
            if self._left > 0:
                self._expected.extend(self._own.decode(packet))
        except (av.error.FFmpegError, ValueError) as error:
            raise HardwareDecoderUnfit(f"Decoding on the GPU broke off: {error}") from error
        known = self._compared()
        if self._left == 0:  # from here on it is believed
            known += self._mine
            self._mine.clear()
        elif not packet.size and (self._mine or self._expected):  # the end: whatever has no partner never gets one
            raise HardwareDecoderUnfit("The GPU's decoder gives another number of frames.")
        return known

    def flush_buffers(self) -> None:
        """After a seek, which has done so for the stream's own decoder: all begins anew."""
        self._hardware.flush_buffers()
        self._begin()

    def _begin(self) -> None:
        self._left = COMPARED_FRAMES
        self._mine: deque[VideoFrame] = deque()
        self._expected: deque[VideoFrame] = deque()

    def _compared(self) -> list[VideoFrame]:
        same = []
        while self._mine and self._expected and self._left > 0:
            mine, expected = self._mine.popleft(), self._expected.popleft()
            if not _are_same(mine, expected):
                raise HardwareDecoderUnfit("The GPU's decoder gives other frames than the CPU's.")
            same.append(mine)
            self._left -= 1
        return same

    def _plain(self, frame: VideoFrame, packet: Packet[VideoStream]) -> VideoFrame:
        """In the CPU's layout, which moves samples and changes none; with the stream's clock and tags, which a frame
        loses on its way from the device."""
        plain = frame if frame.format.name == PLAIN else frame.reformat(format=PLAIN)
        tags = self._hardware
        plain.pts, plain.time_base = frame.pts, packet.time_base
        plain.color_primaries, plain.color_trc = tags.color_primaries, tags.color_trc
        plain.colorspace, plain.color_range = tags.colorspace, tags.color_range
        return plain


def working_decoders(size: tuple[int, int]) -> list[str]:
    """The names of those in hardware that decode a film of moving noise in this size as the CPU does."""
    with av.open(io.BytesIO(_noise(size)), "r") as container:
        stream = container.streams.video[0]
        try:
            decoder = CheckedDecoder(stream)
            frames = sum(len(decoder.decode(packet)) for packet in container.demux(stream))
        except HardwareDecoderUnfit:
            return []
    return [NVDEC] if frames == _TRIED_FRAMES else []


def _noise(size: tuple[int, int]) -> bytes:
    """With B-frames, as films have them."""
    file = io.BytesIO()
    picture = np.random.default_rng(1).integers(16, 235, (size[1] * 3 // 2, size[0]), np.uint8)
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(X264, rate=25, options={"preset": "ultrafast", "bf": "2", "crf": "35"})
        assert isinstance(stream, VideoStream)  # a video encoder's
        stream.width, stream.height, stream.pix_fmt = *size, PLAIN
        for number in range(_TRIED_FRAMES):
            frame = VideoFrame.from_ndarray(np.roll(picture, 4 * number, axis=1), format=PLAIN)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _are_same(mine: VideoFrame, expected: VideoFrame) -> bool:
    return (
        expected.format.name == PLAIN
        and not expected.interlaced_frame
        and (mine.pts, mine.time_base) == (expected.pts, expected.time_base)
        and (mine.width, mine.height) == (expected.width, expected.height)
        and _tags(mine) == _tags(expected)
        and bool(np.array_equal(mine.to_ndarray(), expected.to_ndarray()))
    )


def _tags(frame: VideoFrame) -> tuple[int, ...]:
    return frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range

"""Which encoder writes the picture, and its stream in the MP4. Child process only.

SDR: NVENC where it works, else libx264. HDR that is kept: libx265, Main 10, with the source's own tags.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import av
import av.error
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from backend.media.colour import SDR, Tags
from backend.media.hdr_metadata import light_level, mastering

_PROBE_FRAMES = 2
# The same names for the same trade: x264's presets beside NVENC's, quickest first.
_NVENC_PRESETS = {
    "ultrafast": "p1",
    "superfast": "p1",
    "veryfast": "p3",
    "faster": "p4",
    "fast": "p4",
    "medium": "p5",
    "slow": "p6",
    "slower": "p7",
}


@dataclass(frozen=True)
class Encoder:
    name: str
    options: dict[str, str]
    pix_fmt: str = "yuv420p"
    tags: Tags = field(default=SDR)

    def add_stream(
        self, output: OutputContainer, size: tuple[int, int], fps: Fraction, time_base: Fraction
    ) -> VideoStream:
        """A stream on the source's own clock, so that every frame keeps its time to the tick."""
        stream = output.add_stream(self.name, rate=fps, options=self.options)
        assert isinstance(stream, VideoStream)  # a video encoder's
        self._set_up(stream.codec_context, size)
        stream.codec_context.time_base = stream.time_base = time_base
        if self.name == "libx265":
            stream.codec_context.codec_tag = "hvc1"  # Apple's players refuse FFmpeg's own choice, hev1
        return stream

    def works(self, size: tuple[int, int]) -> bool:
        """Whether it takes frames of this size here and now; a driver, a card or a free session may be missing."""
        context = av.CodecContext.create(self.name, "w")
        assert isinstance(context, VideoCodecContext)
        self._set_up(context, size)
        context.time_base, context.framerate, context.options = Fraction(1, 25), Fraction(25), self.options
        try:
            for number in range(_PROBE_FRAMES):
                frame = VideoFrame(*size, self.pix_fmt)
                frame.pts = number
                context.encode(frame)
            context.encode(None)
        except (av.error.FFmpegError, ValueError):
            return False
        return True

    def _set_up(self, context: VideoCodecContext, size: tuple[int, int]) -> None:
        context.width, context.height = size
        context.pix_fmt = self.pix_fmt
        context.color_primaries, context.color_trc = self.tags.primaries, self.tags.transfer
        context.colorspace = self.tags.matrix
        context.color_range = ColorRange.JPEG if self.tags.full_range else ColorRange.MPEG


def sdr_encoder(size: tuple[int, int], crf: float, preset: str) -> Encoder:
    """NVENC when a frame of this size goes through it, else libx264."""
    nvenc = Encoder(
        "h264_nvenc", {"rc": "vbr", "cq": str(crf), "b": "0", "preset": _NVENC_PRESETS.get(preset, "p4"), "bf": "2"}
    )
    if nvenc.name in av.codecs_available and nvenc.works(size):
        return nvenc
    return Encoder("libx264", {"crf": str(crf), "preset": preset})


def hdr_encoder(crf: float, preset: str, tags: Tags, frame: VideoFrame) -> Encoder:
    """HEVC with the tags of `frame` and, when it has them, its HDR10 metadata (SMPTE ST 2086 and CTA-861.3)."""
    params = ["log-level=error", "repeat-headers=0", *_hdr10_params(frame)]
    options = {"crf": str(crf), "preset": preset, "x265-params": ":".join(params)}
    return Encoder("libx265", options, "yuv420p10le", tags)


def _hdr10_params(frame: VideoFrame) -> list[str]:
    params = []
    if display := mastering(frame):
        params.append(f"master-display={display.as_x265()}")
    if light := light_level(frame):
        params.append(f"max-cll={light[0]},{light[1]}")
    return params

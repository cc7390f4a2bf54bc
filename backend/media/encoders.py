"""Which encoder writes the picture, and its stream in the MP4. Child process only.

SDR: NVENC where it works, else libx264. HDR that is kept: libx265, Main 10, with the source's own tags. A film that is
rendered in pieces has its encoder named in the order: the pieces have to be of one make.

All three encode for a quality, not for a rate (CRF, and NVENC's CQ with no bit rate): what a frame gets does not depend
on how many bits those before it took, so pieces are alike.
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

from backend.errors import EncoderUnavailable
from backend.media.colour import SDR, Tags, tags_in
from backend.media.encoder_names import NVENC, X264, X265
from backend.media.facts import Appearance
from backend.media.hdr_metadata import as_x265

HEVC_TAG = "hvc1"  # Apple's players refuse FFmpeg's own choice, hev1
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
        if self.name == X265:
            stream.codec_context.codec_tag = HEVC_TAG
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
        context.thread_type = "FRAME"  # PyAV asks for slices, which takes x264 a quarter longer and costs bits
        context.color_primaries, context.color_trc = self.tags.primaries, self.tags.transfer
        context.colorspace = self.tags.matrix
        context.color_range = ColorRange.JPEG if self.tags.full_range else ColorRange.MPEG


def sdr_encoder(size: tuple[int, int], crf: float, preset: str, name: str | None) -> Encoder:
    """Without a name, NVENC when a frame of this size goes through it, else libx264. Raises EncoderUnavailable."""
    nvenc = Encoder(
        NVENC, {"rc": "vbr", "cq": str(crf), "b": "0", "preset": _NVENC_PRESETS.get(preset, "p4"), "bf": "2"}
    )
    x264 = Encoder(X264, {"crf": str(crf), "preset": preset})
    if name == X264 or (name is None and not _is_here(nvenc, size)):
        return x264
    if name not in (None, NVENC) or (name == NVENC and not _is_here(nvenc, size)):
        raise EncoderUnavailable(f"The encoder {name} does not work here: leave this piece to another worker.")
    return nvenc


def hdr_encoder(crf: float, preset: str, appearance: Appearance, name: str | None) -> Encoder:
    """HEVC with the film's own tags and, when it has them, its HDR10 metadata (SMPTE ST 2086 and CTA-861.3). Raises
    EncoderUnavailable."""
    if name not in (None, X265):
        raise EncoderUnavailable(f"The encoder {name} does not keep HDR: order {X265}.")
    # x265 would write its threads into the headers, which differ by machine; those of all pieces are to be the same.
    params = ["log-level=error", "repeat-headers=0", "info=0", *_hdr10_params(appearance)]
    options = {"crf": str(crf), "preset": preset, "x265-params": ":".join(params)}
    return Encoder(X265, options, "yuv420p10le", tags_in(appearance))


def working_encoders(size: tuple[int, int]) -> list[str]:
    """The names of those that take frames of this size on this machine."""
    shallow = [Encoder(name, {}) for name in (X264, NVENC)]
    return [encoder.name for encoder in (*shallow, Encoder(X265, {}, "yuv420p10le")) if _is_here(encoder, size)]


def _is_here(encoder: Encoder, size: tuple[int, int]) -> bool:
    return encoder.name in av.codecs_available and encoder.works(size)


def _hdr10_params(appearance: Appearance) -> list[str]:
    params = []
    if appearance.mastering:
        params.append(f"master-display={as_x265(appearance.mastering)}")
    if appearance.light_level:
        params.append(f"max-cll={appearance.light_level[0]},{appearance.light_level[1]}")
    return params

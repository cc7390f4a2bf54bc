"""What a probe learns of a video. Pure data: it crosses from the child process that parsed the bytes."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Size = Annotated[int, Field(gt=0, le=65_536)]
Ratio = Annotated[int, Field(gt=0, lt=2**31)]
Clock = Literal["pts", "dts", "jumps"]  # where frames have their times from: see decode.FrameReader
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
PQ, HLG, BT2020 = 16, 18, 9  # of ITU-T H.273: two curves, and primaries or a matrix
CodePoint = Annotated[int, Field(ge=0, le=255)]  # of ITU-T H.273
UInt32 = Annotated[int, Field(ge=0, lt=2**32)]
# Whose standards say of every sample what it is: a decoder in hardware can be the same as one in software.
DECODED_IN_HARDWARE = ("h264", "hevc")
POSTER_PX = 480  # the longer side of the picture that stands for a video, at most
PREVIEW_PX = 480  # of previews likewise
PREVIEW_TICKS = 90_000  # in a second of a preview's clock: frames of all common rates begin at whole ones
UInt16 = Annotated[int, Field(ge=0, lt=2**16)]


class Appearance(BaseModel):
    """What a film's first frame says of how the film is to look: see look.py. Whoever renders a later piece of the film
    has to be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    matrix: CodePoint
    full_range: bool
    transfer: CodePoint
    primaries: CodePoint
    deep: bool  # more than eight bits a sample
    interlaced: bool  # to show a frame, its neighbours are needed
    peak_nits: Annotated[float, Field(gt=0, le=10_000)]
    mastering: Annotated[tuple[UInt32, ...], Field(min_length=10, max_length=10)] | None = None  # see hdr_metadata.py
    light_level: tuple[UInt16, UInt16] | None = None  # MaxCLL and MaxFALL in cd/m²

    @property
    def is_wide(self) -> bool:
        """BT.2020 primaries, or a curve that only comes with them: HDR."""
        return self.transfer in (PQ, HLG) or self.primaries == BT2020

    @property
    def exceeds_sdr(self) -> bool:
        """Whether there is anything that eight bits of BT.709 would lose."""
        return self.deep or self.is_wide


class VideoFacts(BaseModel):
    """Sizes are in pixels, times in the stream's time base or in seconds as named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    container: str = Field(max_length=100)
    codec: str = Field(max_length=100)
    coded_width: Size
    coded_height: Size
    width: Size  # upright, square pixels
    height: Size
    rotation: Literal[-90, 0, 90, 180]  # degrees counter-clockwise that make the coded picture upright,
    mirrored: bool = False  # once it is mirrored left to right, if so
    sample_aspect_ratio: tuple[Ratio, Ratio]
    fps: tuple[Ratio, Ratio] | None  # average, as a fraction
    time_base: tuple[Ratio, Ratio]
    start_pts: Annotated[int, Field(gt=-(2**61), lt=2**61)]  # of the first frame
    duration_pts: Annotated[int, Field(gt=0, lt=2**61)] | None  # of the video stream; None when nobody knows
    duration_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    clock: Clock = "pts"
    frame_count: Annotated[int, Field(gt=0, lt=2**40)] | None  # as the container promises
    seconds_cut_off: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0  # of what the header promises
    frames_listed: bool = False  # the promise is a list of all its frames, not a number in a header
    # Whatever is decoded, there are no more; None: nobody has counted. For planning alone: other versions refuse it.
    most_frames: Annotated[int, Field(ge=0)] | None = None
    has_audio: bool
    audio_codecs: list[str] = Field(max_length=64)
    keyframe_pts: list[Int64] = Field(max_length=200_000)  # known from an index; empty when there is none
    appearance: Appearance | None = None  # None: an older version probed it

    @property
    def time_base_fraction(self) -> Fraction:
        return Fraction(*self.time_base)

    @property
    def suits_hardware(self) -> bool:
        """Whether a decoder in hardware may be tried: what it leaves of a frame is samples and a time."""
        look = self.appearance
        plain = look is not None and not (look.exceeds_sdr or look.interlaced)
        return plain and self.codec in DECODED_IN_HARDWARE and self.clock == "pts"

    def coded_shape(self) -> dict[str, Any]:
        """What the child process has to know to bring every frame to one shape: see shape.CodedShape."""
        names = ("coded_width", "coded_height", "sample_aspect_ratio", "rotation", "mirrored")
        return {name: getattr(self, name) for name in names}

    @property
    def reads_on(self) -> bool:
        """Whether times are known only to whoever reads from the beginning: then the video is one chunk."""
        return self.clock != "pts"


def preview_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of a preview of such pictures, in pixels: even, as 4:2:0 has them."""
    small = analysis_size(width, height, PREVIEW_PX)
    return max(2, small[0] // 2 * 2), max(2, small[1] // 2 * 2)


def poster_size(facts: VideoFacts) -> tuple[int, int]:
    """Width and height of the picture that stands for a video, in pixels."""
    return analysis_size(facts.width, facts.height, POSTER_PX)


def analysis_size(width: int, height: int, max_width: int) -> tuple[int, int]:
    """Width and height in pixels with the longer side at most `max_width`; never enlarged."""
    scale = min(Fraction(1), Fraction(max_width, max(width, height)))
    return max(1, round(width * scale)), max(1, round(height * scale))

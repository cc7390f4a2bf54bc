"""The HDR10 metadata that a decoded frame carries: SMPTE ST 2086 and CTA-861.3. Child process only."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame

# AVMasteringDisplayMetadata: fractions of red, green, blue and white (x, y), least and most cd/m², two flags.
_MASTERING = struct.Struct("<20i2i")
_LIGHT_LEVEL = struct.Struct("<II")
# H.265 D.3.28 counts chromaticity in 1/50,000 and luminance in 1/10,000 cd/m².
_CHROMA_UNIT, _NITS_UNIT = 50_000, 10_000
_MAX_NITS = 10_000


@dataclass(frozen=True)
class Mastering:
    """Chromaticities (red, green, blue, white; x, y) and the least and most cd/m² of the display it was made on."""

    chromaticities: tuple[Fraction, ...]
    least_nits: Fraction
    most_nits: Fraction

    def as_numbers(self) -> tuple[int, ...]:
        """Ten whole numbers in the units of H.265 D.3.28, in the order of the fields."""
        colours = (round(value * _CHROMA_UNIT) for value in self.chromaticities)
        return (*colours, round(self.least_nits * _NITS_UNIT), round(self.most_nits * _NITS_UNIT))


def as_x265(mastering: Sequence[int]) -> str:
    """The value of x265's master-display, from Mastering.as_numbers."""
    rx, ry, gx, gy, bx, by, wx, wy, least, most = mastering
    return f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({most},{least})"


def mastering(frame: VideoFrame) -> Mastering | None:
    """None when the frame has none, or nonsense."""
    data = _side_data(frame, Type.MASTERING_DISPLAY_METADATA)
    if len(data) < _MASTERING.size:
        return None
    *numbers, has_primaries, has_luminance = _MASTERING.unpack_from(data)
    if not (has_primaries and has_luminance and all(numbers[1::2])):
        return None
    *chromaticities, least, most = (Fraction(numbers[i], numbers[i + 1]) for i in range(0, 20, 2))
    if not all(0 <= value <= 1 for value in chromaticities) or not 0 <= least < most <= _MAX_NITS:
        return None
    return Mastering(tuple(chromaticities), least, most)


def light_level(frame: VideoFrame) -> tuple[int, int] | None:
    """MaxCLL and MaxFALL in cd/m²."""
    data = _side_data(frame, Type.CONTENT_LIGHT_LEVEL)
    if len(data) < _LIGHT_LEVEL.size:
        return None
    brightest, average = _LIGHT_LEVEL.unpack_from(data)
    return min(brightest, 65_535), min(average, 65_535)


def _side_data(frame: VideoFrame, kind: Type) -> bytes:
    container = cast(SideDataContainer, frame.side_data)
    try:
        return bytes(container[kind])
    except KeyError:
        return b""

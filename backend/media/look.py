"""How a film is to look: SDR BT.709 from whatever it is, or HDR kept. Its first frame decides, and what that says can
be handed on, so that all pieces of a film look alike. Child process only."""

from __future__ import annotations

from typing import Protocol

from av.video.frame import VideoFrame

from backend.media.colour import Tags, is_deep, planar, tags_of, to_sdr
from backend.media.encoders import Encoder, hdr_encoder, sdr_encoder
from backend.media.facts import Appearance
from backend.media.hdr_metadata import light_level, mastering
from backend.media.tonemap import ToneMap, peak_nits

Size = tuple[int, int]


class Look(Protocol):
    def planar(self, frame: VideoFrame, size: Size) -> tuple[VideoFrame, Tags]:
        """The decoded frame as 4:2:0 in `size`, ready to be cut, and what its samples mean."""

    def finished(self, picture: VideoFrame, tags: Tags) -> VideoFrame:
        """The cut picture as the encoder wants it."""

    def encoder(self, size: Size, crf: float, preset: str, name: str | None) -> Encoder:
        """The one of this name; without a name, the best that works here."""


class SdrLook:
    """8-bit BT.709. Plain SDR goes through short arithmetic, HDR and BT.2020 through a table."""

    def __init__(self, peak: float) -> None:
        self._peak = peak
        self._tone_maps: dict[Tags, ToneMap] = {}

    def planar(self, frame: VideoFrame, size: Size) -> tuple[VideoFrame, Tags]:
        return planar(frame, size, deep=is_deep(frame))

    def finished(self, picture: VideoFrame, tags: Tags) -> VideoFrame:
        if not tags.is_wide:
            return to_sdr(picture, tags)
        if tags not in self._tone_maps:
            self._tone_maps[tags] = ToneMap(tags, self._peak)
        return self._tone_maps[tags](picture)

    def encoder(self, size: Size, crf: float, preset: str, name: str | None) -> Encoder:
        return sdr_encoder(size, crf, preset, name)


class KeptLook:
    """Ten bits with the source's own tags."""

    def __init__(self, appearance: Appearance) -> None:
        self._appearance = appearance

    def planar(self, frame: VideoFrame, size: Size) -> tuple[VideoFrame, Tags]:
        return planar(frame, size, deep=True)

    def finished(self, picture: VideoFrame, tags: Tags) -> VideoFrame:
        return picture

    def encoder(self, size: Size, crf: float, preset: str, name: str | None) -> Encoder:
        return hdr_encoder(crf, preset, self._appearance, name)


def appearance_of(frame: VideoFrame) -> Appearance:
    """What this frame, the first of a film, says of the film."""
    tags = tags_of(frame)
    display = mastering(frame)
    return Appearance(
        matrix=tags.matrix,
        full_range=tags.full_range,
        transfer=tags.transfer,
        primaries=tags.primaries,
        deep=is_deep(frame),
        interlaced=frame.interlaced_frame,
        peak_nits=peak_nits(frame, tags),
        mastering=display.as_numbers() if display else None,
        light_level=light_level(frame),
    )


def look_of(appearance: Appearance, *, keep_hdr: bool) -> Look:
    """Keeping means something for ten bits and for HDR; anything else is SDR already."""
    if keep_hdr and appearance.exceeds_sdr:
        return KeptLook(appearance)
    return SdrLook(appearance.peak_nits)

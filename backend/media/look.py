"""How a film is to look: SDR BT.709 from whatever it is, or HDR kept. Its first frame decides. Child process only."""

from __future__ import annotations

from typing import Protocol

from av.video.frame import VideoFrame

from backend.media.colour import Tags, is_deep, planar, tags_of, to_sdr
from backend.media.encoders import Encoder, hdr_encoder, sdr_encoder
from backend.media.tonemap import ToneMap, peak_nits

Size = tuple[int, int]


class Look(Protocol):
    def planar(self, frame: VideoFrame, size: Size) -> tuple[VideoFrame, Tags]:
        """The decoded frame as 4:2:0 in `size`, ready to be cut, and what its samples mean."""

    def finished(self, picture: VideoFrame, tags: Tags) -> VideoFrame:
        """The cut picture as the encoder wants it."""

    def encoder(self, size: Size, crf: float, preset: str) -> Encoder: ...


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

    def encoder(self, size: Size, crf: float, preset: str) -> Encoder:
        return sdr_encoder(size, crf, preset)


class KeptLook:
    """Ten bits with the source's own tags."""

    def __init__(self, frame: VideoFrame) -> None:
        self._first = frame
        self._tags = tags_of(frame)

    def planar(self, frame: VideoFrame, size: Size) -> tuple[VideoFrame, Tags]:
        return planar(frame, size, deep=True)

    def finished(self, picture: VideoFrame, tags: Tags) -> VideoFrame:
        return picture

    def encoder(self, size: Size, crf: float, preset: str) -> Encoder:
        return hdr_encoder(crf, preset, self._tags, self._first)


def look_of(frame: VideoFrame, *, keep_hdr: bool) -> Look:
    """Keeping means something for ten bits and for HDR; anything else is SDR already."""
    tags = tags_of(frame)
    if keep_hdr and (is_deep(frame) or tags.is_wide):
        return KeptLook(frame)
    return SdrLook(peak_nits(frame, tags))

"""Names of encoders and of hardware, and which encoder makes all pieces of a film. No media is touched here."""

from __future__ import annotations

from collections.abc import Collection

from backend.media.facts import Appearance

X264, X265, NVENC = "libx264", "libx265", "h264_nvenc"
HARDWARE = frozenset({NVENC})
NVDEC = "nvdec"  # a decoder in hardware, whose frames are the CPU's own


def encoder_for(appearance: Appearance, hdr: str, shared: Collection[str]) -> str:
    """`hdr` is what the film was asked to do with HDR: `sdr` or `keep`. `shared` are the encoders that every worker has
    who is to render a piece, as the operation `encoders` of the media process reports them."""
    if hdr == "keep" and appearance.exceeds_sdr:
        return X265
    return NVENC if NVENC in shared else X264

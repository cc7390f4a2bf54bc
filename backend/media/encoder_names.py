"""FFmpeg's names of the encoders that films are written with. No codec library is loaded for them."""

from __future__ import annotations

X264, X265, NVENC = "libx264", "libx265", "h264_nvenc"
HARDWARE = frozenset({NVENC})

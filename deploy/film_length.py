"""How long an MP4 says it is, read from its boxes (ISO/IEC 14496-12): what a check can do without a decoder."""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER_BYTES, LARGE_HEADER_BYTES = 8, 16


class NotAFilm(Exception):
    """The message says what is missing."""


def film_seconds(data: bytes) -> float:
    """The duration in the movie header. Raises NotAFilm where there is none, or no media beside it."""
    boxes = dict(_boxes(data))
    if b"ftyp" not in boxes or b"moov" not in boxes:
        raise NotAFilm(f"an MP4 has ftyp and moov, this has {sorted(boxes)!r} in {len(data)} bytes.")
    if not boxes.get(b"mdat"):
        raise NotAFilm("there is no media in it.")
    header = dict(_boxes(boxes[b"moov"])).get(b"mvhd", b"")
    # Version, flags, two times of creation, then time scale and duration; version 1 has times of 64 bits.
    layout, offset = (">IQ", 20) if header[:1] == b"\x01" else (">II", 12)
    if len(header) < offset + struct.calcsize(layout):
        raise NotAFilm("its movie header is missing or cut off.")
    scale, duration = struct.unpack_from(layout, header, offset)
    if not scale or not duration:
        raise NotAFilm("its duration is zero.")
    return float(duration / scale)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each box. Raises NotAFilm for one that goes past the end."""
    at = 0
    while at + HEADER_BYTES <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        header = HEADER_BYTES
        if size == 1 and at + LARGE_HEADER_BYTES <= len(data):
            (size,), header = struct.unpack_from(">Q", data, at + HEADER_BYTES), LARGE_HEADER_BYTES
        elif size == 0:  # to the end
            size = len(data) - at
        if size < header or at + size > len(data):
            raise NotAFilm(f"its box {name!r} is cut off.")
        yield name, data[at + header : at + size]
        at += size

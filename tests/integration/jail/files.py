"""Films that are made to cost more than they weigh."""

from __future__ import annotations

import struct
from pathlib import Path

FRAMES_A_CHUNK = 500


def box(name: str, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack(">I4s", 8 + len(data), name.encode()) + data


def full(name: str, *parts: bytes) -> bytes:
    return box(name, bytes(4), *parts)


def numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def endless(path: Path, frames: int, side_px: int = 2, bytes_held: int = 0) -> Path:
    """An MP4 of raw pictures whose table names the same few bytes again and again: every frame of it can be decoded.
    With `bytes_held` there are no more than those, and the table is a lie."""
    chunks = -(-frames // FRAMES_A_CHUNK)
    held = bytes_held or side_px * side_px * 3 * FRAMES_A_CHUNK
    return _written(path, side_px, held, chunks, FRAMES_A_CHUNK, 1, b"")


def lasting(path: Path, seconds: int) -> Path:
    """One small picture that is shown for so long, and is no keyframe."""
    return _written(path, 2, 12, 1, 1, 25 * seconds, full("stss", numbers(0)))


def _written(
    path: Path, side_px: int, held: int, chunks: int, frames_a_chunk: int, ticks: int, keyframes: bytes
) -> Path:
    picture_bytes = side_px * side_px * 3
    kind = box("ftyp", b"qt  ", bytes(4), b"qt  ")
    frames = chunks * frames_a_chunk
    entry = box(
        "raw ", bytes(6), struct.pack(">H", 1), bytes(16), struct.pack(">HH", side_px, side_px),
        numbers(0x480000, 0x480000, 0), struct.pack(">H", 1), bytes(32), struct.pack(">Hh", 24, -1),
    )  # fmt: skip
    table = box(
        "stbl",
        full("stsd", numbers(1), entry),
        full("stts", numbers(1, frames, ticks)),
        full("stsz", numbers(picture_bytes, frames)),
        full("stsc", numbers(1, 1, frames_a_chunk, 1)),
        keyframes,
        full("stco", numbers(chunks), numbers(len(kind) + 8) * chunks),
    )
    unity = numbers(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    media = box(
        "mdia",
        full("mdhd", numbers(0, 0, 25, frames * ticks), bytes(4)),
        full("hdlr", b"mhlr", b"vide", bytes(12), b"\0"),
        box(
            "minf",
            full("vmhd", bytes(8)),
            box("dinf", full("dref", numbers(1), struct.pack(">I4sI", 12, b"url ", 1))),
            table,
        ),
    )
    track = box(
        "trak",
        box("tkhd", numbers(7, 0, 0, 1, 0, frames * ticks), bytes(16), unity, numbers(side_px << 16, side_px << 16)),
        media,
    )
    header = full(
        "mvhd",
        numbers(0, 0, 25, frames * ticks, 0x10000),
        struct.pack(">H", 0x100),
        bytes(10),
        unity,
        bytes(24),
        numbers(2),
    )
    path.write_bytes(kind + box("mdat", bytes(held)) + box("moov", header, track))
    return path

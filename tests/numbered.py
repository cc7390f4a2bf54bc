"""Films whose pictures carry their number, for tests of what is shown when: two people move behind it.

The number stands in a row of 16 squares in the top left corner, the highest bit first, white for 1; the row below it
has the same bits the other way round, so that a picture without a number is told from picture 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate, cycle, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.samples import make_sample

WIDTH, HEIGHT, FPS = 640, 360, 25
BITS, SQUARE_PX = 16, 16
TICKS_PER_SEC = 12_800
TICK = Fraction(1, TICKS_PER_SEC)
LATE_SEC = Fraction(16, 5)
# How long each frame of a film with a varying rate is shown, in ticks: 40, 80, 20 and 33 1/3 ms, over and over.
VARYING_TICKS = (512, 1024, 256, 427)
NOT_IN_BROWSERS = "not_in_browsers"
# "late" begins with its sound alone; "not_in_browsers" is MPEG-4 part 2 in an AVI, without sound.
VARIANTS = ("plain", "varying", "late", NOT_IN_BROWSERS)


def make_numbered(path: Path, variant: str = "plain", *, seconds: int = 6) -> list[Fraction]:
    """Writes the film: 640 × 360, 25 frames/s or `varying`, H.264 with B-frames in MP4, with the sample clip's tone.

    Returns the presentation time of each frame in seconds, as the file has it: frame n shows n.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    clip = make_sample(path.with_name(f".{path.stem}-clip.mp4"), seconds)
    ticks = _ticks(variant, seconds * FPS)
    is_avi = variant == NOT_IN_BROWSERS
    with av.open(str(clip)) as source, av.open(str(path), "w", format="avi" if is_avi else "mp4") as output:
        codec, options = ("mpeg4", {"qscale": "2"}) if is_avi else ("libx264", {"preset": "veryfast", "bf": "2"})
        video: Any = output.add_stream(codec, rate=FPS, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.gop_size = 2 * FPS
        video.codec_context.time_base = Fraction(1, FPS) if is_avi else TICK
        sound = None if is_avi else output.add_stream_from_template(source.streams.audio[0])
        for number, (frame, at) in enumerate(zip(source.decode(video=0), ticks, strict=True)):
            picture = frame.reformat(WIDTH, HEIGHT, "bgr24").to_ndarray()
            _write_number(picture, number)
            numbered = av.VideoFrame.from_ndarray(picture, format="bgr24")
            numbered.pts, numbered.time_base = (number, Fraction(1, FPS)) if is_avi else (at, TICK)
            output.mux(video.encode(numbered))
        output.mux(video.encode(None))
        if sound is not None:
            source.seek(0)
            for packet in source.demux(audio=0):
                if packet.dts is not None:
                    packet.stream = sound
                    output.mux(packet)
    clip.unlink()
    return [at * TICK for at in ticks]


def read_number(picture: NDArray[np.uint8]) -> int | None:
    """Of a whole picture of such a film, (h, w, 3), at any size; None where it carries none."""
    height, width = picture.shape[:2]
    grey = picture.mean(axis=2)
    bits = []
    for row in range(2):
        y = round((row + 0.5) * SQUARE_PX * height / HEIGHT)
        across = (round((column + 0.5) * SQUARE_PX * width / WIDTH) for column in range(BITS))
        bits.append([grey[y, x] > 127 for x in across])
    if any(upper == lower for upper, lower in zip(*bits, strict=True)):
        return None
    return sum(bit << (BITS - 1 - at) for at, bit in enumerate(bits[0]))


def _ticks(variant: str, count: int) -> list[int]:
    """Presentation times."""
    if variant == "varying":
        return list(_varying(count))
    start = int(LATE_SEC * TICKS_PER_SEC) if variant == "late" else 0
    return [start + number * TICKS_PER_SEC // FPS for number in range(count)]


def _varying(count: int) -> Iterator[int]:
    return accumulate(islice(cycle(VARYING_TICKS), count - 1), initial=0)


def _write_number(picture: NDArray[np.uint8], number: int) -> None:
    for column in range(BITS):
        bit = number >> (BITS - 1 - column) & 1
        across = slice(column * SQUARE_PX, (column + 1) * SQUARE_PX)
        picture[:SQUARE_PX, across] = 255 * bit
        picture[SQUARE_PX : 2 * SQUARE_PX, across] = 255 * (1 - bit)

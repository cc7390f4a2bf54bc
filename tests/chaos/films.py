"""Films whose every frame has a brightness of its own, so that a missing or a doubled frame shows in the result."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.integration.films import Shape, grey, write_film

RATE = 12
SIZE = (144, 128)  # height, width: the least in which OpenCV's people detector looks for people
DARKEST, STEP = 24, 4
LUMA_TOLERANCE = 1.5  # two encodings' rounding; less than half a step
SECONDS_TOLERANCE = 0.001


@dataclass(frozen=True)
class Frames:
    """PTS in the stream's ticks, seconds, and mean brightness (8 bit), by frame."""

    pts: list[int]
    seconds: list[float]
    luma: list[float]


def make_film(path: Path, seconds: int) -> Path:
    """12 frames/s, a keyframe a second; `seconds` at most 4, for brightness ends there."""
    count = RATE * seconds
    pictures = (grey(np.full(SIZE, DARKEST + STEP * number, np.uint8)) for number in range(count))
    return write_film(
        path, pictures, [Fraction(number, RATE) for number in range(count)], Shape(rate=Fraction(RATE), gop=RATE)
    )


def frames_of(path: Path) -> Frames:
    with av.open(str(path)) as container:
        shown = list(container.decode(video=0))
    luma = [float(frame.to_ndarray(format="gray").mean()) for frame in shown]
    return Frames([frame.pts or 0 for frame in shown], [float(frame.time or 0) for frame in shown], luma)


def differences(source: Frames, film: Frames) -> list[str]:
    """What is missing in the film or twice in it; empty when it shows the source's frames at the source's times."""
    if len(film.pts) != len(source.pts):
        return [f"the film has {len(film.pts)} frames, the source {len(source.pts)}"]
    return [
        f"frame {number} is {now} (s, brightness) instead of {then}"
        for number, (then, now) in enumerate(
            zip(zip(source.seconds, source.luma, strict=True), zip(film.seconds, film.luma, strict=True), strict=True)
        )
        if abs(then[0] - now[0]) > SECONDS_TOLERANCE or abs(then[1] - now[1]) > LUMA_TOLERANCE
    ]

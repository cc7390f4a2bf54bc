"""When videos come and how long they are: by chance with a daily profile, or from a file."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

Arrival = tuple[float, float]
"""Second of the day, seconds of video."""

# Videos that arrive in each hour, against each other: an office's day.
DAY = (1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 18, 16, 12, 15, 18, 18, 16, 12, 8, 6, 5, 4, 3, 2)
LENGTH_SPREAD = 0.5  # of the logarithm of a video's length
HOUR_SEC = 3600.0


def by_chance(videos: float, mean_minutes: float, seed: int, profile: Sequence[float] = DAY) -> list[Arrival]:
    """A Poisson process whose rate follows the profile; lengths are log-normal."""
    dice = Random(seed)
    found: list[Arrival] = []
    middle = math.log(60 * mean_minutes) - LENGTH_SPREAD**2 / 2  # so that the mean is the one asked for
    for hour, weight in enumerate(profile):
        rate = videos * weight / sum(profile) / HOUR_SEC
        if rate == 0:
            continue
        at_sec = dice.expovariate(rate)
        while at_sec < HOUR_SEC:
            found.append((hour * HOUR_SEC + at_sec, dice.lognormvariate(middle, LENGTH_SPREAD)))
            at_sec += dice.expovariate(rate)
    return found


def from_file(path: Path) -> list[Arrival]:
    """A CSV file with a line `second,video_seconds` for each video, in any order. Raises ValueError, with the line."""
    found = []
    with path.open(newline="") as lines:
        for number, row in enumerate(csv.reader(lines), start=1):
            try:
                at_sec, video_sec = (float(cell) for cell in row)
            except ValueError:
                raise ValueError(f"{path}, line {number}: two numbers are wanted, second and video_seconds") from None
            if not (0 <= at_sec < math.inf and 0 < video_sec < math.inf):
                raise ValueError(f"{path}, line {number}: the second must be 0 or more, the video longer than 0")
            found.append((at_sec, video_sec))
    return sorted(found)

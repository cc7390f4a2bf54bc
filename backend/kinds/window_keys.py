"""Windows, and other things, that a user sets on some frames: their parameters, and what becomes of them on all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend.errors import InvalidParams
from backend.vision.keyed_windows import Interpolation, between, kept_inside
from backend.vision.timeline import Timeline
from backend.vision.window import Floats

MAX_KEYS = 10_000
MAX_FRAME = 2**31
_TOUCHES_PX = 1.0  # a window that a user rounded may stand out by so much

Frame = Annotated[int, Field(ge=0, le=MAX_FRAME, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=10_000_000)]


class Key(BaseModel):
    """When: by the frame's number from 0, or in seconds from the first frame."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    frame: Frame | None = None
    time_sec: Seconds | None = None

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if (self.frame is None) == (self.time_sec is None):
            raise ValueError("name either `frame` or `time_sec`")
        return self

    @property
    def when(self) -> str:
        return f"frame {self.frame}" if self.frame is not None else f"{self.time_sec:g} s"


class WindowKey(Key):
    x: float = Field(ge=-1, le=100_000, description="of the left edge, in upright source pixels")
    y: float = Field(ge=-1, le=100_000)
    width: float = Field(ge=2, le=100_000)
    height: float = Field(ge=2, le=100_000)

    @property
    def values(self) -> tuple[float, ...]:
        return self.x, self.y, self.width, self.height


def windows_on(
    name: str, keys: Sequence[WindowKey], timeline: Timeline, interpolation: Interpolation
) -> tuple[Floats, list[str]]:
    """(frames, 4): x, y, width, height on every frame, all inside of the picture; and warnings. `name`: of the
    parameter.

    Raises InvalidParams that names the key: two at one time, a window that leaves the picture.
    """
    for number, key in enumerate(keys):
        _require_inside(f"{name}.{number}", key, timeline.frame_size)
    windows, warnings = values_on(name, keys, [key.values for key in keys], timeline, interpolation)
    sizes = np.array([key.values[2:] for key in keys])
    return kept_inside(windows, timeline.frame_size, (sizes.min(axis=0), sizes.max(axis=0))), warnings


def values_on(
    name: str,
    keys: Sequence[Key],
    values: Sequence[Sequence[float]],
    timeline: Timeline,
    interpolation: Interpolation,
) -> tuple[Floats, list[str]]:
    """The values (frames, d) of keys on every frame, and warnings about keys that lie behind the last one. Raises
    InvalidParams for two keys at one time."""
    times_sec = timeline.times_sec
    key_sec = np.array([_sec(key, times_sec) for key in keys])
    order = np.argsort(key_sec, kind="stable")
    for first, second in pairwise(order):
        if key_sec[first] == key_sec[second]:
            raise InvalidParams(f"{name}.{second}: is at {keys[second].when}, as {name}.{first} is; leave one out.")
    late = [number for number in order if key_sec[number] > times_sec[-1] + _step_sec(times_sec)]
    warnings = [
        f"{name}.{number} is at {keys[number].when}; the film ends with frame {len(times_sec) - 1} at "
        f"{times_sec[-1]:.3f} s."
        for number in late[:1]
    ]
    return between(key_sec[order], np.array(values)[order], times_sec, interpolation), warnings


def _sec(key: Key, times_sec: Floats) -> float:
    """Counts of frames differ between programs: a key behind the last frame lies where that frame would be."""
    if key.time_sec is not None:
        return key.time_sec
    assert key.frame is not None  # one of the two is there
    behind = max(0, key.frame - (len(times_sec) - 1))
    return float(times_sec[min(key.frame, len(times_sec) - 1)]) + behind * _step_sec(times_sec)


def _step_sec(times_sec: Floats) -> float:
    return float(times_sec[-1]) / (len(times_sec) - 1) if len(times_sec) > 1 else 0.04


def _require_inside(name: str, key: WindowKey, frame_size: tuple[int, int]) -> None:
    sides = (("x", key.x, key.width, frame_size[0]), ("y", key.y, key.height, frame_size[1]))
    for axis, at, length, side in sides:
        if length > side + _TOUCHES_PX or at < -_TOUCHES_PX or at + length > side + _TOUCHES_PX:
            raise InvalidParams(
                f"{name}: the window of {key.width:g}x{key.height:g} at {key.x:g},{key.y:g} leaves the picture of "
                f"{frame_size[0]}x{frame_size[1]}: {axis} must be from 0 to {max(0.0, side - length):g}"
                + (f", and it must be smaller than {side} there." if length > side else ".")
            )

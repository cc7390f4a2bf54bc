"""Where a user wants the window at given times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.errors import InvalidParams
from backend.vision.path_qp import LIMITS
from backend.vision.window import Floats, Shot

_MET_PX = 1.0


@dataclass(frozen=True)
class Keyframe:
    """At `time_sec` from the first frame the window's centre is at (x, y) in source pixels, upright.

    `width`, in source pixels, is the window's throughout the shot.
    """

    time_sec: float
    x: float
    y: float
    width: float | None = None


class Pins:
    """Keyframes on the frames they are nearest to. Raises InvalidParams for a time outside the video or two at once."""

    def __init__(self, keyframes: Sequence[Keyframe], times_sec: Floats, shots: Sequence[Shot]) -> None:
        self._keyframes = sorted(keyframes, key=lambda keyframe: keyframe.time_sec)
        self._rows = [_row(keyframe, times_sec) for keyframe in self._keyframes]
        self._shots = shots
        for before, after, keyframe in zip(self._rows, self._rows[1:], self._keyframes[1:], strict=False):
            if before == after:
                raise InvalidParams(f"Two keyframes are on the same frame at {keyframe.time_sec:g} s; leave one out.")

    def sizes(
        self, shot_sizes: Floats, output: tuple[int, int], frame_size: tuple[int, int], max_upscale: float
    ) -> Floats:
        """The windows of the shots (n_shots, 2), those that a keyframe sets taken over from it."""
        sizes = shot_sizes.copy()
        for index, (start, stop) in enumerate(self._shots):
            wanted = {
                keyframe.width
                for keyframe, row in zip(self._keyframes, self._rows, strict=True)
                if keyframe.width is not None and start <= row < stop
            }
            if len(wanted) > 1:
                raise InvalidParams(
                    f"The keyframes of shot {index} name several widths; a shot's window keeps its size."
                )
            for width in wanted:
                sizes[index] = _size(width, shot_sizes[index], output, frame_size, max_upscale)
        return sizes

    def any_in(self, start: int, stop: int) -> bool:
        return any(start <= row < stop for row in self._rows)

    def set_width(self, start: int, stop: int) -> bool:
        """Whether a keyframe sets the window's width in the frames [start, stop)."""
        return any(
            keyframe.width is not None and start <= row < stop
            for keyframe, row in zip(self._keyframes, self._rows, strict=True)
        )

    def of(self, start: int, stop: int, axis: int, clock_sec: Floats) -> Floats:
        """(k, 2): seconds on the clock and centre in pixels, of the keyframes in the frames [start, stop)."""
        pins = [
            (clock_sec[row], (keyframe.x, keyframe.y)[axis])
            for keyframe, row in zip(self._keyframes, self._rows, strict=True)
            if start <= row < stop
        ]
        return np.array(pins, dtype=np.float64).reshape(-1, 2)

    def require_inside(self, sizes: Floats, frame_size: tuple[int, int]) -> None:
        """Raises InvalidParams for a keyframe whose window would leave the picture."""
        for keyframe, row in zip(self._keyframes, self._rows, strict=True):
            half = sizes[row] / 2
            for name, wanted, least, side in zip("xy", (keyframe.x, keyframe.y), half, frame_size, strict=True):
                if not least - _MET_PX / 2 <= wanted <= side - least + _MET_PX / 2:
                    raise InvalidParams(
                        f"The keyframe at {keyframe.time_sec:g} s cannot be met: a window of "
                        f"{2 * half[0]:.0f}x{2 * half[1]:.0f} stays in the picture with {name} from {least:.0f} to "
                        f"{side - least:.0f}, not at {wanted:g}. Move it or make the window smaller."
                    )

    def require_met(self, centres: Floats) -> None:
        """Raises InvalidParams where the path passes a keyframe by more than a pixel."""
        for keyframe, row in zip(self._keyframes, self._rows, strict=True):
            missed_px = float(np.abs(centres[row] - [keyframe.x, keyframe.y]).max())
            if not missed_px <= _MET_PX:
                raise InvalidParams(
                    f"The keyframe at {keyframe.time_sec:g} s cannot be met: its neighbours are too far away for the "
                    f"time between them (at most {LIMITS[0]:g} frame widths per s and {LIMITS[1]:g} per s2)."
                )


def _row(keyframe: Keyframe, times_sec: Floats) -> int:
    last_sec = float(times_sec[-1]) if len(times_sec) else 0.0
    if not (len(times_sec) and 0 <= keyframe.time_sec <= last_sec + 1):
        raise InvalidParams(f"The keyframe at {keyframe.time_sec:g} s is outside the video of {last_sec:.2f} s.")
    return int(np.abs(times_sec - keyframe.time_sec).argmin())


def _size(
    width: float, current: Floats, output: tuple[int, int], frame_size: tuple[int, int], max_upscale: float
) -> Floats:
    size = current * (width / current[0])
    smallest, largest = output[0] / max_upscale, float(current[0] * (np.array(frame_size) / current).min())
    if not smallest - 0.5 <= width <= largest + 0.5:
        raise InvalidParams(f"A keyframe's width of {width:g} is not from {smallest:.0f} to {largest:.0f} pixels.")
    return np.asarray(np.minimum(size, np.array(frame_size, dtype=np.float64)))

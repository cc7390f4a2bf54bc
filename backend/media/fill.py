"""Shows a window that has not the output's shape: whole, in the middle, the rest black or a blurred copy of it. Child
process only.

Each plane is worked on by itself, after the colours are final: there is no round trip through RGB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from av.video.frame import VideoFrame

from backend.media.resample import Samples, Window, plane
from backend.media.shape import Area

Fill = Literal["crop", "pad", "blur"]

# Output sizes are even, so a window of the output's own shape may miss it by a pixel.
_SAME_SHAPE_PX = 1.0
# A fitted side of a whole number of pixels keeps its placement, whatever the last bits of the window's size are.
_ROUNDING_PX = 0.05
# The background is made of so many cells along its shorter side, blurred over this many of them, then enlarged.
_CELLS, _BLUR_CELLS = 36, 1.8
# Samples of black and of no colour, 8 bits: limited and full range.
_BLACK_LIMITED, _BLACK_FULL, _NEUTRAL = 16, 0, 128


@dataclass(frozen=True)
class Placement(Area):
    """Where the window lies in the output, and the part of it that fills just that area."""

    window: Window

    def whole(self, output_size: tuple[int, int]) -> Window:
        """The window that all of the output would show, were its bars picture too."""
        across, down = self.window.width / self.size[0], self.window.height / self.size[1]
        x, y = self.window.x - self.x * across, self.window.y - self.y * down
        return Window(x, y, output_size[0] * across, output_size[1] * down)


def placement(window: Window, output_size: tuple[int, int]) -> Placement | None:
    """The window as large as fits, centred; None when it has the output's shape.

    The scale is exact and the centres meet exactly; only the edges go to the next even pixel inwards. A window that
    grows slowly thus grows slowly in the output too, inside an area that does not change.
    """
    scale = min(output_size[0] / window.width, output_size[1] / window.height)
    margins = (output_size[0] - window.width * scale, output_size[1] - window.height * scale)
    if max(margins) <= _SAME_SHAPE_PX:
        return None
    x, y = (_inset(margin / 2, side) for margin, side in zip(margins, output_size, strict=True))
    size = (output_size[0] - 2 * x, output_size[1] - 2 * y)
    width, height = size[0] / scale, size[1] / scale
    middle = (window.x + window.width / 2, window.y + window.height / 2)
    return Placement(x, y, size, Window(middle[0] - width / 2, middle[1] - height / 2, width, height))


def filled(picture: VideoFrame, area: Area, output_size: tuple[int, int], fill: Fill, *, full: bool) -> VideoFrame:
    """The output's frame with `picture` in its place: 4:2:0 of 8 or 10 bits and the placement's size, `full` range or
    limited."""
    output = VideoFrame(*output_size, picture.format.name)
    for number in range(3):
        source, target = plane(picture, number), plane(output, number)
        if fill == "blur":
            target[:] = _blurred(source, target.shape)
        else:
            target[:] = _black(number, source.dtype.itemsize, full=full)
    place(picture, output, area.x, area.y)
    return output


def place(picture: VideoFrame, output: VideoFrame, x: int, y: int) -> None:
    """Copies the picture into the output, its corner at even (x, y)."""
    for number, step in enumerate((1, 2, 2)):
        source, target = plane(picture, number), plane(output, number)
        top, left = y // step, x // step
        target[top : top + source.shape[0], left : left + source.shape[1]] = source


def _inset(margin: float, side: int) -> int:
    """Even, so that chroma's samples begin with luma's; at least two pixels are left between."""
    wanted = 2 * math.ceil((margin - _ROUNDING_PX) / 2)
    return min(wanted, (side - 2) // 4 * 2)


def _black(number: int, sample_bytes: int, *, full: bool) -> int:
    level = _NEUTRAL if number else _BLACK_FULL if full else _BLACK_LIMITED
    return level * (4 if sample_bytes > 1 else 1)  # ten bits hold four times the levels


def _blurred(source: Samples, shape: tuple[int, ...]) -> Samples:
    """The middle of the plane, enlarged until it covers `shape` (height, width), out of focus."""
    height, width = shape
    part = _middle(source, width / height)
    cells_per_px = _CELLS / min(height, width)
    cells = (max(1, round(width * cells_per_px)), max(1, round(height * cells_per_px)))
    small = cv2.resize(part, cells, interpolation=cv2.INTER_AREA).astype(np.float32)
    soft = cv2.GaussianBlur(small, (0, 0), _BLUR_CELLS, borderType=cv2.BORDER_REPLICATE)
    # Enlarged in floats: eight-bit cells would show as steps.
    wide = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.rint(wide, out=wide).astype(source.dtype)


def _middle(source: Samples, aspect: float) -> Samples:
    height, width = source.shape
    part_width = min(width, max(1, round(height * aspect)))
    part_height = min(height, max(1, round(width / aspect)))
    x, y = (width - part_width) // 2, (height - part_height) // 2
    return source[y : y + part_height, x : x + part_width]

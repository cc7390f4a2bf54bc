"""Cuts a window out of a YUV 4:2:0 picture with sub-pixel accuracy, upright and in square pixels, in one resampling.

No round trip through RGB: each plane is resampled by itself, so a still window at a whole pixel is a copy of the
source's own samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Samples = NDArray[np.integer[Any]]  # of one plane: uint8, or uint16 with ten bits in use
Matrix = NDArray[np.float64]  # 3 x 3, homogeneous, destination to source


@dataclass(frozen=True)
class Window:
    """Top left corner and size in pixels of the upright, square-pixel source picture."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Geometry:
    """How the coded picture lies in the upright one: sizes in pixels, rotation in degrees counter-clockwise."""

    coded_width: int
    coded_height: int
    upright_width: int
    upright_height: int
    rotation: int


# Where the centre of sample 0 lies, and how far apart samples are, in luma pixels (MPEG-2 chroma siting: left, middle).
_LUMA = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
_CHROMA = np.array([[2.0, 0.0, 0.5], [0.0, 2.0, 1.0], [0.0, 0.0, 1.0]])

_UNSCALED = np.eye(2)
# Lanczos-3: six taps keep the picture as sharp at half a pixel as at a whole one, so a slow pan does not pulse.
_TAPS, _CENTRE = 6, 2
# Closer than this to a whole pixel is a copy.
_WHOLE_TOLERANCE = 1e-3
_ALIASING_SHRINK = 1.5
_TEN_BITS = 1023


def window_to_coded(window: Window, output_size: tuple[int, int], geometry: Geometry) -> Matrix:
    """Maps a point of the output picture to the coded picture; both count from the corner of the picture."""
    to_window = np.array(
        [
            [window.width / output_size[0], 0.0, window.x],
            [0.0, window.height / output_size[1], window.y],
            [0.0, 0.0, 1.0],
        ]
    )
    width, height = geometry.upright_width, geometry.upright_height
    turn = {
        0: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        -90: [[0, 1, 0], [-1, 0, width], [0, 0, 1]],
        90: [[0, -1, height], [1, 0, 0], [0, 0, 1]],
        180: [[-1, 0, width], [0, -1, height], [0, 0, 1]],
    }[geometry.rotation]
    turned_width, turned_height = (height, width) if geometry.rotation in (90, -90) else (width, height)
    stretch = np.diag([geometry.coded_width / turned_width, geometry.coded_height / turned_height, 1.0])
    mapped: Matrix = stretch @ np.array(turn, np.float64) @ to_window
    return mapped


def cut(frame: VideoFrame, window: Window, output_size: tuple[int, int], geometry: Geometry) -> VideoFrame:
    """A frame of `output_size` (even numbers) that shows the window. Both are 4:2:0 of 8 or 10 bits, `frame` of the
    coded size."""
    output = VideoFrame(*output_size, frame.format.name.replace("yuvj", "yuv"))
    to_coded = window_to_coded(window, output_size, geometry)
    for number, grid in enumerate((_LUMA, _CHROMA, _CHROMA)):
        matrix = np.linalg.inv(grid) @ to_coded @ grid
        _resample(plane(frame, number), plane(output, number), matrix)
    return output


def plane(frame: VideoFrame, number: int) -> Samples:
    """A writable view of one plane, (height, width), uint8 or, of a deeper format, little-endian uint16."""
    part = frame.planes[number]
    deep = frame.format.name.endswith("10le")
    samples: Samples = np.frombuffer(memoryview(part), np.uint16 if deep else np.uint8)
    return samples.reshape(-1, part.line_size // samples.itemsize)[: part.height, : part.width]


def _resample(source: Samples, target: Samples, matrix: Matrix) -> None:
    if np.abs(matrix[:2, :2] - _UNSCALED).max() < 1e-9:
        _shift(source, target, float(matrix[0, 2]), float(matrix[1, 2]))
    else:
        _warp(source, target, matrix)
    if target.dtype == np.uint16:  # the filters saturate at 16 bits, the samples have ten
        np.minimum(target, _TEN_BITS, out=target)


def _shift(source: Samples, target: Samples, left: float, top: float) -> None:
    """Copies a window that begins at a fractional position: one short filter along each axis that needs it.

    Thirty times as fast as a general warp, and exact where the warp rounds positions to 1/32 pixel.
    """
    height, width = target.shape
    column, kernel_x = _whole_and_kernel(left)
    row, kernel_y = _whole_and_kernel(top)
    # With a margin for the taps where the picture has one; at its edge the last pixel is repeated.
    x0, x1 = max(0, column - _TAPS // 2), min(source.shape[1], column + width + _TAPS // 2)
    y0, y1 = max(0, row - _TAPS // 2), min(source.shape[0], row + height + _TAPS // 2)
    part = source[y0:y1, x0:x1]
    for kernel, anchor in ((kernel_x, (_CENTRE, 0)), (kernel_y, (0, _CENTRE))):
        if kernel is not None:
            taps = kernel.reshape(1, -1) if anchor[0] else kernel.reshape(-1, 1)
            part = cv2.filter2D(part, -1, taps, anchor=anchor, borderType=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    inside = part[max(0, row) - y0 : row + height - y0, max(0, column) - x0 : column + width - x0]
    if inside.shape == target.shape:
        target[:] = inside
        return
    # Rounding of chroma can ask for a sample past the edge.
    missing = (height - inside.shape[0], width - inside.shape[1])
    before = (max(0, -row), max(0, -column))
    pads = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    target[:] = np.pad(inside, pads, mode="edge")


def _whole_and_kernel(position: float) -> tuple[int, NDArray[np.float32] | None]:
    """The whole pixel and the taps that move by the rest; None where there is no rest."""
    whole = math.floor(position + _WHOLE_TOLERANCE)
    fraction = position - whole
    if abs(fraction) <= _WHOLE_TOLERANCE:
        return whole, None
    x = np.arange(_TAPS) - _CENTRE - fraction
    taps = np.sinc(x) * np.sinc(x / (_TAPS // 2))
    return whole, (taps / taps.sum()).astype(np.float32)


def _warp(source: Samples, target: Samples, matrix: Matrix) -> None:
    shrink = max(np.hypot(*matrix[:2, 0]), np.hypot(*matrix[:2, 1]))
    if shrink > _ALIASING_SHRINK:  # a four-tap kernel would alias: average down first
        factor = 1.0 / shrink
        small = cv2.resize(source, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        ratio_x, ratio_y = small.shape[1] / source.shape[1], small.shape[0] / source.shape[0]
        # Index of the same point in the smaller picture; the halves are the pixels' centres.
        to_small = np.array([[ratio_x, 0, ratio_x / 2 - 0.5], [0, ratio_y, ratio_y / 2 - 0.5], [0, 0, 1]])
        matrix = to_small @ matrix
        source = small  # type: ignore[assignment]
    height, width = target.shape
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    target[:] = cv2.warpAffine(source, matrix[:2], (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)

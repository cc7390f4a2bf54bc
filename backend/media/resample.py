"""Crops a window out of a YUV 4:2:0 picture with sub-pixel accuracy, upright and in square pixels, in one resampling.

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
    """How the coded picture lies in the upright one: sizes in pixels. It is mirrored left to right, if so, and
    then turned by `rotation` degrees counter-clockwise."""

    coded_width: int
    coded_height: int
    upright_width: int
    upright_height: int
    rotation: int
    mirrored: bool = False


# Where the centre of sample 0 lies, and how far apart samples are, in luma pixels (MPEG-2 chroma siting: left, middle).
_LUMA = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
_CHROMA = np.array([[2.0, 0.0, 0.5], [0.0, 2.0, 1.0], [0.0, 0.0, 1.0]])

_UNSCALED_TOLERANCE = 1e-9
# Lanczos-3: six taps keep the picture as sharp at half a pixel as at a whole one, so a slow pan does not pulse.
_TAPS, _CENTRE = 6, 2
# Closer than this to a whole pixel is a copy.
_WHOLE_TOLERANCE = 1e-3
# An axis along which the window stands still may be this far off, all the while: in a pan it would show as a tremor.
_STILL_TOLERANCE, _STILL_MARGINS = 1 / 64, 64
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
    if geometry.mirrored:
        mapped = np.array([[-1.0, 0.0, geometry.coded_width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) @ mapped
    return mapped


def crop(
    frame: VideoFrame,
    window: Window,
    output_size: tuple[int, int],
    geometry: Geometry,
    *,
    halves: bool = False,
    still: tuple[bool, bool] = (False, False),
) -> VideoFrame:
    """A frame of `output_size` (even numbers) that shows the window. Both are 4:2:0 of 8 or 10 bits, `frame` of the
    coded size. `halves`: a window that is shrunk to half or less is halved first, which is as good and far quicker.
    `still`: along which axes (x, y) of the window it neither moves nor grows, so that a 64th of a pixel is nothing."""
    output = VideoFrame(*output_size, frame.format.name.replace("yuvj", "yuv"))
    to_coded = window_to_coded(window, output_size, geometry)
    for number, grid in enumerate((_LUMA, _CHROMA, _CHROMA)):
        matrix = np.linalg.inv(grid) @ to_coded @ grid
        source = plane(frame, number)
        if halves:
            source, matrix = _halved(source, matrix)
        _resample(source, plane(output, number), matrix, still)
    return output


def plane(frame: VideoFrame, number: int) -> Samples:
    """A writable view of one plane, (height, width), uint8 or, of a deeper format, little-endian uint16."""
    part = frame.planes[number]
    deep = frame.format.name.endswith("10le")
    samples: Samples = np.frombuffer(memoryview(part), np.uint16 if deep else np.uint8)
    return samples.reshape(-1, part.line_size // samples.itemsize)[: part.height, : part.width]


def _resample(source: Samples, target: Samples, matrix: Matrix, still: tuple[bool, bool]) -> None:
    source, matrix = _upright(source, matrix)
    scale = (float(matrix[0, 0]), float(matrix[1, 1]))
    start = (float(matrix[0, 2]), float(matrix[1, 2]))
    if max(abs(scale[0] - 1), abs(scale[1] - 1)) < _UNSCALED_TOLERANCE:
        target[:] = _moved(source, start, target.shape)
    else:
        target[:] = _scaled(source, start, scale, target.shape, still)
    if target.dtype == np.uint16:  # the filters saturate at 16 bits, the samples have ten
        np.minimum(target, _TEN_BITS, out=target)


def _halved(source: Samples, matrix: Matrix) -> tuple[Samples, Matrix]:
    """The plane at half its size, or a quarter and so on, for as long as it is shrunk. Pairs of samples are counted
    from the plane's own corner, wherever the window is, so that a pan stays steady."""
    matrix = matrix.copy()
    while np.abs(matrix[:2, :2]).max(axis=1).min() >= 2 and min(source.shape) >= 2:
        height, width = source.shape[0] // 2, source.shape[1] // 2
        whole = source[: 2 * height, : 2 * width]
        source = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        matrix[:2, 2] -= 0.5  # the middle of the first pair
        matrix[:2] /= 2
    return source, matrix


def _upright(source: Samples, matrix: Matrix) -> tuple[Samples, Matrix]:
    """A turned or mirrored view of the plane for which the matrix only scales and moves."""
    matrix = matrix.copy()
    if abs(matrix[0, 1]) > abs(matrix[0, 0]):
        source, matrix = source.T, matrix[[1, 0, 2]]
    if matrix[0, 0] < 0:
        source = source[:, ::-1]
        matrix[0] = [0, 0, source.shape[1] - 1] - matrix[0]
    if matrix[1, 1] < 0:
        source = source[::-1]
        matrix[1] = [0, 0, source.shape[0] - 1] - matrix[1]
    return source, matrix


def _moved(source: Samples, start: tuple[float, float], shape: tuple[int, ...]) -> Samples:
    """The samples of `shape` (height, width) from a fractional position (x, y) on: one short filter along each axis
    that needs it. Thirty times as fast as a general warp, and exact where OpenCV's warp rounds positions to 1/32 pixel.
    """
    height, width = shape
    column, kernel_x = _whole_and_kernel(start[0])
    row, kernel_y = _whole_and_kernel(start[1])
    # With a margin for the taps where the picture has one; at its edge the last pixel is repeated.
    x0, x1 = max(0, column - _TAPS // 2), min(source.shape[1], column + width + _TAPS // 2)
    y0, y1 = max(0, row - _TAPS // 2), min(source.shape[0], row + height + _TAPS // 2)
    part = source[y0:y1, x0:x1]
    if part.strides[1] != part.itemsize:  # a turned view
        part = np.ascontiguousarray(part)
    for kernel, anchor in ((kernel_x, (_CENTRE, 0)), (kernel_y, (0, _CENTRE))):
        if kernel is not None:
            taps = kernel.reshape(1, -1) if anchor[0] else kernel.reshape(-1, 1)
            part = cv2.filter2D(part, -1, taps, anchor=anchor, borderType=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    inside = part[max(0, row) - y0 : row + height - y0, max(0, column) - x0 : column + width - x0]
    if inside.shape == (height, width):
        return inside
    # Margins, and the rounding of chroma, can ask for samples past the edge.
    missing = (height - inside.shape[0], width - inside.shape[1])
    before = (max(0, -row), max(0, -column))
    pads = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    return np.pad(inside, pads, mode="edge")


def _whole_and_kernel(position: float) -> tuple[int, NDArray[np.float32] | None]:
    """The whole pixel and the taps that move by the rest; None where there is no rest."""
    whole = math.floor(position + _WHOLE_TOLERANCE)
    fraction = position - whole
    if abs(fraction) <= _WHOLE_TOLERANCE:
        return whole, None
    x = np.arange(_TAPS) - _CENTRE - fraction
    taps = np.sinc(x) * np.sinc(x / (_TAPS // 2))
    return whole, (taps / taps.sum()).astype(np.float32)


def _scaled(
    source: Samples,
    start: tuple[float, float],
    scale: tuple[float, float],
    shape: tuple[int, ...],
    still: tuple[bool, bool] = (False, False),
) -> Samples:
    """As _moved, `scale` source samples (x, y) apart: brought to whole samples first, then enlarged or shrunk.

    cv2.resize begins at the corner of what it gets, and keeps a fractional factor exactly when no size is given.
    """
    # A margin of whole output samples on either side keeps the resize's own taps off the edge.
    after = [math.ceil(_TAPS / 2 / step) + 1 for step in scale]
    before = [
        _still_margin(at, step, margin) if is_still else margin
        for at, step, margin, is_still in zip(start, scale, after, still, strict=True)
    ]
    corner = [_corner(at, step, margin) for at, step, margin in zip(start, scale, before, strict=True)]
    corner = [
        round(at) if is_still and _rest(at) <= _STILL_TOLERANCE else at
        for at, is_still in zip(corner, still, strict=True)
    ]
    needed = [math.ceil((shape[1 - i] + before[i] + after[i]) * scale[i]) + 1 for i in (0, 1)]
    part = _moved(source, (corner[0], corner[1]), (needed[1], needed[0]))
    # Four taps alias when much is thrown away; an average does not.
    shrinks = min(scale) >= 1 and max(scale) > _ALIASING_SHRINK
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    resized = cv2.resize(part, None, fx=1 / scale[0], fy=1 / scale[1], interpolation=kind)
    left, top = before
    return resized[top : top + shape[0], left : left + shape[1]]  # type: ignore[return-value]


def _corner(start: float, step: float, margin: int) -> float:
    """Where cv2.resize has to begin for its sample number `margin` to lie at `start`."""
    return start - margin * step - (step - 1) / 2


def _rest(position: float) -> float:
    return abs(position - round(position))


def _still_margin(start: float, step: float, least: int) -> int:
    """The smallest margin for which an axis that does not move needs no filter of its own; `least` where none is."""
    for margin in range(least, least + _STILL_MARGINS):
        corner = _corner(start, step, margin)
        if corner < 0:
            break
        if _rest(corner) <= _STILL_TOLERANCE:
            return margin
    return least

"""Cuts a window out of a YUV 4:2:0 picture with sub-pixel accuracy, upright and in square pixels, in one resampling.

No round trip through RGB: each plane is resampled by itself, so a still window at a whole pixel is a copy of the
source's own samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

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
    """A yuv420p frame of `output_size` (even numbers) that shows the window. `frame` is yuv420p of the coded size."""
    output = VideoFrame(*output_size, "yuv420p")
    to_coded = window_to_coded(window, output_size, geometry)
    for number, grid in enumerate((_LUMA, _CHROMA, _CHROMA)):
        matrix = np.linalg.inv(grid) @ to_coded @ grid
        _resample(plane(frame, number), plane(output, number), matrix)
    return output


def plane(frame: VideoFrame, number: int) -> NDArray[np.uint8]:
    """A writable view of one plane, (height, width) uint8."""
    part = frame.planes[number]
    samples: NDArray[np.uint8] = np.frombuffer(memoryview(part), np.uint8)
    return samples.reshape(-1, part.line_size)[: part.height, : part.width]


def _resample(source: NDArray[np.uint8], target: NDArray[np.uint8], matrix: Matrix) -> None:
    height, width = target.shape
    left, top = matrix[0, 2], matrix[1, 2]
    unscaled = np.allclose(matrix[:2, :2], np.eye(2), atol=1e-9)
    whole = abs(left - round(left)) < 1e-3 and abs(top - round(top)) < 1e-3
    inside = round(left) >= 0 and round(top) >= 0
    inside = inside and round(left) + width <= source.shape[1] and round(top) + height <= source.shape[0]
    if unscaled and whole and inside:
        target[:] = source[round(top) : round(top) + height, round(left) : round(left) + width]
        return
    shrink = max(np.hypot(*matrix[:2, 0]), np.hypot(*matrix[:2, 1]))
    if shrink > 1.5:  # a four-tap kernel would alias: average down first
        factor = 1.0 / shrink
        small = cv2.resize(source, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        ratio_x, ratio_y = small.shape[1] / source.shape[1], small.shape[0] / source.shape[0]
        # Index of the same point in the smaller picture; the halves are the pixels' centres.
        to_small = np.array([[ratio_x, 0, ratio_x / 2 - 0.5], [0, ratio_y, ratio_y / 2 - 0.5], [0, 0, 1]])
        matrix = to_small @ matrix
        source = np.asarray(small, np.uint8)
    target[:] = cv2.warpAffine(
        source,
        matrix[:2],
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )

"""Where the samples of a drawn picture lie in the upright source."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from backend.media.resample import Window

# The centre of the first sample, from the corner of the picture, and the step from one to the next, in luma pixels:
# chroma lies left and in the middle between two lines (MPEG-2), as resample.py has it.
_LUMA = ((0.5, 1.0), (0.5, 1.0))
_CHROMA = ((0.5, 2.0), (1.0, 2.0))

Axis = NDArray[np.float32]


def sample_places(picture: VideoFrame, window: Window, number: int, shape: tuple[int, int]) -> tuple[Axis, Axis]:
    """x of each column and y of each row of plane `number`, (height, width), in pixels of the upright source."""
    (x0, dx), (y0, dy) = _CHROMA if number else _LUMA
    across, down = window.width / picture.width, window.height / picture.height
    columns = window.x + (x0 + dx * np.arange(shape[1])) * across
    rows = window.y + (y0 + dy * np.arange(shape[0])) * down
    return columns.astype(np.float32), rows.astype(np.float32)

"""Lays a sparse, opaque drawing over a picture's planes: what it costs depends on what is drawn, not on the picture.

Child process only.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from backend.media.colour import Tags, rgb_rows
from backend.media.resample import plane
from backend.media.tonemap import bt709_to_hdr

_CELL = 4  # pixels of luma that share a sample of chroma
_BLACK = (0, 0, 0)


def lay_opaque(picture: VideoFrame, canvas: NDArray[np.uint8], tags: Tags) -> None:
    """In place, wherever the canvas, (height, width, 3) BGR of the picture's size, is not black. Everything else keeps
    its samples bit by bit; a sample of chroma that is covered in part changes by that part."""
    bare = cv2.inRange(canvas, _BLACK, _BLACK)
    places = cv2.findNonZero(cv2.bitwise_not(bare, dst=bare))
    if places is None:
        return
    columns, rows = np.asarray(places).reshape(-1, 2).T
    luma = plane(picture, 0)
    samples = _samples(canvas[rows, columns], tags, 8 if luma.dtype == np.uint8 else 10)
    luma[rows, columns] = np.rint(samples[:, 0])
    cells_wide = plane(picture, 1).shape[1]
    # Counted among the cells that are covered: counts of all cells of a picture cost more than all else.
    touched, which = np.unique((rows // 2) * cells_wide + columns // 2, return_inverse=True)
    place = touched // cells_wide, touched % cells_wide
    share = np.bincount(which) / _CELL
    for number in (1, 2):
        chroma = plane(picture, number)
        added = np.bincount(which, samples[:, number]) / _CELL
        chroma[place] = np.rint(chroma[place] * (1 - share) + added)


def _samples(bgr: NDArray[np.uint8], tags: Tags, bits: int) -> NDArray[np.float64]:
    """Y', Cb and Cr (n, 3) of pixels (n, 3). A drawing has few colours: each is worked out once."""
    codes, which = np.unique(bgr @ np.array([1, 256, 65_536]), return_inverse=True)
    rgb: NDArray[Any] = np.stack([codes >> 16, (codes >> 8) & 255, codes & 255], axis=1) / 255
    if tags.is_wide:
        rgb = bt709_to_hdr(rgb, tags)
    rows, offsets = rgb_rows(tags, bits)
    # Pure red of full range lies half a level past the last one.
    found: NDArray[np.float64] = np.clip(rgb @ rows.T + offsets, 0, 2**bits - 1)[which.ravel()]
    return found

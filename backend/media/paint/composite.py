"""Lays a drawing in BGR over a picture's planes: only where something is drawn anything changes. Child process only.

Libraries that draw, draw on arrays of opaque BGR. The same drawing on black and on white tells colour and opacity of
each pixel exactly: on black it is colour times opacity, and how much lighter it is on white is what it lets through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from backend.media.colour import Tags, rgb_rows
from backend.media.resample import Samples, plane
from backend.media.tonemap import bt709_to_hdr

BGR: TypeAlias = NDArray[np.uint8]  # (height, width, 3)
Alpha: TypeAlias = NDArray[np.float32]  # (height, width), 0 to 1
Array = TypeVar("Array", bound=NDArray[Any])


@dataclass(frozen=True, eq=False)
class Drawing:
    """A rectangle, its corner at even pixels (x, y) of the picture: colour as it is where it covers all, and how much
    it covers."""

    x: int
    y: int
    bgr: BGR
    alpha: Alpha


def drawn(draw: Callable[[BGR], object], size: tuple[int, int]) -> Drawing | None:
    """What `draw` draws on a canvas of this width and height; it is called twice. None: nothing."""
    black, white = (np.full((size[1], size[0], 3), level, np.uint8) for level in (0, 255))
    draw(black)
    draw(white)
    covered = (black != 0).any(axis=2) | (white != 255).any(axis=2)
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    if not len(rows):
        return None
    x, y = int(columns[0]) // 2 * 2, int(rows[0]) // 2 * 2
    part = (slice(y, int(rows[-1]) + 1), slice(x, int(columns[-1]) + 1))
    on_black, on_white = black[part].astype(np.float32), white[part].astype(np.float32)
    alpha = np.clip(1 - (on_white - on_black).mean(axis=2) / 255, 0, 1)
    colour = on_black / np.maximum(alpha, 1 / 255)[..., None]
    return Drawing(x, y, np.rint(np.minimum(colour, 255)).astype(np.uint8), alpha.astype(np.float32))


def composite(picture: VideoFrame, bgr: BGR, alpha: Alpha, tags: Tags, at: tuple[int, int] = (0, 0)) -> None:
    """Lays `bgr` over the picture, in place, its corner `at` even pixels. What lies outside of the picture is left out.

    `tags` say what the picture's samples mean: colour.tags_of(picture). On kept HDR white is the reference white of
    203 cd/m² (ITU-R BT.2408). A sample of chroma changes where one of its four pixels is covered.
    """
    x, y = at
    assert x >= 0 and y >= 0 and not (x % 2 or y % 2), "a drawing's corner lies on even pixels of the picture"
    height, width = min(alpha.shape[0], picture.height - y), min(alpha.shape[1], picture.width - x)
    if height <= 0 or width <= 0:
        return
    bgr, alpha = _even(bgr[:height, :width]), _even(alpha[:height, :width])
    deep = plane(picture, 0).dtype != np.uint8
    rows, offsets = rgb_rows(tags, 10 if deep else 8)
    colours = _colours(bgr, tags) @ rows.T.astype(np.float32) + offsets.astype(np.float32)
    _lay(plane(picture, 0)[y : y + height, x : x + width], colours[..., 0] * alpha, alpha)
    share = _quartered(alpha)
    for number in (1, 2):
        target = plane(picture, number)[y // 2 : y // 2 + share.shape[0], x // 2 : x // 2 + share.shape[1]]
        _lay(target, _quartered(colours[..., number] * alpha), share)


def compose(picture: VideoFrame, drawing: Drawing | None, tags: Tags) -> None:
    if drawing is not None:
        composite(picture, drawing.bgr, drawing.alpha, tags, (drawing.x, drawing.y))


def _colours(bgr: BGR, tags: Tags) -> NDArray[np.float32]:
    """R'G'B' of the picture's own encoding, 0 to 1."""
    rgb = bgr[..., ::-1].astype(np.float32) / np.float32(255)
    if not tags.is_wide:
        return rgb
    # A drawing has few colours: its curve is bent once for each of them.
    colours, which = np.unique(bgr.reshape(-1, 3), axis=0, return_inverse=True)
    bent = bt709_to_hdr(colours[:, ::-1] / 255.0, tags)
    return np.asarray(bent[which.ravel()].reshape(rgb.shape), np.float32)


def _lay(target: Samples, colour: NDArray[np.float32], share: NDArray[np.float32]) -> None:
    """`colour` is multiplied by the share already."""
    colour, share = colour[: target.shape[0], : target.shape[1]], share[: target.shape[0], : target.shape[1]]
    # Pure red of full range lies half a level past the last one.
    mixed = np.clip(np.rint(target * (1 - share) + colour), 0, 255 if target.dtype == np.uint8 else 1023)
    covered = share > 0
    target[covered] = mixed[covered].astype(target.dtype)


def _quartered(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of two by two."""
    height, width = samples.shape
    means: NDArray[np.float32] = samples.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3), dtype=np.float32)
    return means


def _even(part: Array) -> Array:
    """With a last row and column that nothing covers, where their number is odd."""
    sides = [(0, side % 2) for side in part.shape[:2]]
    padded: Array = np.pad(part, [*sides, *[(0, 0)] * (part.ndim - 2)])  # type: ignore[assignment]
    return padded

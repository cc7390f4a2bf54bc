"""Everything outside of ellipses blurred, or darkened. Child process only.

Each plane is worked on by itself: inside of an ellipse its samples stay as they are, bit by bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal, TypeAlias

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from backend.media.colour import Tags, tags_of
from backend.media.paint.grid import Axis, sample_places
from backend.media.paint.rows import LayerRows, load_rows
from backend.media.resample import Samples, Window, plane

# The blurred picture is made at a scale at which it spreads over this many samples: it holds nothing finer.
_SMALL_SIGMA = 2.0
# Samples of black and of no colour, 8 bits: limited and full range.
_BLACK_LIMITED, _BLACK_FULL, _NEUTRAL = 16, 0, 128

Plane32: TypeAlias = NDArray[np.float32]


class HighlightOrder(BaseModel):
    """`data_file` has a row for each ellipse on each frame: x and y of its centre, radius_x, radius_y in pixels of the
    upright source, and `opacity`, how much of the effect shows; of several ellipses the strongest counts. On a frame
    without a row nothing is drawn. `feather`: the effect grows over this share of the radii, from the edge outwards."""

    model_config = ConfigDict(extra="forbid")

    data_file: str
    feather: Annotated[float, Field(ge=0, le=4)]


class BlurOrder(HighlightOrder):
    type: Literal["blur"] = "blur"
    spread: Annotated[float, Field(gt=0, le=0.25)]  # standard deviation, as a share of the picture's shorter side


class SpotlightOrder(HighlightOrder):
    type: Literal["spotlight"] = "spotlight"
    light: Annotated[float, Field(ge=0, le=1)]  # how much of it is left outside


class _Highlight(ABC):
    def __init__(self, order: HighlightOrder) -> None:
        self._rows = load_rows(order.data_file)
        self._feather = order.feather
        # Ellipses that stand still in a window that stands still have the same veil on every frame.
        self._last: tuple[bytes, list[Plane32]] | None = None

    def paint(self, picture: VideoFrame, window: Window, number: int, pts: int) -> None:
        rows = self._rows.on(pts)
        if not len(rows):
            return
        tags = tags_of(picture)
        veils = self._veils(picture, window, rows)
        for index in range(3):
            self._draw(plane(picture, index), veils[min(index, 1)], index, tags)

    @abstractmethod
    def _draw(self, samples: Samples, veil: Plane32, index: int, tags: Tags) -> None:
        """In place; `veil` is how much of the effect shows at each sample, from 0 to 1."""

    def _veils(self, picture: VideoFrame, window: Window, rows: LayerRows) -> list[Plane32]:
        """Of luma, and of both planes of chroma."""
        ellipses = np.column_stack([rows.columns[name] for name in ("x", "y", "radius_x", "radius_y", "opacity")])
        key = repr((window, picture.width, picture.height)).encode() + ellipses.tobytes()
        if self._last is None or self._last[0] != key:
            shapes = [plane(picture, index).shape for index in (0, 1)]
            places = [sample_places(picture, window, i, (shape[0], shape[1])) for i, shape in enumerate(shapes)]
            self._last = key, [veil(*place, ellipses, self._feather) for place in places]
        return self._last[1]


class Spotlight(_Highlight):
    def __init__(self, order: SpotlightOrder) -> None:
        super().__init__(order)
        self._light = order.light

    def _draw(self, samples: Samples, veil: Plane32, index: int, tags: Tags) -> None:
        """Luma sinks towards black and colour fades with it, as RGB times one factor does."""
        dark = np.full(samples.shape, _darkest(index, samples, tags), np.float32)
        _mix(samples, dark, veil * (1 - self._light))


class Blur(_Highlight):
    def __init__(self, order: BlurOrder) -> None:
        super().__init__(order)
        self._spread = order.spread

    def _draw(self, samples: Samples, veil: Plane32, index: int, tags: Tags) -> None:
        _mix(samples, blurred(samples, self._spread * min(samples.shape)), veil)


def veil(columns: Axis, rows: Axis, ellipses: NDArray[np.float64], feather: float) -> Plane32:
    """How much of the effect shows at each place, (rows, columns): nothing in any ellipse, and from there to the
    largest opacity along a smooth step, 3t² - 2t³."""
    nearest = np.full((len(rows), len(columns)), np.inf, np.float32)  # squared, in radii
    for x, y, radius_x, radius_y, _ in ellipses.tolist():
        reach = 1 + feather
        across = slice(*np.searchsorted(columns, [x - radius_x * reach, x + radius_x * reach]))
        down = slice(*np.searchsorted(rows, [y - radius_y * reach, y + radius_y * reach]))
        dx, dy = (columns[across] - x) / radius_x, (rows[down] - y) / radius_y
        part = nearest[down, across]
        np.minimum(part, np.square(dx)[None, :] + np.square(dy)[:, None], out=part)
    away = np.sqrt(nearest, out=nearest)
    if not feather:
        return (away > 1).astype(np.float32) * np.float32(ellipses[:, 4].max())
    # Once for all of them: an ellipse's step rises with the way to it.
    t = np.clip((away - 1) / np.float32(feather), 0, 1)
    return np.asarray(t * t * (3 - 2 * t) * np.float32(ellipses[:, 4].max()), np.float32)


def blurred(samples: Samples, sigma_px: float) -> Plane32:
    """The plane out of focus."""
    height, width = samples.shape
    scale = max(1.0, sigma_px / _SMALL_SIGMA)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    small = cv2.resize(samples, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    soft = cv2.GaussianBlur(small, (0, 0), sigma_px / scale, borderType=cv2.BORDER_REPLICATE)
    # Enlarged in floats: eight-bit cells would show as steps.
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _mix(samples: Samples, other: Plane32, share: Plane32) -> None:
    """samples + share (other - samples), in place. Where the share is 0 nothing changes."""
    mixed = cv2.subtract(other, samples, dtype=cv2.CV_32F)
    mixed = cv2.multiply(mixed, share)
    mixed = cv2.add(mixed, samples, dtype=cv2.CV_8U if samples.dtype == np.uint8 else cv2.CV_16U)
    samples[:] = mixed


def _darkest(index: int, samples: Samples, tags: Tags) -> int:
    level = _NEUTRAL if index else _BLACK_FULL if tags.full_range else _BLACK_LIMITED
    return level * (4 if samples.dtype != np.uint8 else 1)  # ten bits hold four times the levels

"""Everything outside of ellipses blurred, or darkened. Child process only.

Each plane is worked on by itself: inside of an ellipse its samples stay as they are, bit by bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

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
Mask = TypeVar("Mask")


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


class _Highlight(ABC, Generic[Mask]):
    def __init__(self, order: HighlightOrder) -> None:
        self._rows = load_rows(order.data_file)
        self._feather = order.feather
        # Ellipses that stand still in a window that stands still have the same masks on every frame.
        self._last: tuple[bytes, list[Mask]] | None = None
        self._buffers: dict[tuple[int, ...], Plane32] = {}

    def paint(self, picture: VideoFrame, window: Window, number: int, pts: int) -> None:
        rows = self._rows.on(pts)
        if not len(rows):
            return
        masks = self._masks(picture, window, rows)
        for index in range(3):
            self._draw(plane(picture, index), masks[min(index, 1)])

    @abstractmethod
    def _mask(self, veil: Plane32, darkest: int) -> Mask:
        """What `_draw` wants to know of a plane, in the place of `veil`: how much of the effect shows at each sample,
        from 0 to 1. `darkest`: the sample of black, or of no colour."""

    @abstractmethod
    def _draw(self, samples: Samples, mask: Mask) -> None:
        """In place."""

    def _buffer(self, samples: Samples) -> Plane32:
        """Of the plane's shape, with anything in it. A new array for each frame costs more than the arithmetic: the
        system hands out its memory page by page."""
        if samples.shape not in self._buffers:
            self._buffers[samples.shape] = np.empty(samples.shape, np.float32)
        return self._buffers[samples.shape]

    def _masks(self, picture: VideoFrame, window: Window, rows: LayerRows) -> list[Mask]:
        """Of luma, and of both planes of chroma."""
        ellipses = np.column_stack([rows.columns[name] for name in ("x", "y", "radius_x", "radius_y", "opacity")])
        tags = tags_of(picture)
        key = repr((window, picture.width, picture.height, tags)).encode() + ellipses.tobytes()
        if self._last is None or self._last[0] != key:
            masks = []
            for index in (0, 1):
                samples = plane(picture, index)
                columns, lines = sample_places(picture, window, index, (samples.shape[0], samples.shape[1]))
                masks.append(self._mask(veil(columns, lines, ellipses, self._feather), _darkest(index, samples, tags)))
            self._last = key, masks
        return self._last[1]


@dataclass(frozen=True, eq=False)
class Dimming:
    """By what the samples are multiplied, and what is added then."""

    factor: Plane32
    offset: Plane32


class Spotlight(_Highlight[Dimming]):
    def __init__(self, order: SpotlightOrder) -> None:
        super().__init__(order)
        self._light = order.light

    def _mask(self, veil: Plane32, darkest: int) -> Dimming:
        """Luma sinks towards black and colour fades with it, as RGB times one factor does."""
        share = veil
        share *= np.float32(1 - self._light)
        offset = share * np.float32(darkest)
        return Dimming(np.subtract(1, share, out=share), offset)

    def _draw(self, samples: Samples, mask: Dimming) -> None:
        _put(samples, cv2.multiply(samples, mask.factor, dst=self._buffer(samples), dtype=cv2.CV_32F), mask.offset)


class Blur(_Highlight[Plane32]):
    def __init__(self, order: BlurOrder) -> None:
        super().__init__(order)
        self._spread = order.spread

    def _mask(self, veil: Plane32, darkest: int) -> Plane32:
        return veil

    def _draw(self, samples: Samples, mask: Plane32) -> None:
        """samples + mask (blurred - samples)"""
        part = blurred(samples, self._spread * min(samples.shape), self._buffer(samples))
        cv2.subtract(part, samples, dst=part, dtype=cv2.CV_32F)
        _put(samples, cv2.multiply(part, mask, dst=part), samples)


def veil(columns: Axis, rows: Axis, ellipses: NDArray[np.float64], feather: float) -> Plane32:
    """How much of the effect shows at each place, (rows, columns): nothing in any ellipse, and from there to the
    largest opacity along a smooth step, 3t² - 2t³."""
    opacity = np.float32(ellipses[:, 4].max())
    shown = np.full((len(rows), len(columns)), opacity)
    reach = ellipses[:, 2:4] * (1 + feather)
    (left, top), (right, bottom) = (
        (np.searchsorted(columns, corners[:, 0]).tolist(), np.searchsorted(rows, corners[:, 1]).tolist())
        for corners in (ellipses[:, :2] - reach, ellipses[:, :2] + reach)
    )
    across, down = slice(min(left), max(right)), slice(min(top), max(bottom))
    nearest = np.empty_like(shown)  # squared, in radii
    nearest[down, across] = np.inf
    for number, (x, y, radius_x, radius_y, _) in enumerate(ellipses.tolist()):
        own = slice(top[number], bottom[number]), slice(left[number], right[number])
        dx, dy = (columns[own[1]] - x) / radius_x, (rows[own[0]] - y) / radius_y
        np.minimum(nearest[own], np.square(dx)[None, :] + np.square(dy)[:, None], out=nearest[own])
    # Once for all of them: the step rises with the way to an ellipse.
    away = np.sqrt(nearest[down, across])
    t = np.clip((away - 1) / feather, 0, 1) if feather else (away > 1).astype(np.float32)
    shown[down, across] = t * t * (3 - 2 * t) * opacity
    return shown


def blurred(samples: Samples, sigma_px: float, target: Plane32) -> Plane32:
    """The plane out of focus; it is written into `target`."""
    height, width = samples.shape
    scale = max(1.0, sigma_px / _SMALL_SIGMA)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    small = cv2.resize(_halved(samples, size), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    soft = cv2.GaussianBlur(small, (0, 0), sigma_px / scale, borderType=cv2.BORDER_REPLICATE)
    # Enlarged in floats: eight-bit cells would show as steps.
    cv2.resize(soft, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
    return target


def _halved(samples: Samples, size: tuple[int, int]) -> Samples:
    """Halved for as long as nothing is left over and it is twice as large as that: means of means are the same means,
    and those of two by two are many times as fast as others."""
    while (
        not any(side % 2 for side in samples.shape)
        and samples.shape[1] >= 2 * size[0]
        and samples.shape[0] >= 2 * size[1]
    ):
        half = (samples.shape[1] // 2, samples.shape[0] // 2)
        samples = cv2.resize(samples, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return samples


def _put(samples: Samples, part: NDArray[Any], other: NDArray[Any]) -> None:
    """The sum of both, rounded, into the samples."""
    cv2.add(part, other, dst=samples, dtype=cv2.CV_8U if samples.dtype == np.uint8 else cv2.CV_16U)


def _darkest(index: int, samples: Samples, tags: Tags) -> int:
    level = _NEUTRAL if index else _BLACK_FULL if tags.full_range else _BLACK_LIMITED
    return level * (4 if samples.dtype != np.uint8 else 1)  # ten bits hold four times the levels

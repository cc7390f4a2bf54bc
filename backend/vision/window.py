"""The window's size, the output's size, and where the window may stand so that it holds the subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.errors import InvalidParams

HELD_PART_RATIO = 0.9
# Padding takes at most this share of the room that a window has beside its subject; the rest is freedom to stand still.
_PADDING_OF_SPARE = 0.75
# A box this much larger than the window has its held part in it and no more.
_FAR_TOO_LARGE = 1.1
# A window that would not be smaller than this, as a share of the largest, is the largest.
_WORTH_RATIO = 0.9
_MAX_OUTPUT_PX = 16_384
# A shot is shown between bars where the subject is larger than any window for more than this share of its frames: one
# outstretched arm is not worth them.
_TOO_LARGE_SHARE = 0.05
FITS_PX = 0.5
MAX_PANELS = 3

Fill = Literal["crop", "pad", "blur"]
# These choose for each stretch of a shot (backend.vision.layouts): `auto` among all, `split` without bars.
Laying = Literal["auto", "split"]

Floats = NDArray[np.float64]
Shot = tuple[int, int]


@dataclass(frozen=True)
class CropSpec:
    """The wanted window. `aspect` None is the source's; `output_size` may lack either side. Raises InvalidParams.

    `fill` other than `crop`: where no window of the aspect can hold the subject, one of another shape may.
    """

    aspect: Fraction | None = None
    padding_ratio: float = 0.12
    min_crop_ratio: float = 0.35
    keep_aspect: bool = True
    max_upscale: float = 2.0
    output_size: tuple[int | None, int | None] | None = None
    fill: Fill = "crop"
    zoom: bool = True

    def __post_init__(self) -> None:
        require(self.aspect is None or Fraction(1, 100) <= self.aspect <= 100, "aspect must be from 1:100 to 100:1")
        require(0 <= self.padding_ratio <= 5, "padding_ratio must be from 0 to 5")
        require(0 < self.min_crop_ratio <= 1, "min_crop_ratio must be above 0 and at most 1")
        require(1 <= self.max_upscale <= 100, "max_upscale must be from 1 to 100")
        sides = [side for side in self.output_size or () if side is not None]
        require(all(2 <= side <= _MAX_OUTPUT_PX for side in sides), f"output sides must be 2 to {_MAX_OUTPUT_PX} px")
        if self.aspect is not None and len(sides) == 2:
            stretch = sides[0] / sides[1] / float(self.aspect)
            require(0.98 < stretch < 1.02, "output_width and output_height contradict aspect; leave one of them out")


@dataclass(frozen=True)
class Room:
    """What the window can hold: its largest size in pixels, the padding wanted around people as a share of their box,
    and whether bars may show more than that."""

    width_px: float
    height_px: float
    padding_ratio: float
    may_have_bars: bool = False

    @property
    def size_px(self) -> NDArray[np.float64]:
        return np.array([self.width_px, self.height_px])

    def fits(self, boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether boxes (..., 4) fit without padding; true where nobody is."""
        return np.asarray(~((boxes[..., 2:] - boxes[..., :2]) > self.size_px + FITS_PX).any(axis=-1))

    def share_shown(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much of boxes (..., 4) the window shows at the most along the worse axis, from 0 to 1."""
        sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 1.0)
        return np.asarray(np.minimum(1.0, (self.size_px + FITS_PX) / sides).min(axis=-1))


def room_of(spec: CropSpec, frame_size: tuple[int, int]) -> Room:
    """What the largest window of the wanted shape holds; the whole picture where the window takes its subject's shape.

    Raises InvalidParams for a named output that is too large.
    """
    width, height = spec.output_size or (None, None)
    takes_any_shape = not spec.keep_aspect and (width is None or height is None)
    aspect = _wanted_aspect(spec, np.zeros((0, 2)), frame_size)
    size = (float(frame_size[0]), float(frame_size[1])) if takes_any_shape else largest_window(frame_size, aspect)
    return Room(*size, spec.padding_ratio, spec.fill != "crop")


def output_of(spec: CropSpec, frame_size: tuple[int, int]) -> tuple[int, int]:
    """The finished picture's size where windows keep their shape. Raises InvalidParams for one that is too large."""
    return window_sizes(spec, np.zeros((0, 4)), [], frame_size)[1]


def needs_bars(boxes: Floats, limit: Floats) -> bool:
    """Whether the subject's boxes (n, 4) are larger than `limit` (width, height) on too many of its frames."""
    sides = (boxes[:, 2:] - boxes[:, :2])[np.isfinite(boxes[:, 0])]
    return bool(len(sides) and (sides > limit + FITS_PX).any(axis=1).mean() > _TOO_LARGE_SHARE)


def largest_window(frame_size: tuple[int, int], aspect: float) -> tuple[float, float]:
    """Width and height in pixels of the largest window of that aspect in the picture."""
    width = min(float(frame_size[0]), frame_size[1] * aspect)
    return width, min(float(frame_size[1]), width / aspect)


def output_size(spec: CropSpec, window: tuple[float, float]) -> tuple[int, int]:
    """The size of the finished picture: even sides, the window's own unless the spec names one; one named side leads.

    Raises InvalidParams when the window would be enlarged by more than `max_upscale`.
    """
    width, height = spec.output_size or (None, None)
    if width is None and height is None:
        return _even(window[0]), _even(window[1])
    if width is None:
        assert height is not None
        width = _even(height * window[0] / window[1])
    size = (_even(width), _even(width * window[1] / window[0] if height is None else height))
    # One pixel of grace: rounding to even sides must not refuse what was asked for at the limit.
    fits = all(side <= spec.max_upscale * limit + 1 for side, limit in zip(size, window, strict=True))
    largest = f"{spec.max_upscale * window[0]:.0f}x{spec.max_upscale * window[1]:.0f}"
    require(fits, f"output {size[0]}x{size[1]} is too large for this source; it allows up to {largest}")
    return size


def panel_areas(output_size: tuple[int, int], count: int) -> list[tuple[int, int, int, int]]:
    """x, y, width, height in the output of each panel, all of the same even size: one above the other in a picture that
    is higher than wide, else side by side. What is left over by rounding is at the end."""
    width, height = output_size
    if height >= width:
        each = height // count // 2 * 2
        return [(0, number * each, width, each) for number in range(count)]
    each = width // count // 2 * 2
    return [(number * each, 0, each, height) for number in range(count)]


def window_sizes(
    spec: CropSpec,
    boxes: Floats,
    shots: Sequence[Shot],
    frame_size: tuple[int, int],
    bars: Sequence[bool] | None = None,
) -> tuple[Floats, tuple[int, int]]:
    """The largest window of each shot (n_shots, 2) in pixels, and the size of the output: that of the largest window in
    the picture, unless the spec names one. Nearly as large is as large: nobody sees that somebody is a little larger,
    but enlarged pixels are less sharp.

    Windows have the output's shape, but for shots that `spec.fill` shows between bars (those of `bars`, or any); none
    is smaller than `max_upscale` allows.
    """
    needs = np.array([_padded_need(boxes[start:stop], spec) for start, stop in shots]).reshape(-1, 2)
    aspect = _wanted_aspect(spec, needs, frame_size)
    if any(side is not None for side in spec.output_size or ()):
        output = output_size(spec, largest_window(frame_size, aspect))
        limit = np.array(largest_window(frame_size, output[0] / output[1]))
    else:
        # The largest window has whole, even sides and equals the output, so its still pixels are copied, not resampled.
        largest = zip(largest_window(frame_size, aspect), frame_size, strict=True)
        whole = [min(_even(side), frame // 2 * 2 or frame) for side, frame in largest]
        output = output_size(spec, (whole[0], whole[1]))
        limit = np.array(whole, dtype=np.float64)
    smallest = max(spec.min_crop_ratio, min(1.0, output[0] / (spec.max_upscale * limit[0])))
    scales = np.clip((needs / limit).max(axis=1), smallest, 1.0)
    scales[scales > _WORTH_RATIO] = 1.0
    may = [spec.fill != "crop"] * len(shots) if bars is None else bars
    return _filled(spec, scales[:, None] * limit, boxes, shots, frame_size, may), output


def _filled(
    spec: CropSpec,
    sizes: Floats,
    boxes: Floats,
    shots: Sequence[Shot],
    frame_size: tuple[int, int],
    bars: Sequence[bool],
) -> Floats:
    """The sizes, made wider or taller for shots whose subject no window of the output's shape can hold."""
    if not len(sizes):
        return sizes
    frame = np.array(frame_size, dtype=np.float64)
    limit = sizes[0] * (frame / sizes[0]).min()
    found = sizes.copy()
    for index, (start, stop) in enumerate(shots):
        if bars[index] and needs_bars(boxes[start:stop], limit):
            found[index] = np.minimum(frame, np.maximum(limit, _padded_need(boxes[start:stop], spec)))
    return found


def smallest_width(spec: CropSpec, shot_width: float, output: tuple[int, int], frame_size: tuple[int, int]) -> float:
    """How narrow a window may become by zooming, in pixels: enough picture, and not enlarged too far."""
    largest = largest_window(frame_size, output[0] / output[1])[0]
    return min(shot_width, max(spec.min_crop_ratio * largest, output[0] / spec.max_upscale))


def padded_share(boxes: Floats, size: Floats, spec: CropSpec) -> Floats:
    """Per frame the share of a window of `size` that the padded subject fills, the larger of both axes; NaN: nobody."""
    return np.asarray(((boxes[:, 2:] - boxes[:, :2]) * (1 + 2 * spec.padding_ratio) / size).max(axis=1))


def bands(boxes: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Lowest and highest window centre (n, 2) that keep the held part of the box inside the window."""
    held = np.minimum(boxes[:, 2:] - boxes[:, :2], HELD_PART_RATIO * sizes)
    return _around(boxes, (sizes - held) / 2)


def wanted_bands(boxes: Floats, sizes: Floats, padding_ratio: float) -> tuple[Floats, Floats]:
    """Lowest and highest window centre (n, 2) that a path prefers: those that keep the padding inside the window too.

    As the box grows towards the window the padding gives way without a jump, to three quarters of what room there is;
    then the box is whole, and of one larger than the window, gradually, only the held part is wanted.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    spare = (sizes - sides) / 2
    freedom = spare - np.minimum(padding_ratio * sides, _PADDING_OF_SPARE * spare)
    beyond = np.clip((sides / sizes - 1.0) / (_FAR_TOO_LARGE - 1.0), 0.0, 1.0)
    return _around(boxes, np.maximum(freedom, beyond * (1.0 - HELD_PART_RATIO) / 2 * sizes))


def _around(boxes: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centres - freedom, centres + freedom


def keeps_shape(sizes: Floats, output_size: NDArray[np.int64] | tuple[int, int]) -> NDArray[np.bool_]:
    """Which windows (..., 2) have the shape of what they fill (..., 2), but for the rounding of its sides to pixels."""
    filled = np.asarray(output_size, dtype=np.float64)
    return np.asarray(np.abs(sizes[..., 0] * filled[..., 1] - sizes[..., 1] * filled[..., 0]) <= filled.sum(axis=-1))


def inside_picture(boxes: Floats, count: int, frame_size: tuple[int, int]) -> Floats:
    if boxes.shape != (count, 4):
        raise ValueError(f"subject boxes have the shape {boxes.shape}, not {(count, 4)}")
    return np.clip(boxes, 0.0, np.array([*frame_size, *frame_size], dtype=np.float64))


def _padded_need(boxes: Floats, spec: CropSpec) -> Floats:
    """Largest width and height of the padded subject; without a subject infinite, which means the largest window."""
    sides = boxes[np.isfinite(boxes[:, 0])]
    if not len(sides):
        return np.array([np.inf, np.inf])
    return np.asarray((sides[:, 2:] - sides[:, :2]).max(axis=0) * (1 + 2 * spec.padding_ratio))


def _wanted_aspect(spec: CropSpec, needs: Floats, frame_size: tuple[int, int]) -> float:
    width, height = spec.output_size or (None, None)
    if width is not None and height is not None:
        return _even(width) / _even(height)
    aspect = frame_size[0] / frame_size[1] if spec.aspect is None else float(spec.aspect)
    if spec.keep_aspect or not len(needs):
        return aspect
    limit = np.array(largest_window(frame_size, aspect))
    free = np.clip(needs.max(axis=0), spec.min_crop_ratio * limit, limit)
    return float(free[0] / free[1])


def require(condition: bool, sentence: str) -> None:
    if not condition:
        raise InvalidParams(f"{sentence}.")


def _even(side_px: float) -> int:
    return max(2, 2 * round(side_px / 2))

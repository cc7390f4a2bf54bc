"""What a frame's samples mean, and the way from there to 8-bit SDR BT.709. Child process only.

No round trip through RGB. Between two Y'CbCr encodings of the same primaries the new chroma depends on the old chroma
alone and the new luma is the old one plus a share of chroma (ITU-R BT.601-7, BT.709-6, BT.2020-2; code points, scales
and offsets of limited and full range from ITU-T H.273).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from backend.media.facts import BT2020, HLG, PQ, Appearance
from backend.media.resample import Samples, plane

# H.273 code points.
BT709 = 1
_UNSPECIFIED = (0, 2, 3)
_LIMITED_RANGE, _FULL_RANGE = 1, 2
_HD_HEIGHT = 720
# Kr and Kb by matrix code; 5 and 6 are BT.601 as 625 and as 525 lines.
_LUMA_SHARES = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_DEEP = "yuv420p10le"
_SHALLOW = "yuv420p"


@dataclass(frozen=True)
class Tags:
    """H.273 code points of a frame. The matrix is never unspecified: it is guessed from the height, as players do."""

    matrix: int
    full_range: bool
    transfer: int
    primaries: int

    @property
    def is_hdr(self) -> bool:
        return self.transfer in (PQ, HLG)

    @property
    def is_wide(self) -> bool:
        """BT.2020 primaries, or a curve that only comes with them."""
        return self.is_hdr or self.primaries == BT2020


SDR = Tags(BT709, False, BT709, BT709)


def tags_of(frame: VideoFrame) -> Tags:
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
    matrix = int(frame.colorspace)
    if matrix not in _LUMA_SHARES:
        matrix = 5 if frame.height < _HD_HEIGHT else BT709
        if transfer in (PQ, HLG) or primaries == BT2020:
            matrix = BT2020
    return Tags(matrix, full, transfer, primaries)


def tags_in(appearance: Appearance) -> Tags:
    return Tags(appearance.matrix, appearance.full_range, appearance.transfer, appearance.primaries)


def is_deep(frame: VideoFrame) -> bool:
    return any(component.bits > 8 for component in frame.format.components)


def planar(frame: VideoFrame, size: tuple[int, int], *, deep: bool) -> tuple[VideoFrame, Tags]:
    """The frame as 4:2:0 of `size` in 8 or, when `deep`, 10 bits, and what its samples then mean.

    Matrix and range stay; RGB, grey and palettes become BT.709 of limited range.
    """
    tags = tags_of(frame)
    wanted = _DEEP if deep else _SHALLOW
    same_size = (frame.width, frame.height) == size
    if same_size and frame.format.name in ((wanted,) if deep else (wanted, "yuvj420p")):
        return frame, tags
    width, height = size
    if _is_yuv(frame):
        side = ColorRange.JPEG if tags.full_range else ColorRange.MPEG
        same = Colorspace.ITU709  # whichever: the same on both sides keeps the samples
        changed = frame.reformat(width, height, wanted, same, same, "BICUBIC", side, side, threads=1)
        return changed, tags
    changed = frame.reformat(
        width, height, wanted, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
    )
    return changed, SDR


def to_sdr(picture: VideoFrame, tags: Tags) -> VideoFrame:
    """8-bit BT.709, limited range, from 4:2:0 of 8 or 10 bits. The curve and the primaries stay as they are."""
    bits = 10 if picture.format.name == _DEEP else 8
    if bits == 8 and tags.matrix == BT709 and not tags.full_range and picture.format.name == _SHALLOW:
        return picture
    luma, blue, red = (plane(picture, number) for number in range(3))
    output = VideoFrame(picture.width, picture.height, _SHALLOW)
    maths = _maths(tags.matrix, tags.full_range, bits)
    rounding = _dither(blue.shape) if bits > 8 else None
    for number in (1, 2):
        plane(output, number)[:] = _mixed(blue, red, maths.rows[number], maths.offsets[number], rounding)
    plane(output, 0)[:] = _luma(luma, blue, red, maths)
    return output


@dataclass(frozen=True)
class _Maths:
    """Sample values to sample values: rows of (luma, blue, red) shares and what is added, for Y', Cb and Cr."""

    rows: NDArray[np.float64]
    offsets: NDArray[np.float64]


def rgb_rows(tags: Tags, bits: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How R'G'B' from 0 to 1 become samples: rows of their shares in Y', Cb and Cr (3, 3), and what is added (3,)."""
    scale, offset = _coding(tags.full_range, bits)
    return scale[:, None] * np.linalg.inv(_to_rgb(tags.matrix)), offset


def note_tags(picture: VideoFrame, tags: Tags) -> None:
    """So that tags_of says them of a picture that was made here."""
    picture.colorspace, picture.color_range = tags.matrix, _FULL_RANGE if tags.full_range else _LIMITED_RANGE
    picture.color_trc, picture.color_primaries = tags.transfer, tags.primaries


@functools.lru_cache
def _maths(matrix: int, full_range: bool, bits: int) -> _Maths:
    turn = np.linalg.inv(_to_rgb(BT709)) @ _to_rgb(matrix)
    turn[np.abs(turn) < 1e-12] = 0
    scale, offset = _coding(full_range, bits)
    new_scale, new_offset = _coding(False, 8)
    rows = new_scale[:, None] * turn / scale[None, :]
    return _Maths(rows, new_offset - rows @ offset)


def _to_rgb(matrix: int) -> NDArray[np.float64]:
    red, blue = _LUMA_SHARES[matrix]
    green = 1 - red - blue
    return np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * (1 - blue) * blue / green, -2 * (1 - red) * red / green],
            [1, 2 * (1 - blue), 0],
        ]
    )


def _coding(full_range: bool, bits: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and offset of Y', Cb and Cr (H.273, equations 20 to 28)."""
    step = 2 ** (bits - 8)
    if full_range:
        return np.full(3, 2.0**bits - 1), np.array([0, 128 * step, 128 * step], np.float64)
    return np.array([219, 224, 224]) * float(step), np.array([16, 128, 128]) * float(step)


def _mixed(
    blue: Samples,
    red: Samples,
    row: NDArray[np.float64],
    offset: float,
    rounding: NDArray[np.float32] | None,
) -> cv2.typing.MatLike:
    if rounding is None:
        return cv2.addWeighted(blue, row[1], red, row[2], offset, dtype=cv2.CV_8U)
    exact = cv2.addWeighted(blue, row[1], red, row[2], offset, dtype=cv2.CV_32F)
    return cv2.add(exact, rounding, dtype=cv2.CV_8U)


def _luma(luma: Samples, blue: Samples, red: Samples, maths: _Maths) -> cv2.typing.MatLike:
    gain, blue_share, red_share = maths.rows[0]
    deep = luma.dtype != np.uint8
    if not (blue_share or red_share):
        added: cv2.typing.MatLike = _dither(luma.shape) if deep else np.zeros_like(luma)
        return cv2.addWeighted(luma, gain, added, 1, maths.offsets[0], dtype=cv2.CV_8U)
    # What chroma adds to luma is a few levels: eight bits hold it, about a middle of 128, unless the source is finer.
    middle = 0 if deep else 128
    neutral = -(blue_share + red_share) * float(128 * (4 if deep else 1))
    added = cv2.addWeighted(blue, blue_share, red, red_share, neutral + middle, dtype=cv2.CV_32F if deep else cv2.CV_8U)
    added = cv2.resize(added, (luma.shape[1], luma.shape[0]), interpolation=cv2.INTER_LINEAR)
    if deep:
        added = cv2.add(added, _dither(luma.shape))
    return cv2.addWeighted(luma, gain, added, 1, maths.offsets[0] - neutral - middle, dtype=cv2.CV_8U)


@functools.lru_cache(maxsize=4)
def _dither(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Ordered dither (Bayer 1973, 8 × 8) in (-0.5, 0.5): a gradient finer than a level keeps its mean."""
    pattern = np.zeros((1, 1))
    for _ in range(3):
        pattern = np.block([[4 * pattern, 4 * pattern + 2], [4 * pattern + 3, 4 * pattern + 1]])
    tiles = [-(-side // 8) for side in shape]
    whole = np.tile((pattern + 0.5) / 64 - 0.5, tiles)[: shape[0], : shape[1]]
    return np.ascontiguousarray(whole, np.float32)


def _is_yuv(frame: VideoFrame) -> bool:
    """Planes or packed samples of Y'CbCr."""
    name = frame.format.name
    return name.startswith(("yuv", "nv", "p0", "p2", "p4", "uyvy", "yvyu", "y2", "xv", "ayuv", "vuy"))

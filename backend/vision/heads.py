"""Where people's heads are, by the shape of their boxes, and who of them a window shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.vision.window import Floats

# A standing body is seven heads high; of somebody whom the picture cuts off below the chest a third is head.
_STANDING_HEADS, _BUST_HEADS = 7.0, 3.0
# How much higher than wide the box of a standing person and of a bust is.
_STANDING_SHAPE, _BUST_SHAPE = 2.4, 1.2
_HEAD_WIDE = 0.75
# Whose box ends this near to the bottom of the picture is cut off by it.
_CUT_OFF_RATIO = 0.98


@dataclass(frozen=True, eq=False)
class People:
    """Everybody who could be shown: for each frame and person the number of the frame (k,), the box (k, 4) in pixels
    and whether it was asked for that this person is shown then (k,)."""

    frames: NDArray[np.int64]
    boxes: Floats
    asked: NDArray[np.bool_]

    @classmethod
    def nobody(cls) -> People:
        return cls(np.zeros(0, dtype=np.int64), np.zeros((0, 4)), np.zeros(0, dtype=np.bool_))

    @classmethod
    def all_of(cls, parts: Sequence[People]) -> People:
        """`parts` one after another."""
        if not parts:
            return cls.nobody()
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("frames", "boxes", "asked")))


def head_boxes(bodies: Floats, frame_height: float) -> Floats:
    """Heads (..., 4) of people whose boxes (..., 4) are known, in pixels: at the top, in the middle.

    A seventh of the height of who stands (as drawing has it); of who is cut off by the bottom of the picture more, up
    to a third, the wider the box is for its height.
    """
    width, height = bodies[..., 2] - bodies[..., 0], bodies[..., 3] - bodies[..., 1]
    shape = height / np.maximum(width, 1e-9)
    near_bust = np.clip((_STANDING_SHAPE - shape) / (_STANDING_SHAPE - _BUST_SHAPE), 0.0, 1.0)
    cut_off = bodies[..., 3] >= _CUT_OFF_RATIO * frame_height
    heads_high = _STANDING_HEADS - np.where(cut_off, near_bust, 0.0) * (_STANDING_HEADS - _BUST_HEADS)
    side = height / heads_high
    half = np.minimum(_HEAD_WIDE * side, width) / 2
    middle, top = (bodies[..., 0] + bodies[..., 2]) / 2, bodies[..., 1]
    return np.stack([middle - half, top, middle + half, top + side], axis=-1)

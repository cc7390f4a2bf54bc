"""Where people's heads are, by the shape of their boxes, and what comes first where a body is too high."""

from __future__ import annotations

import numpy as np

from backend.vision.window import Floats

# A standing body is seven heads high; of somebody whom the picture cuts off below the chest a third is head.
_STANDING_HEADS, _BUST_HEADS = 7.0, 3.0
# How much higher than wide the box of a standing person and of a bust is.
_STANDING_SHAPE, _BUST_SHAPE = 2.4, 1.2
_HEAD_WIDE = 0.75
# Of a body higher than the window, at most so much of the window is filled: the rest is room above the head.
_FILLED_RATIO, _FAR_TOO_HIGH = 0.9, 1.1
# Whose box ends this near to the bottom of the picture is cut off by it.
_CUT_OFF_RATIO = 0.98


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


def heads_first(boxes: Floats, sizes: Floats) -> Floats:
    """The boxes (n, 4) without the legs that windows of `sizes` (n, 2) cannot hold: what is higher than its window is
    shown from the top. From the height of the window on gradually, so that nothing jumps."""
    height = boxes[:, 3] - boxes[:, 1]
    beyond = np.clip((height / sizes[:, 1] - 1.0) / (_FAR_TOO_HIGH - 1.0), 0.0, 1.0)
    found = boxes.copy()
    found[:, 3] = boxes[:, 1] + np.minimum(height, sizes[:, 1] * (1.0 - (1.0 - _FILLED_RATIO) * beyond))
    return found

"""Where people's heads are, by the shape of their boxes, and what comes first where a body is too high."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.vision.window import Floats

# A standing body is seven heads high; of somebody whom the picture cuts off below the chest a third is head.
_STANDING_HEADS, _BUST_HEADS = 7.0, 3.0
# How much higher than wide the box of a standing person and of a bust is.
_STANDING_SHAPE, _BUST_SHAPE = 2.4, 1.2
HEAD_WIDE = 0.75
# Of a body larger than the window, at most so much of the window is filled: the rest is room around the head.
_FILLED_RATIO, _FAR_TOO_HIGH = 0.9, 1.1
# Whose box ends this near to a side of the picture is cut off by it.
_CUT_OFF_RATIO = 0.98
# Who is wider than the picture is seen from so near that the face is this part of the height, from the forehead down.
_FOREHEAD, _CHIN = 0.12, 0.8


def head_boxes(bodies: Floats, frame_size: tuple[int, int]) -> Floats:
    """Heads (..., 4) of people whose boxes (..., 4) are known, in pixels: at the top, in the middle.

    A seventh of the height of who stands (as drawing has it); of who is cut off by the bottom of the picture more, up
    to a third, the wider the box is for its height. In a close-up, which the picture cuts off on three sides, the face.
    """
    width, height = bodies[..., 2] - bodies[..., 0], bodies[..., 3] - bodies[..., 1]
    shape = height / np.maximum(width, 1e-9)
    near_bust = np.clip((_STANDING_SHAPE - shape) / (_STANDING_SHAPE - _BUST_SHAPE), 0.0, 1.0)
    cut_off = bodies[..., 3] >= _CUT_OFF_RATIO * frame_size[1]
    heads_high = _STANDING_HEADS - np.where(cut_off, near_bust, 0.0) * (_STANDING_HEADS - _BUST_HEADS)
    side = height / heads_high
    half = np.minimum(HEAD_WIDE * side, width) / 2
    middle, top = (bodies[..., 0] + bodies[..., 2]) / 2, bodies[..., 1]
    close = _are_close(bodies, frame_size)
    upper, lower = top + np.where(close, _FOREHEAD * height, 0.0), top + np.where(close, _CHIN * height, side)
    return np.stack([middle - half, upper, middle + half, lower], axis=-1)


def heads_in(bodies: Floats, frame_size: tuple[int, int], shares: Floats) -> Floats:
    """Heads (n, 4) in bodies (n, 4): where they are seen, as shares of the body's box (n, 4), else where they should
    be. Seen ones lie in the picture."""
    guessed = head_boxes(bodies, frame_size)
    low, side = np.tile(bodies[:, :2], 2), np.tile(bodies[:, 2:] - bodies[:, :2], 2)
    limit = np.tile(np.array(frame_size, dtype=np.float64), 2)
    return np.where(np.isfinite(shares), np.clip(low + shares * side, 0.0, limit), guessed)


def _are_close(bodies: Floats, frame_size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes (..., 4) the picture cuts off at both sides and at the bottom."""
    width, height = frame_size
    sides = (bodies[..., 0] <= (1 - _CUT_OFF_RATIO) * width) & (bodies[..., 2] >= _CUT_OFF_RATIO * width)
    return np.asarray(sides & (bodies[..., 3] >= _CUT_OFF_RATIO * height))


def heads_first(boxes: Floats, heads: Floats, sizes: Floats, frame_size: tuple[int, int]) -> Floats:
    """The boxes (n, 4) without what windows of `sizes` (n, 2) cannot hold beside the `heads` (n, 4): what is higher
    than its window is shown from the top, a close-up around its face; of what is wider the middle moves as far as
    the head needs. From the size of the window on gradually, so that nothing jumps."""
    height = boxes[:, 3] - boxes[:, 1]
    beyond = np.clip((height / sizes[:, 1] - 1.0) / (_FAR_TOO_HIGH - 1.0), 0.0, 1.0)
    kept = np.minimum(height, sizes[:, 1] * (1.0 - (1.0 - _FILLED_RATIO) * beyond))
    above_face = np.clip((_FOREHEAD + _CHIN) / 2 * height - kept / 2, 0.0, height - kept)
    found = boxes.copy()
    found[:, 1] += np.where(_are_close(boxes, frame_size), beyond * above_face, 0.0)
    found[:, 3] = found[:, 1] + kept
    found[:, ::2] += _towards_the_head(boxes, heads, sizes[:, 0])[:, None]
    return found


def _towards_the_head(boxes: Floats, heads: Floats, widths: Floats) -> Floats:
    """How far to the side (n,) windows of these widths have to be from the middle of boxes that are wider, so that the
    head is in the held part; nothing where it is there already."""
    room = np.maximum(_FILLED_RATIO * widths - (heads[:, 2] - heads[:, 0]), 0.0) / 2
    off = (heads[:, 0] + heads[:, 2] - boxes[:, 0] - boxes[:, 2]) / 2
    spare = np.maximum(boxes[:, 2] - boxes[:, 0] - _FILLED_RATIO * widths, 0.0) / 2
    return np.asarray(np.nan_to_num(np.clip(off - np.clip(off, -room, room), -spare, spare)))

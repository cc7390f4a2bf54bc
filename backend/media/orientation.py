"""How a coded picture has to be turned and mirrored for a viewer, from its display matrix. Child process only.

The matrix is the one of ISO/IEC 14496-12 (tkhd), or an SEI's, as FFmpeg hands it on: phones turn, selfie cameras
mirror.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame

Rotation = Literal[-90, 0, 90, 180]
_SLACK_DEG = 0.6


class Orientation(NamedTuple):
    """First mirrored left to right, if so, then turned by `rotation` degrees counter-clockwise: upright."""

    rotation: Rotation
    mirrored: bool


UPRIGHT = Orientation(0, False)


def orientation_of(frame: VideoFrame) -> Orientation:
    """Damaged matrices, and those that shear or turn by other angles, count as upright."""
    data = cast(SideDataContainer, frame.side_data).get(Type.DISPLAYMATRIX)
    if data is None:
        return UPRIGHT
    matrix = np.frombuffer(bytes(data), np.int32)
    return _orientation(*(int(value) for value in matrix[[0, 1, 3, 4]])) if len(matrix) == 9 else UPRIGHT


def _orientation(a: int, b: int, c: int, d: int) -> Orientation:
    """Of the matrix that takes a coded point (p, q) to (a p + c q, b p + d q)."""
    area = a * d - b * c
    if area == 0:
        return UPRIGHT
    mirrored = area < 0
    if mirrored:
        a, b = -a, -b
    degrees = -math.degrees(math.atan2(b, a))
    rotation = round(degrees / 90) * 90
    # Both axes must stand on the picture's own, else it is no right angle.
    leans = abs(degrees - rotation) > _SLACK_DEG or abs(math.degrees(math.atan2(-c, d)) + degrees) % 360 > _SLACK_DEG
    if leans:
        return UPRIGHT
    return Orientation(cast(Rotation, 180 if rotation == -180 else rotation), mirrored)

"""Lays subtitles that were drawn before over the pictures. Child process only."""

from __future__ import annotations

import zlib
from typing import Literal

import numpy as np
from av.video.frame import VideoFrame
from pydantic import BaseModel, ConfigDict

from backend.media.colour import tags_of
from backend.media.paint.composite import Drawing, compose
from backend.media.resample import Window


class SubtitlesOrder(BaseModel):
    """`data_file`: of backend.media.subtitle_pictures, for all frames of the film, drawn for its size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["subtitles"] = "subtitles"
    data_file: str


class Subtitles:
    def __init__(self, order: SubtitlesOrder) -> None:
        with np.load(order.data_file, allow_pickle=False) as file:
            self._which, self._boxes, self._ends = file["which"], file["boxes"], file["ends"]
            self._packed = file["packed"]
        self._last: tuple[int, Drawing | None] = (-1, None)

    def paint(self, picture: VideoFrame, window: Window, number: int, pts: int) -> None:
        wanted = int(self._which[number])
        if wanted != self._last[0]:
            self._last = wanted, self._drawing(wanted) if wanted >= 0 else None
        compose(picture, self._last[1], tags_of(picture))

    def _drawing(self, number: int) -> Drawing | None:
        x, y, width, height = self._boxes[number].tolist()
        if not width or not height:
            return None
        start = int(self._ends[number - 1]) if number else 0
        data = zlib.decompress(self._packed[start : int(self._ends[number])].tobytes())
        rgba = np.frombuffer(data, np.uint8).reshape(height, width, 4).astype(np.float32)
        alpha = rgba[..., 3] / np.float32(255)
        bgr = rgba[..., 2::-1] / np.maximum(alpha, 1 / 255)[..., None]
        return Drawing(x, y, np.rint(np.minimum(bgr, 255)).astype(np.uint8), alpha)

"""People's landmarks and the bones between them, a colour for each person. Child process only."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from backend.media.colour import tags_of
from backend.media.paint.composite import BGR, compose, drawn
from backend.media.paint.rows import LayerRows, load_rows
from backend.media.resample import Window
from backend.media.skeleton import colour_of, draw_skeleton

Landmark = Annotated[int, Field(ge=0, le=999)]


class SkeletonOrder(BaseModel):
    """`data_file` has a row for each person on each frame: `id`, and `places` (landmarks, 2), x and y in pixels of the
    upright source, NaN for what is not seen. `bones`: pairs of landmarks."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["skeleton"] = "skeleton"
    data_file: str
    bones: list[tuple[Landmark, Landmark]] = Field(max_length=1000)


class Skeleton:
    def __init__(self, order: SkeletonOrder) -> None:
        self._rows = load_rows(order.data_file)
        self._bones = order.bones

    def paint(self, picture: VideoFrame, window: Window, number: int, pts: int) -> None:
        rows = self._rows.on(pts)
        if not len(rows):
            return
        scale = np.array([picture.width / window.width, picture.height / window.height])
        places = (rows.columns["places"].astype(np.float64) - [window.x, window.y]) * scale
        size = (picture.width, picture.height)
        compose(picture, drawn(lambda canvas: self._draw(canvas, rows, places), size), tags_of(picture))

    def _draw(self, canvas: BGR, rows: LayerRows, places: NDArray[np.float64]) -> None:
        for person_id, own in zip(rows.columns["id"].tolist(), places, strict=True):
            draw_skeleton(canvas, own, self._bones, colour_of(person_id))

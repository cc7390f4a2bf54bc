"""The contact sheet of a framing: which frames the renderer is to keep, and the sheet once it has."""

from __future__ import annotations

from bisect import bisect_right
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from backend.errors import FrameMismatch
from backend.kinds.framing import Framing
from backend.media.facts import analysis_size
from backend.media.sandbox import FrameRing
from backend.vision.contact_sheet import CELL_PX, Box, Cell, contact_sheet, frames_to_show
from backend.vision.stitch import interpolate


class Sheet:
    """Memory for the pictures that a render takes on its way. Use as a context manager; leaving it frees them."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._frames = frames_to_show(framing.path.shots)
        width, height = analysis_size(*framing.frame_size, CELL_PX)
        self._shape = (height, width, 3)
        self._pts = framing.frame_pts[self._frames]
        self.order: dict[str, Any] = {"pts": self._pts.tolist(), "width": width, "height": height}
        self.ring = FrameRing(max(1, len(self._frames)), height * width * 3)

    def png(self, taken: int) -> bytes:
        """`taken`: how many stills the render says it took. Raises FrameMismatch when some are missing."""
        if taken != len(self._frames):
            raise FrameMismatch(f"Rendering took {taken} stills of {len(self._frames)}.")
        people = self._people()
        cells = [self._cell(number, frame, people[number]) for number, frame in enumerate(self._frames)]
        return contact_sheet(cells, self._framing.frame_size)

    def _people(self) -> list[list[tuple[int, Box]]]:
        """Who is where on each of the frames."""
        people: list[list[tuple[int, Box]]] = [[] for _ in self._frames]
        for track in self._framing.tracks:
            shown = interpolate(track, self._pts)
            for number, box in zip(np.searchsorted(self._pts, shown.pts), shown.boxes, strict=True):
                people[number].append((track.id, _box(box)))
        return people

    def _cell(self, number: int, frame: int, people: list[tuple[int, Box]]) -> Cell:
        path, subject = self._framing.path, self._framing.subject.boxes[frame]
        corner = (path.x[frame], path.y[frame])
        ticks = int(self._pts[number] - self._framing.frame_pts[0])
        return Cell(
            picture=np.frombuffer(self.ring.slot(number), np.uint8).reshape(self._shape).copy(),
            time_sec=float(ticks * self._framing.time_base),
            shot=bisect_right([start for start, _ in path.shots], frame) - 1,
            window=_box(np.array([*corner, corner[0] + path.width[frame], corner[1] + path.height[frame]])),
            subject=_box(subject) if np.isfinite(subject).all() else None,
            tracks=people,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ring.close()


def _box(box: NDArray[np.float64]) -> Box:
    left, top, right, bottom = box.tolist()
    return left, top, right, bottom

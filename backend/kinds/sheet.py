"""The contact sheet of a film: which frames the renderer is to keep, what is drawn over them, and the sheet."""

from __future__ import annotations

from bisect import bisect_right
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from backend.errors import FrameMismatch
from backend.kinds.framing import Framing
from backend.media.facts import analysis_size
from backend.media.ring import FrameRing
from backend.vision.contact_sheet import CELL_PX, Box, Cell, contact_sheet, frames_to_show
from backend.vision.stitch import interpolate
from backend.vision.timeline import Timeline


class CellPlan(BaseModel):
    """A cell without its picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pts: int
    time_sec: float
    shot: int
    window: Box
    subject: Box | None
    tracks: list[tuple[int, Box]]
    panels: list[Box] = Field(default_factory=list)  # beside the window, where the picture is split


class SheetPlan(BaseModel):
    """Small: it goes along with a film's plan to those who render it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frame_size: tuple[int, int]
    cells: list[CellPlan]

    @property
    def picture_size(self) -> tuple[int, int]:
        return analysis_size(*self.frame_size, CELL_PX)

    def order(self) -> dict[str, Any] | None:
        """backend.media.stills.StillOrder; None for a film without a sheet."""
        if not self.cells:
            return None
        width, height = self.picture_size
        return {"pts": [cell.pts for cell in self.cells], "width": width, "height": height}

    def of_frames(self, frame_pts: NDArray[np.int64]) -> SheetPlan:
        """Without cells of frames that are not there."""
        there = set(frame_pts.tolist())
        return self.model_copy(update={"cells": [cell for cell in self.cells if cell.pts in there]})


def no_sheet(frame_size: tuple[int, int]) -> SheetPlan:
    return SheetPlan(frame_size=frame_size, cells=[])


def sheet_of_windows(timeline: Timeline, path: NDArray[np.float64]) -> SheetPlan:
    """Of a film in which nobody was looked for. `path`: x, y, width, height of each frame's window."""
    cells = [
        CellPlan(
            pts=int(timeline.frame_pts[frame]),
            time_sec=float(timeline.times_sec[frame]),
            shot=0,
            window=_box(np.array([*path[frame, :2], *(path[frame, :2] + path[frame, 2:])])),
            subject=None,
            tracks=[],
        )
        for frame in frames_to_show([(0, len(timeline))])
    ]
    return SheetPlan(frame_size=timeline.frame_size, cells=cells)


def plan_sheet(framing: Framing) -> SheetPlan:
    frames = frames_to_show(framing.path.shots)
    people = _people(framing, frames)
    cells = [_cell(framing, frame, people[number]) for number, frame in enumerate(frames)]
    return SheetPlan(frame_size=framing.timeline.frame_size, cells=cells)


class Sheet:
    """Memory for the pictures that a render takes on its way. Use as a context manager; leaving it frees them."""

    def __init__(self, plan: SheetPlan) -> None:
        self._plan = plan
        width, height = plan.picture_size
        self._shape = (height, width, 3)
        self.ring = FrameRing(max(1, len(plan.cells)), height * width * 3)

    def files(self, taken: int) -> dict[str, bytes]:
        """The sheet by its file's name; nothing for a film without one. Raises as `png` does."""
        return {"contact_sheet.png": self.png(taken)} if self._plan.cells else {}

    def png(self, taken: int) -> bytes:
        """`taken`: how many stills the render says it took. Raises FrameMismatch when some are missing."""
        if taken != len(self._plan.cells):
            raise FrameMismatch(f"Rendering took {taken} stills of {len(self._plan.cells)}.")
        cells = [
            Cell(
                picture=np.frombuffer(self.ring.slot(number), np.uint8).reshape(self._shape).copy(),
                time_sec=cell.time_sec,
                shot=cell.shot,
                window=cell.window,
                subject=cell.subject,
                tracks=cell.tracks,
                panels=cell.panels,
            )
            for number, cell in enumerate(self._plan.cells)
        ]
        return contact_sheet(cells, self._plan.frame_size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ring.close()


def _people(framing: Framing, frames: list[int]) -> list[list[tuple[int, Box]]]:
    """Who is where on each of the frames."""
    wanted_pts = framing.timeline.frame_pts[frames]
    people: list[list[tuple[int, Box]]] = [[] for _ in frames]
    for track in framing.tracks:
        shown = interpolate(track, wanted_pts, framing.timeline.longest_gap)
        for number, box in zip(np.searchsorted(wanted_pts, shown.pts), shown.boxes, strict=True):
            people[number].append((track.id, _box(box)))
    return people


def _cell(framing: Framing, frame: int, people: list[tuple[int, Box]]) -> CellPlan:
    path, subject = framing.path, framing.subject.boxes[frame]
    corner = (path.x[frame], path.y[frame])
    ticks = int(framing.timeline.frame_pts[frame] - framing.timeline.frame_pts[0])
    return CellPlan(
        pts=int(framing.timeline.frame_pts[frame]),
        time_sec=float(ticks * framing.timeline.time_base),
        shot=bisect_right([start for start, _ in path.shots], frame) - 1,
        window=_box(np.array([*corner, corner[0] + path.width[frame], corner[1] + path.height[frame]])),
        subject=_box(subject) if np.isfinite(subject).all() else None,
        tracks=people,
        panels=[] if path.panels is None else [_window(each) for each in path.panels[frame] if np.isfinite(each[0])],
    )


def _window(row: NDArray[np.float64]) -> Box:
    """Of x, y, width and height."""
    return _box(np.concatenate([row[:2], row[:2] + row[2:]]))


def _box(box: NDArray[np.float64]) -> Box:
    left, top, right, bottom = box.tolist()
    return left, top, right, bottom

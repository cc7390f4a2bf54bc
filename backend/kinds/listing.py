"""Which frames a film has, where no chunk has looked at them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.errors import SandboxCrashed
from backend.kinds.context import WholeContext
from backend.kinds.params import Params
from backend.media.budget import check_frames, most_frames
from backend.media.limits import Limits
from backend.media.sandbox import MediaProcess

LIST_THREADS = 2


@dataclass(frozen=True, eq=False)
class Listing:
    """Frames and some keyframes by PTS. `is_guess`: packets told, and no decoder has tried them."""

    frame_pts: NDArray[np.int64]
    keyframe_pts: list[int]
    is_guess: bool


def list_frames(work: WholeContext[Params], report: Callable[[float], None], *, decode: bool = False) -> Listing:
    """`report` gets the share done. Raises MediaError for bytes that are no video, and what `report` raises."""
    facts, settings = work.facts, work.settings
    order = {
        "clock": facts.clock,
        "is_interlaced": facts.appearance.interlaced if facts.appearance else True,
        "decode": decode,
        "max_pixels": settings.max_pixels,
        "threads": settings.threads or LIST_THREADS,
    }
    frame_pts: array[int] = array("q")  # a list takes five times as much
    reader = work.open_reader()
    most = most_frames(settings, reader.size_bytes)
    with MediaProcess(
        "index",
        order,
        reader,
        Limits.of(settings),
        check=lambda: report(_share(frame_pts, facts.start_pts, facts.duration_pts)),
    ) as process:
        for message in process.messages():
            _take(message["frame_pts"], frame_pts)
            check_frames(frame_pts, most)
            report(_share(frame_pts, facts.start_pts, facts.duration_pts))
        keyframe_pts = [int(pts) for pts in process.result["keyframe_pts"]]
        return Listing(np.array(frame_pts, np.int64), keyframe_pts, bool(process.result["by_packets"]))


def _take(more: list[int], frame_pts: array[int]) -> None:
    """Raises SandboxCrashed for what no decoder says: times that do not rise."""
    for pts in more:
        if not isinstance(pts, int) or not (frame_pts[-1] if frame_pts else -(2**63)) < pts < 2**63:
            raise SandboxCrashed("The media process named frames out of order.")
        frame_pts.append(pts)


def _share(frame_pts: Sequence[int], start_pts: int, duration_pts: int | None) -> float:
    if not frame_pts or not duration_pts:
        return 0.0
    return min(1.0, max(0.0, (frame_pts[-1] - start_pts) / duration_pts))

"""Pictures of the frames that a report shows, taken out of the source by a child process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.kinds.context import WholeContext
from backend.kinds.params import Params
from backend.media.facts import analysis_size
from backend.media.limits import Limits
from backend.media.ring import FrameRing
from backend.media.sandbox import MediaProcess

STILL_PX = 560
THREADS = 2
Picture = NDArray[np.uint8]


def take_stills(work: WholeContext[Params], wanted_pts: Sequence[int], check: Callable[[], None]) -> dict[int, Picture]:
    """Upright BGR pictures by PTS, the longer side at most STILL_PX; of those frames that a second look finds again: a
    damaged stream may decode otherwise after a seek. Raises a MediaError, and what `check` raises."""
    if not wanted_pts:
        return {}
    facts = work.facts
    width, height = analysis_size(facts.width, facts.height, STILL_PX)
    order = {
        "stills": {"pts": list(wanted_pts), "width": width, "height": height},
        "clock": facts.clock,
        **facts.coded_shape(),
        "max_pixels": work.settings.max_pixels,
        "threads": work.settings.threads or THREADS,
    }
    ring = FrameRing(len(wanted_pts), width * height * 3)
    try:
        taken = _run(work, order, ring, check)
        slots = (np.frombuffer(ring.slot(number), np.uint8) for number in range(len(wanted_pts)))
        pictures = (slot.reshape(height, width, 3).copy() for slot in slots)
        return {pts: picture for pts, picture in zip(wanted_pts, pictures, strict=True) if pts in taken}
    finally:
        ring.close()


def _run(work: WholeContext[Params], order: dict[str, object], ring: FrameRing, check: Callable[[], None]) -> set[int]:
    with MediaProcess(
        "stills",
        order,
        work.open_reader(),
        Limits.of(work.settings),
        ring=ring,
        check=check,
    ) as process:
        for _ in process.messages():
            check()
        return {int(pts) for pts in process.result["taken_pts"]}

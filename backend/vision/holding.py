"""How a path holds its subject: every frame of the film in exactly one class."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.vision.camera_path import CameraPath
from backend.vision.window import Floats

HELD_TOLERANCE_PX = 0.5


@dataclass(frozen=True, eq=False)
class Holding:
    """Masks (n_frames,), exactly one of them true on each frame.

    `whole`: the subject's box lies in the window within 0.5 px; `part`: it would fit but does not lie in it; `larger`:
    it is wider or higher than the window; `not_followed`: somebody is there and nobody is the subject, as while the
    picture passes from one person to another; `nobody`: no track is there.
    """

    whole: NDArray[np.bool_]
    part: NDArray[np.bool_]
    larger: NDArray[np.bool_]
    not_followed: NDArray[np.bool_]
    nobody: NDArray[np.bool_]

    @property
    def containment_pct(self) -> float | None:
        """Share held whole of the frames that have somebody; None where none has."""
        there = int((~self.nobody).sum())
        return round(100.0 * int(self.whole.sum()) / there, 4) if there else None

    def counts(self, times_sec: Floats) -> dict[str, dict[str, Any]]:
        """Each class as `counted` has it, by name."""
        return {each.name: counted(getattr(self, each.name), times_sec) for each in fields(self)}


def counted(mask: NDArray[np.bool_], times_sec: Floats) -> dict[str, Any]:
    """How many frames `mask` marks, their share of the film in percent and the seconds for which they are shown."""
    return {
        "frames": int(mask.sum()),
        "pct": round(100.0 * float(mask.mean()), 4) if len(mask) else 0.0,
        "seconds": round(float(_shown_sec(times_sec)[mask].sum()), 4),
    }


def holding(path: CameraPath, boxes: Floats, somebody: NDArray[np.bool_]) -> Holding:
    """`boxes` (n_frames, 4) of the subject, NaN where there is none; `somebody` (n_frames,): whether any track is
    there."""
    corners = np.stack([path.x, path.y], axis=1)
    known = np.isfinite(boxes[:, 0])
    larger = ((boxes[:, 2:] - boxes[:, :2]) > path.sizes + HELD_TOLERANCE_PX).any(axis=1)
    inside = (boxes[:, :2] >= corners - HELD_TOLERANCE_PX) & (boxes[:, 2:] <= corners + path.sizes + HELD_TOLERANCE_PX)
    whole = np.asarray(inside.all(axis=1)) & ~larger
    return Holding(whole, known & ~larger & ~whole, np.asarray(larger), ~known & somebody, ~known & ~somebody)


def _shown_sec(times_sec: Floats) -> Floats:
    """How long each frame is shown: until the next one, the last as long as the one before it."""
    steps = np.diff(times_sec)
    return np.append(steps, steps[-1:] if len(steps) else np.zeros(len(times_sec)))

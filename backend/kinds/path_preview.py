"""What a render with other parameters would show: solved from a job's chunks while somebody edits, stored nowhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from backend.kinds.context import Earlier
from backend.kinds.params import P_contra
from backend.media.facts import VideoFacts
from backend.settings import Settings
from backend.vision.window import Floats, Shot


class Gathered(Protocol):
    """What of the chunks stays the same for all parameters that a version may change. Kept in memory."""

    @property
    def size_bytes(self) -> int: ...


@dataclass(frozen=True, eq=False)
class SolvedPath:
    """The window's top-left corner and size (n,) in source pixels, of the frames from `from_frame` on."""

    frames: int  # of the whole film
    from_frame: int
    x: Floats
    y: Floats
    width: Floats
    height: Floats
    shots: Sequence[Shot]
    output_size: tuple[int, int]
    subject_track_ids: Sequence[int]
    certificate: dict[str, Any] | None  # where nothing was said about a time
    warnings: Sequence[str] = ()
    panels: Sequence[dict[str, Any]] = ()  # of frames that are split, as `camera_path.json` has them


class PathPreview(ABC, Generic[P_contra]):
    """Of a kind whose film has a camera path."""

    @abstractmethod
    def gather(self, earlier: Earlier, facts: VideoFacts, params: P_contra, settings: Settings) -> Gathered:
        """Raises ArtifactCorrupt, ObjectNotFound, MediaTooCostly."""

    @abstractmethod
    def solve(
        self, gathered: Gathered, facts: VideoFacts, params: P_contra, around_sec: float | None = None
    ) -> SolvedPath:
        """With `around_sec`, a time from the first frame, only as much of the path as what is changed at that time
        changes. Raises what the kind's step raises for its parameters."""

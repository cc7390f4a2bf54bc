"""What a chunk's worker saw, kept as a small film beside the chunk's artifact. It is for people to look at: whatever
goes wrong with it, the chunk does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backend import telemetry
from backend.events import Event, warn
from backend.kinds.context import ChunkContext

if TYPE_CHECKING:
    from backend.kinds.sampled import Picture, SampledParams
    from backend.media.preview import PreviewFilm


class SamplePreview:
    """Of the samples inside the chunk, not of those past its end. Where nobody keeps previews, nothing is done."""

    def __init__(self, work: ChunkContext[SampledParams], size: tuple[int, int]) -> None:
        self._work = work
        self._file: Path = work.folder / "preview.mp4"
        self._film: PreviewFilm | None = None
        if work.keep_preview is not None:
            self._tried(lambda: self._open(size))

    def take(self, pts: Sequence[int], pictures: Sequence[Picture]) -> None:
        """The next ones, in order."""
        film, end_pts = self._film, self._work.end_pts
        if film is None:
            return
        with telemetry.part("preview"):
            for at, picture in zip(pts, pictures, strict=True):
                if self._film is not None and (end_pts is None or at < end_pts):
                    self._tried(partial(film.add, at, picture))

    def keep(self) -> None:
        """Once all are taken. Raises ClaimLost, and what else ends the work."""
        if self._film is None or self._film.is_empty or self._work.keep_preview is None:
            return
        with telemetry.part("preview"):
            self._tried(self._film.finish)
            if self._film is not None:
                self._work.keep_preview(self._file)

    def _open(self, size: tuple[int, int]) -> None:
        from backend.media.preview import PreviewFilm  # who detects nothing encodes nothing

        params, facts = self._work.params, self._work.facts
        self._film = PreviewFilm(self._file, size, facts.time_base_fraction, params.samples_per_sec)

    def _tried(self, do: Callable[[], None]) -> None:
        from av.error import FFmpegError

        try:
            do()
        except (FFmpegError, ValueError, OSError, MemoryError) as failure:
            self._film = None
            ids = {"job_id": self._work.job_id, "chunk_index": self._work.chunk_index}
            warn(Event.PREVIEW_LOST, **ids, message=f"{type(failure).__name__}: {failure}"[:200])

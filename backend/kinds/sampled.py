"""A chunk's sampled pictures, decoded once for whatever is to be found in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backend import telemetry
from backend.errors import SandboxCrashed
from backend.kinds.context import ChunkContext
from backend.kinds.params import Params
from backend.kinds.sample_preview import SamplePreview
from backend.media.budget import check_frames, most_frames
from backend.media.facts import analysis_size
from backend.media.limits import Limits
from backend.media.ring import FrameRing
from backend.media.sandbox import MediaProcess

DECODE_THREADS = 2
# While one batch is analysed the next is decoded; one picture more keeps the decoder from waiting at the seam.
BATCHES_IN_RING = 2

Picture: TypeAlias = "NDArray[np.uint8]"
"""BGR, (height, width, 3)."""


class SampledParams(Params):
    """What `sample_chunk` asks for."""

    sample_fps: float

    @property
    def samples_per_sec(self) -> float:
        return self.sample_fps


class Analysis(Protocol):
    """What is done with the pictures. `batch_size`: how many it takes best at once."""

    batch_size: int

    def take(self, pts: Sequence[int], pictures: Sequence[Picture]) -> None:
        """The next ones, in order."""
        ...


@dataclass(frozen=True)
class SampledChunk:
    """`frame_pts`: all frames of the chunk. `sampled_pts`: those that were shown, past its end too. `cuts_pts`: first
    frames of new shots, past its end too."""

    frame_pts: list[int] = field(default_factory=list)
    sampled_pts: list[int] = field(default_factory=list)
    cuts_pts: list[int] = field(default_factory=list)


def sample_chunk(
    work: ChunkContext[SampledParams], analyses: Sequence[Analysis], *, in_hardware: bool = False
) -> SampledChunk:
    """Shows every picture to each of them. Decoding runs in a child process while the batch before is analysed here.

    Raises a MediaError for undecodable bytes, ClaimLost from `work.report`, HardwareDecoderUnfit, and what the analyses
    raise.
    """
    return _Sampling(work, analyses, in_hardware).run()


class _Sampling:
    def __init__(self, work: ChunkContext[SampledParams], analyses: Sequence[Analysis], in_hardware: bool) -> None:
        self._work = work
        self._in_hardware = in_hardware
        self._analyses = analyses
        self._batch_size = min(analysis.batch_size for analysis in analyses)
        self._size = analysis_size(work.facts.width, work.facts.height, work.settings.max_width)
        self._preview = SamplePreview(work, self._size)
        self._chunk = SampledChunk()
        self._most_frames = most_frames(work.settings, work.reader.size_bytes)

    def run(self) -> SampledChunk:
        work = self._work
        width, height = self._size
        ring = FrameRing(self._batch_size * BATCHES_IN_RING + 1, width * height * 3)
        try:
            with MediaProcess(
                "samples",
                self._order(),
                work.reader,
                Limits.of(work.settings),
                ring=ring,
                check=lambda: work.report(self._share_done()),
            ) as process:
                for batch in self._batches(process):
                    self._show(batch, ring)
                    process.free_slots(len(batch))
                    work.report(self._share_done())
                self._chunk.cuts_pts.extend(int(pts) for pts in process.result["cuts_pts"])
        finally:
            ring.close()
        self._preview.keep()
        return self._chunk

    def _order(self) -> dict[str, Any]:
        work, facts = self._work, self._work.facts
        return {
            "start_pts": work.start_pts,
            "end_pts": work.end_pts,
            "overlap_samples": work.settings.overlap_samples if work.end_pts is not None else 0,
            "sample_fps": work.params.samples_per_sec,
            "origin_pts": facts.start_pts,
            "width": self._size[0],
            "height": self._size[1],
            "clock": facts.clock,
            **facts.coded_shape(),
            "max_pixels": work.settings.max_pixels,
            "threads": work.settings.threads or DECODE_THREADS,
            "in_hardware": self._in_hardware,
        }

    def _batches(self, process: MediaProcess) -> Iterator[list[tuple[int, int]]]:
        """Lists of (slot, pts)."""
        batch: list[tuple[int, int]] = []
        for message in telemetry.waiting("decode", process.messages()):
            self._take_frames(message["frame_pts"])
            self._work.report(self._share_done())
            if "slot" in message:
                batch.append((int(message["slot"]), int(message["pts"])))
            if len(batch) == self._batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _take_frames(self, frame_pts: list[int]) -> None:
        """Raises SandboxCrashed for what no decoder says: times that do not rise."""
        known = self._chunk.frame_pts
        for pts in frame_pts:
            if not isinstance(pts, int) or not (known[-1] if known else -(2**63)) < pts < 2**63:
                raise SandboxCrashed("The media process named frames out of order.")
            known.append(pts)
        check_frames(known, self._most_frames)

    def _show(self, batch: list[tuple[int, int]], ring: FrameRing) -> None:
        pts = [at for _, at in batch]
        pictures = [self._picture(ring, slot) for slot, _ in batch]
        for analysis in self._analyses:
            analysis.take(pts, pictures)
        self._preview.take(pts, pictures)
        self._chunk.sampled_pts.extend(pts)

    def _picture(self, ring: FrameRing, slot: int) -> Picture:
        width, height = self._size
        # A copy: Ultralytics keeps the last batch, and a mapping that is still looked at cannot be closed.
        return np.frombuffer(ring.slot(slot), np.uint8).reshape(height, width, 3).copy()

    def _share_done(self) -> float:
        start_pts, end_pts = self._work.interval
        if not self._chunk.sampled_pts:
            return 0.0
        return min(1.0, max(0.0, (self._chunk.sampled_pts[-1] - start_pts) / (end_pts - start_pts)))

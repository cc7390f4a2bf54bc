"""What a chunk computes: people, or things of other classes, detected on sampled frames and followed through the chunk
and over its seam."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from backend import telemetry
from backend.errors import SandboxCrashed
from backend.events import Event, emit
from backend.kinds.base import JSON_TYPE, ChunkContext, Chunks, Params
from backend.kinds.tools import Need
from backend.media.facts import analysis_size
from backend.media.sandbox import FrameRing, MediaProcess
from backend.settings import Settings
from backend.states import Stage
from backend.vision.artifacts import (
    ChunkArtifact,
    DetectionRecord,
    SourceId,
    TrackRecord,
    load_artifact,
    to_json_bytes,
)
from backend.vision.classes import PEOPLE, class_numbers
from backend.vision.detector import Described, Detections
from backend.vision.tracker import TRACKER, WEAK_CONFIDENCE, Tracker

DECODE_THREADS = 2
# While one batch is detected the next is decoded; one picture more keeps the decoder from waiting at the seam.
BATCHES_IN_RING = 2


class DetectionParams(Params):
    """The parameters that change what a chunk computes."""

    sample_fps: float = Field(10.0, gt=0, le=240, description="frames a second on which people are detected")
    conf: float = Field(0.25, gt=0, lt=1, description="confidence from which a detection starts a track")
    iou: float = Field(0.5, gt=0, lt=1)

    @property
    def followed(self) -> tuple[str, ...]:
        """The classes that are detected."""
        return PEOPLE


class DetectPeople(Chunks[DetectionParams]):
    """Any kind that follows people, or things, begins with this step."""

    weight = 68.0
    stage = Stage.PROCESSING
    words = "detection"
    needs = frozenset({Need.DETECTOR})
    pattern = "chunks/chunk_{:04d}.json"
    content_type = JSON_TYPE
    is_shared = True

    def work(self, context: ChunkContext[DetectionParams]) -> bytes:
        artifact = analyse_chunk(context)
        ids = {"job_id": context.job_id, "chunk_index": context.chunk_index}
        emit(Event.PROCESSED_FRAMES, **ids, frames=len(artifact.frame_pts), sampled_frames=len(artifact.sampled_pts))
        return to_json_bytes(artifact)

    def adopted(self, data: bytes, context: ChunkContext[DetectionParams]) -> bytes | None:
        found = load_artifact(data, expected_sha256=None)
        same_source = (found.source.etag, found.source.size) == (context.source["etag"], context.source["size"])
        if not same_source or found.params_sha256 != _identity_of(context):
            return None
        ids = {"job_id": context.job_id, "chunk_index": context.chunk_index}
        return to_json_bytes(found.model_copy(update=ids))


def chunk_identity(params: DetectionParams, detector: Described, settings: Settings) -> str:
    what = {
        "sample_fps": params.sample_fps,
        "conf": params.conf,
        "iou": params.iou,
        "max_width": settings.max_width,
        "overlap_samples": settings.overlap_samples,
        "detector": detector.describe(),
        "tracker": TRACKER,
        **_classes_of(params),
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _classes_of(params: DetectionParams) -> dict[str, Any]:
    """Nothing for people alone: their chunks are what they were before there were other classes."""
    return {} if params.followed == PEOPLE else {"classes": params.followed}


def _identity_of(work: ChunkContext[DetectionParams]) -> str:
    return chunk_identity(work.params, work.tools.detector, work.settings)


def analyse_chunk(work: ChunkContext[DetectionParams]) -> ChunkArtifact:
    """Decoding runs in a child process while the batch before is detected here.

    Raises a MediaError for undecodable bytes, ClaimLost from `work.report`.
    """
    analysis = ChunkAnalysis(work, work.tools.detector)
    analysis.run()
    return analysis.artifact()


class ChunkAnalysis:
    """One chunk, with that detector; whoever finds more than people overrides how that is found and taken."""

    def __init__(self, work: ChunkContext[DetectionParams], detector: Described) -> None:
        self._work = work
        self._params = params = work.params
        self._detector = detector
        self._size = analysis_size(work.facts.width, work.facts.height, work.settings.max_width)
        self._scale = work.facts.width / self._size[0], work.facts.height / self._size[1]
        self._classes = params.followed
        self._check_classes()
        self._tracker = Tracker(conf=params.conf, sample_fps=params.sample_fps, classes=self._classes)
        self._frame_pts: list[int] = []
        self._sampled_pts: list[int] = []
        self._detections: list[DetectionRecord] = []
        self._cuts_pts: list[int] = []

    def run(self) -> None:
        work = self._work
        width, height = self._size
        ring = FrameRing(self._detector.batch_size * BATCHES_IN_RING + 1, width * height * 3)
        try:
            with MediaProcess(
                "samples",
                self._order(),
                work.reader,
                silence_sec=work.settings.sandbox_silence_seconds,
                memory_bytes=work.settings.sandbox_memory_bytes,
                ring=ring,
                check=lambda: work.report(self._share_done()),
            ) as process:
                for batch in self._batches(process):
                    self._detect(batch, ring)
                    process.free_slots(len(batch))
                    work.report(self._share_done())
                self._cuts_pts = [int(pts) for pts in process.result["cuts_pts"]]
        finally:
            ring.close()

    def artifact(self) -> ChunkArtifact:
        work = self._work
        start_pts, end_pts = work.interval
        return ChunkArtifact(
            job_id=work.job_id,
            chunk_index=work.chunk_index,
            source=SourceId(etag=work.source["etag"], size=work.source["size"]),
            params_sha256=chunk_identity(work.params, self._detector, work.settings),
            time_base=list(work.facts.time_base),
            # The first and last chunk hold what lies outside the promised interval too.
            start_pts=min([start_pts, *self._frame_pts[:1]]),
            end_pts=max([end_pts, *(pts + 1 for pts in self._frame_pts[-1:])]),
            frame_size=[work.facts.width, work.facts.height],
            detector=self._detector.describe(),
            frame_pts=self._frame_pts,
            sampled_pts=self._sampled_pts,
            cuts_pts=self._cuts_pts,
            tracks=[
                TrackRecord(
                    id=track_id,
                    class_name=self._tracker.class_of(track_id),
                    pts=pts,
                    boxes=boxes.tolist(),
                    confidence=confidence.tolist(),
                )
                for track_id, pts, boxes, confidence in self._tracker.tracks()
            ],
            detections=self._detections,
        )

    def _order(self) -> dict[str, Any]:
        work, facts = self._work, self._work.facts
        return {
            "start_pts": work.start_pts,
            "end_pts": work.end_pts,
            "overlap_samples": work.settings.overlap_samples if work.end_pts is not None else 0,
            "sample_fps": self._params.sample_fps,
            "origin_pts": facts.start_pts,
            "width": self._size[0],
            "height": self._size[1],
            "clock": facts.clock,
            **facts.coded_shape(),
            "max_pixels": work.settings.max_pixels,
            "threads": work.settings.threads or DECODE_THREADS,
        }

    def _batches(self, process: MediaProcess) -> Iterator[list[tuple[int, int]]]:
        """Lists of (slot, pts)."""
        batch: list[tuple[int, int]] = []
        for message in telemetry.waiting("decode", process.messages()):
            self._take_frames(message["frame_pts"])
            self._work.report(self._share_done())
            if "slot" in message:
                batch.append((int(message["slot"]), int(message["pts"])))
            if len(batch) == self._detector.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _take_frames(self, frame_pts: list[int]) -> None:
        """Raises SandboxCrashed for what no decoder says: times that do not rise."""
        for pts in frame_pts:
            if not isinstance(pts, int) or not (self._frame_pts[-1] if self._frame_pts else -(2**63)) < pts < 2**63:
                raise SandboxCrashed("The media process named frames out of order.")
            self._frame_pts.append(pts)

    def _detect(self, batch: list[tuple[int, int]], ring: FrameRing) -> None:
        pictures = [self._picture(ring, slot) for slot, _ in batch]
        weakest = min(WEAK_CONFIDENCE, self._params.conf)
        with telemetry.part("detect"):
            found = self._found(pictures, weakest)
        size = (self._work.facts.width, self._work.facts.height)
        with telemetry.part("track"):
            for (_, pts), detections in zip(batch, found, strict=True):
                self._take(pts, detections.placed(self._scale, size))

    def _check_classes(self) -> None:
        """Before anything is decoded. Raises InvalidParams for a class that the detector lacks."""
        if self._classes != PEOPLE:
            class_numbers(self._classes, self._work.tools.detector.names)

    def _found(self, pictures: Sequence[NDArray[np.uint8]], weakest: float) -> Sequence[Detections]:
        """In their pixels, from that confidence on."""
        detect = functools.partial(self._work.tools.detector.detect, pictures, conf=weakest, iou=self._params.iou)
        return detect() if self._classes == PEOPLE else detect(classes=self._classes)

    def _picture(self, ring: FrameRing, slot: int) -> NDArray[np.uint8]:
        width, height = self._size
        # A copy: Ultralytics keeps the last batch, and a mapping that is still looked at cannot be closed.
        return np.frombuffer(ring.slot(slot), np.uint8).reshape(height, width, 3).copy()

    def _take(self, pts: int, detections: Detections) -> None:
        self._sampled_pts.append(pts)
        self._tracker.update(pts, detections)
        if len(detections.boxes):
            places = detections.classes
            self._detections.append(
                DetectionRecord(
                    pts=pts,
                    boxes=detections.boxes.tolist(),
                    confidence=detections.confidence.tolist(),
                    classes=None if places is None else [self._classes[place] for place in places],
                )
            )

    def _share_done(self) -> float:
        start_pts, end_pts = self._work.interval
        if not self._sampled_pts:
            return 0.0
        return min(1.0, max(0.0, (self._sampled_pts[-1] - start_pts) / (end_pts - start_pts)))

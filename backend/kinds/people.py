"""What a chunk computes: people, or things of other classes, detected on sampled frames and followed through the chunk
and over its seam."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from backend import telemetry
from backend.events import Event, emit
from backend.kinds.base import JSON_TYPE, Chunks
from backend.kinds.context import ChunkContext
from backend.kinds.decoding import on_best_decoder
from backend.kinds.sampled import Picture, SampledChunk, SampledParams, sample_chunk
from backend.kinds.tools import Need
from backend.kinds.voice import voice_of
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
from backend.vision.ground import CAMERA, Move
from backend.vision.looks_record import LOOKS, packed
from backend.vision.speech_record import SPEECH, MouthRecord
from backend.vision.tracker import TRACKER, WEAK_CONFIDENCE, Tracker

if TYPE_CHECKING:
    from backend.vision.camera_motion import CameraMotion
    from backend.vision.mouths import Mouths

# A syllable is a fifth of a second, and its mouth opens and closes.
SPEECH_FPS = 25.0


class DetectionParams(SampledParams):
    """The parameters that change what a chunk computes."""

    sample_fps: float = Field(10.0, gt=0, le=240, description="frames a second on which people are detected")
    conf: float = Field(0.25, gt=0, lt=1, description="confidence from which a detection starts a track")
    iou: float = Field(0.5, gt=0, lt=1)

    @property
    def followed(self) -> tuple[str, ...]:
        """The classes that are detected."""
        return PEOPLE

    @property
    def with_speech(self) -> bool:
        """Whether the chunks also tell how mouths move, and of the voice in the sound."""
        return False

    @property
    def samples_per_sec(self) -> float:
        """The pictures a second that are looked at: mouths move faster than people."""
        return max(self.sample_fps, SPEECH_FPS) if self.with_speech else self.sample_fps


class WithPosesParams(DetectionParams):
    """Of kinds that can have a pose job's results beside theirs."""

    pose: bool = Field(False, description="landmarks, angles and findings as a pose job has them, from the same decode")


class DetectPeople(Chunks[DetectionParams]):
    """Any kind that follows people, or things, begins with this step."""

    weight = 68.0
    stage = Stage.PROCESSING
    words = "detection"
    needs = frozenset({Need.DETECTOR})
    pattern = "chunks/chunk_{:04d}.json"
    content_type = JSON_TYPE
    is_shared = True
    is_sampled = True

    def work(self, context: ChunkContext[DetectionParams]) -> bytes:
        artifact = analyse_chunk(context)
        ids = {"job_id": context.job_id, "chunk_index": context.chunk_index}
        emit(Event.PROCESSED_FRAMES, **ids, frames=len(artifact.frame_pts), sampled_frames=len(artifact.sampled_pts))
        return to_json_bytes(artifact)

    def made_of(self, params: DetectionParams) -> dict[str, Any]:
        return detected_with(params)

    def serve(self, made_with: DetectionParams, wanted: DetectionParams) -> bool:
        return tell_enough(made_with, wanted)

    def adopted(self, data: bytes, context: ChunkContext[DetectionParams]) -> bytes | None:
        found = load_artifact(data, expected_sha256=None)
        return to_json_bytes(renamed(found, context)) if are_people_of(context, found) else None

    def tracked(self, data: bytes, sha256: str | None) -> ChunkArtifact:
        return load_artifact(data, expected_sha256=sha256)


def are_people_of(context: ChunkContext[DetectionParams], found: ChunkArtifact) -> bool:
    """Whether this chunk's worker would find the same."""
    same_source = (found.source.etag, found.source.size) == (context.source["etag"], context.source["size"])
    identity = chunk_identity(context.params, context.tools.detector, context.settings)
    return same_source and found.params_sha256 == identity


def renamed(found: ChunkArtifact, context: ChunkContext[DetectionParams]) -> ChunkArtifact:
    """The same as this job's chunk."""
    return found.model_copy(update={"job_id": context.job_id, "chunk_index": context.chunk_index})


def chunk_identity(params: DetectionParams, detector: Described, settings: Settings) -> str:
    what = {
        **detected_with(params),
        "max_width": settings.max_width,
        "overlap_samples": settings.overlap_samples,
        "detector": detector.describe(),
        "tracker": TRACKER,
        "looks": LOOKS,
        "camera": CAMERA,
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def detected_with(params: DetectionParams) -> dict[str, Any]:
    """The parameters that a chunk of people is made of."""
    chosen = {"sample_fps": params.samples_per_sec, "conf": params.conf, "iou": params.iou}
    return chosen | _classes_of(params) | ({"speech": SPEECH} if params.with_speech else {})


def tell_enough(made_with: DetectionParams, wanted: DetectionParams) -> bool:
    """As `Chunks.serve`. Chunks that tell of speech tell of people too, and more often than others do."""
    made = detected_with(made_with)
    if made_with.with_speech and not wanted.with_speech:
        del made["speech"]
        made["sample_fps"] = made_with.sample_fps
    return made == detected_with(wanted)


def _classes_of(params: DetectionParams) -> dict[str, Any]:
    """Nothing for people alone: their chunks are what they were before there were other classes."""
    return {} if params.followed == PEOPLE else {"classes": params.followed}


def analyse_chunk(work: ChunkContext[DetectionParams]) -> ChunkArtifact:
    """Raises a MediaError for undecodable bytes, ClaimLost from `work.report`."""

    def analyse(in_hardware: bool) -> ChunkArtifact:
        people = FindPeople(work, work.tools.detector)
        return people.artifact(sample_chunk(work, [people], in_hardware=in_hardware))

    return on_best_decoder(work, analyse)


def _camera() -> CameraMotion:
    from backend.vision.camera_motion import CameraMotion  # needs OpenCV, which what plans does without

    return CameraMotion()


def _mouths() -> Mouths:
    from backend.vision.mouths import Mouths  # needs OpenCV, which what plans does without

    return Mouths()


class FindPeople:
    """Detects and follows on the pictures of one chunk; whoever finds more than people overrides how that is found and
    taken."""

    def __init__(self, work: ChunkContext[DetectionParams], detector: Described) -> None:
        """Raises InvalidParams for a class that the detector lacks."""
        self.batch_size = detector.batch_size
        self._work = work
        self._params = params = work.params
        self._detector = detector
        self._classes = params.followed
        self._check_classes()
        self._tracker = Tracker(
            conf=params.conf,
            sample_fps=params.samples_per_sec,
            width_px=work.facts.width,
            classes=self._classes,
        )
        self._detections: list[DetectionRecord] = []
        self._camera, self._moves = _camera(), list[Move]()
        self._mouths = _mouths() if params.with_speech else None
        self._motions: list[MouthRecord] = []

    def take(self, pts: Sequence[int], pictures: Sequence[Picture]) -> None:
        weakest = min(WEAK_CONFIDENCE, self._params.conf)
        with telemetry.part("detect"):
            found = self._found(pictures, weakest)
        size = (self._work.facts.width, self._work.facts.height)
        with telemetry.part("track"):
            for at, picture, detections in zip(pts, pictures, found, strict=True):
                scale = size[0] / picture.shape[1], size[1] / picture.shape[0]
                placed = detections.placed(scale, size)
                boxes = placed.boxes / np.array(scale * 2)
                self._moves.append(self._camera.take(picture, boxes))
                self._take(at, placed, picture, boxes)
                if self._mouths is not None and len(boxes):
                    self._motions.append(MouthRecord(pts=at, motion=self._mouths.take(picture, boxes)))

    def artifact(self, sampled: SampledChunk) -> ChunkArtifact:
        work = self._work
        start_pts, end_pts = work.interval
        return ChunkArtifact(
            job_id=work.job_id,
            chunk_index=work.chunk_index,
            source=SourceId(etag=work.source["etag"], size=work.source["size"]),
            params_sha256=chunk_identity(work.params, self._detector, work.settings),
            time_base=list(work.facts.time_base),
            # The first and last chunk hold what lies outside the promised interval too.
            start_pts=min([start_pts, *sampled.frame_pts[:1]]),
            end_pts=max([end_pts, *(pts + 1 for pts in sampled.frame_pts[-1:])]),
            frame_size=[work.facts.width, work.facts.height],
            detector=self._detector.describe(),
            frame_pts=sampled.frame_pts,
            sampled_pts=sampled.sampled_pts,
            cuts_pts=sampled.cuts_pts,
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
            camera=self._moves,
            mouths=self._motions if self._mouths else None,
            voice=voice_of(work, sampled.frame_pts[0]) if self._mouths and sampled.frame_pts else None,
        )

    def _check_classes(self) -> None:
        if self._classes != PEOPLE:
            class_numbers(self._classes, self._work.tools.detector.names)

    def _found(self, pictures: Sequence[Picture], weakest: float) -> Sequence[Detections]:
        """In their pixels, from that confidence on."""
        detect = functools.partial(self._work.tools.detector.detect, pictures, conf=weakest, iou=self._params.iou)
        return detect() if self._classes == PEOPLE else detect(classes=self._classes)

    def _take(self, pts: int, detections: Detections, picture: Picture, boxes: NDArray[np.float64]) -> None:
        """`boxes`: where they are in the picture."""
        from backend.vision.looks import looks_in  # needs OpenCV

        self._tracker.update(pts, detections, self._moves[-1])
        if len(detections.boxes):
            places = detections.classes
            self._detections.append(
                DetectionRecord(
                    pts=pts,
                    boxes=detections.boxes.tolist(),
                    confidence=detections.confidence.tolist(),
                    classes=None if places is None else [self._classes[place] for place in places],
                    looks=packed(looks_in(picture, boxes)),
                )
            )

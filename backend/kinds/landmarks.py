"""What a chunk of a pose job computes: people with their landmarks on sampled frames, followed as in every chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.kinds.base import JSON_TYPE, Chunks
from backend.kinds.context import ChunkContext
from backend.kinds.decoding import on_best_decoder
from backend.kinds.people import DetectionParams, FindPeople, chunk_identity, detected_with
from backend.kinds.sampled import Picture, SampledChunk, sample_chunk
from backend.kinds.tools import Need
from backend.states import Stage
from backend.vision.artifacts import ChunkArtifact
from backend.vision.detector import Detections
from backend.vision.pose.artifacts import Landmarks, PoseArtifact, load_pose_artifact, pose_artifact, to_bytes
from backend.vision.pose.detector import Poses


class FindLandmarks(Chunks[DetectionParams]):
    weight = 68.0
    stage = Stage.PROCESSING
    words = "finding landmarks"
    needs = frozenset({Need.POSE})
    pattern = "chunks/chunk_{:04d}.json"
    content_type = JSON_TYPE
    is_shared = True
    is_sampled = True

    def work(self, context: ChunkContext[DetectionParams]) -> bytes:
        return to_bytes(analyse_poses(context))

    def made_of(self, params: DetectionParams) -> dict[str, Any]:
        return detected_with(params)

    def adopted(self, data: bytes, context: ChunkContext[DetectionParams]) -> bytes | None:
        found = load_pose_artifact(data, expected_sha256=None)
        return to_bytes(renamed(found, context)) if are_poses_of(context, found) else None

    def tracked(self, data: bytes, sha256: str | None) -> ChunkArtifact:
        return load_pose_artifact(data, expected_sha256=sha256).chunk


def are_poses_of(context: ChunkContext[DetectionParams], found: PoseArtifact) -> bool:
    """Whether this chunk's worker would find the same."""
    source = found.chunk.source
    same_source = (source.etag, source.size) == (context.source["etag"], context.source["size"])
    identity = chunk_identity(context.params, context.tools.pose_detector, context.settings)
    return same_source and found.chunk.params_sha256 == identity


def renamed(found: PoseArtifact, context: ChunkContext[DetectionParams]) -> PoseArtifact:
    """The same as this job's chunk."""
    ids = {"job_id": context.job_id, "chunk_index": context.chunk_index}
    return found.model_copy(update={"chunk": found.chunk.model_copy(update=ids)})


def analyse_poses(work: ChunkContext[DetectionParams]) -> PoseArtifact:
    """As analyse_chunk, with landmarks. Raises a MediaError for undecodable bytes, ClaimLost from `work.report`."""

    def analyse(in_hardware: bool) -> PoseArtifact:
        poses = FindPoses(work)
        return poses.posed(sample_chunk(work, [poses], in_hardware=in_hardware))

    return on_best_decoder(work, analyse)


class FindPoses(FindPeople):
    def __init__(self, work: ChunkContext[DetectionParams]) -> None:
        super().__init__(work, work.tools.pose_detector)
        self._poses: dict[int, tuple[NDArray[np.float64], Landmarks]] = {}

    def posed(self, sampled: SampledChunk) -> PoseArtifact:
        return pose_artifact(self.artifact(sampled), self._poses)

    def _found(self, pictures: Sequence[Picture], weakest: float) -> Sequence[Detections]:
        return self._work.tools.pose_detector.detect(pictures, conf=weakest, iou=self._params.iou)

    def _take(self, pts: int, detections: Detections, picture: Picture, boxes: NDArray[np.float64]) -> None:
        super()._take(pts, detections, picture, boxes)
        assert isinstance(detections, Poses)  # this detector finds nothing else
        self._poses[pts] = (detections.boxes, detections.landmarks)

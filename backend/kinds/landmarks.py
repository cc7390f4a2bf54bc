"""What a chunk of a pose job computes: people with their landmarks on sampled frames, followed as in every chunk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.kinds.base import JSON_TYPE, ChunkContext, Chunks
from backend.kinds.people import ChunkAnalysis, DetectionParams, chunk_identity
from backend.kinds.tools import Need
from backend.states import Stage
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

    def work(self, context: ChunkContext[DetectionParams]) -> bytes:
        return to_bytes(analyse_poses(context))

    def adopted(self, data: bytes, context: ChunkContext[DetectionParams]) -> bytes | None:
        found = load_pose_artifact(data, expected_sha256=None)
        source = found.chunk.source
        identity = chunk_identity(context.params, context.tools.pose_detector, context.settings)
        if (source.etag, source.size) != (context.source["etag"], context.source["size"]):
            return None
        if found.chunk.params_sha256 != identity:
            return None
        ids = {"job_id": context.job_id, "chunk_index": context.chunk_index}
        return to_bytes(found.model_copy(update={"chunk": found.chunk.model_copy(update=ids)}))


def analyse_poses(work: ChunkContext[DetectionParams]) -> PoseArtifact:
    """As analyse_chunk, with landmarks. Raises a MediaError for undecodable bytes, ClaimLost from `work.report`."""
    analysis = _PoseAnalysis(work)
    analysis.run()
    return pose_artifact(analysis.artifact(), analysis.found)


class _PoseAnalysis(ChunkAnalysis):
    def __init__(self, work: ChunkContext[DetectionParams]) -> None:
        super().__init__(work, work.tools.pose_detector)
        self.found: dict[int, tuple[NDArray[np.float64], Landmarks]] = {}

    def _found(self, pictures: Sequence[NDArray[np.uint8]], weakest: float) -> Sequence[Detections]:
        return self._work.tools.pose_detector.detect(pictures, conf=weakest, iou=self._params.iou)

    def _take(self, pts: int, detections: Detections) -> None:
        super()._take(pts, detections)
        assert isinstance(detections, Poses)  # this detector finds nothing else
        self.found[pts] = (detections.boxes, detections.landmarks)

"""YOLO for poses on torch: `.pt` weights and TensorRT engines, through Ultralytics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import ModelMissing
from backend.vision.detectors.ultralytics import UltralyticsNetwork, numbers
from backend.vision.pose.detector import Poses
from backend.vision.pose.skeleton import LANDMARKS
from backend.vision.yolo import PERSON_CLASS


class UltralyticsPoseDetector(UltralyticsNetwork):
    task = "pose"

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"type": "yolo-pose"}

    def detect(self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float) -> list[Poses]:
        results = self._results(pictures, conf=conf, iou=iou, numbers=[PERSON_CLASS])
        return [self._poses(result) for result in results]

    def _poses(self, result: Any) -> Poses:
        """Raises ModelMissing for a model that finds no landmarks."""
        if result.keypoints is None:
            raise ModelMissing(
                f"The model {self._name} finds no landmarks: set POSE_MODEL_NAME to one for poses, as yolo11n-pose is."
            )
        landmarks = numbers(result.keypoints.data).reshape(-1, len(LANDMARKS), 3)
        # Ultralytics moves what lies beside the picture to its edge: a guess, not visible.
        height, width = result.orig_shape
        x, y = landmarks[..., 0], landmarks[..., 1]
        is_inside = (x > 0) & (y > 0) & (x < width) & (y < height)
        landmarks[..., 2] = np.where(is_inside, landmarks[..., 2], 0.0)
        return Poses(numbers(result.boxes.xyxy), numbers(result.boxes.conf), landmarks=landmarks)

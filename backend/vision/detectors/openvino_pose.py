"""YOLO for poses, exported to ONNX or OpenVINO, run as the detector of people is."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import ModelMissing
from backend.settings import Settings
from backend.vision.detectors.openvino import OpenVinoNetwork
from backend.vision.pose.detector import Poses
from backend.vision.pose.yolo import is_of_poses, poses
from backend.vision.yolo import INPUT_PX, Letterbox


class OpenVinoPoseDetector(OpenVinoNetwork):
    def __init__(self, model: Path, settings: Settings) -> None:
        """Raises ModelMissing for a model that finds no landmarks: its first output shows it."""
        super().__init__(model, settings)
        self.detect([np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8)], conf=0.5, iou=0.5)

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"type": "yolo-pose"}

    def detect(self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float) -> list[Poses]:
        return self._run(pictures, functools.partial(self._poses, conf=conf, iou=iou))

    def _poses(self, output: NDArray[np.float32], box: Letterbox, *, conf: float, iou: float) -> Poses:
        if not is_of_poses(output):
            raise ModelMissing(
                f"The model {self._name} finds no landmarks: set POSE_MODEL_NAME to one for poses, as yolo11n-pose is."
            )
        return poses(output, box, conf=conf, iou=iou)

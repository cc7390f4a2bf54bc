"""Finds people and their landmarks in pictures: what a pose detector is, and the one that the settings ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from backend.errors import ModelMissing
from backend.settings import Settings
from backend.vision.detector import EXPORTED_SUFFIX, Described, Detections
from backend.vision.weights import find_pose_model, pose_missing_words


@dataclass(frozen=True)
class Poses(Detections):
    """People in one picture. `landmarks` (n, 17, 3) in COCO's order: x and y in its pixels, and how surely the
    landmark is visible, from 0 to 1."""

    landmarks: NDArray[np.float64] = field(kw_only=True)

    def rows(self, keep: NDArray[np.bool_]) -> Self:
        return replace(super().rows(keep), landmarks=self.landmarks[keep])

    def placed(self, scale: tuple[float, float], size: tuple[int, int]) -> Self:
        scaled = replace(self, landmarks=self.landmarks * np.array([*scale, 1.0]))
        return super(Poses, scaled).placed(scale, size)


class PoseDetector(Described, Protocol):
    def detect(self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float) -> list[Poses]:
        """One result a picture. Pictures are BGR, (height, width, 3)."""
        ...


def open_pose_detector(settings: Settings) -> PoseDetector:
    """The model that POSE_MODEL_NAME names: an exported one on OpenVINO, weights and engines on Ultralytics.

    Raises ModelMissing, also for a model that finds no landmarks.
    """
    model = find_pose_model(settings)
    if model.is_dir() or model.suffix == EXPORTED_SUFFIX:
        from backend.vision.detectors.openvino_pose import OpenVinoPoseDetector

        return OpenVinoPoseDetector(model, settings)
    from backend.vision.detectors.ultralytics import download
    from backend.vision.detectors.ultralytics_pose import UltralyticsPoseDetector

    if not model.exists():
        try:
            download(model, settings)
        except OSError as error:  # ConnectionError is one
            raise ModelMissing(pose_missing_words(model.name)) from error
        model = find_pose_model(settings)  # its checksum, before anything of it is loaded
    return UltralyticsPoseDetector(model, settings)

"""Finds people, and what else its network knows, in pictures: what a detector is, and which one the settings ask for.

Each detector is a module of its own in `detectors/`, imported when it is opened: most processes need none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from backend.errors import ModelMissing
from backend.events import Event, warn
from backend.settings import Settings
from backend.vision.classes import PEOPLE, class_name
from backend.vision.weights import downloaded, find_model, packaged_weights

EXPORTED_SUFFIX = ".onnx"


@dataclass(frozen=True)
class Detections:
    """What is in one picture: boxes (n, 4) as x1, y1, x2, y2 in its pixels, confidence (n,), and each one's class (n,)
    by its place among those that were asked for; None: all are of the first."""

    boxes: NDArray[np.float64]
    confidence: NDArray[np.float64]
    classes: NDArray[np.int64] | None = None

    def rows_of(self, place: int) -> NDArray[np.intp]:
        """The rows of the class at this place."""
        if self.classes is None:
            return np.arange(len(self.boxes) if place == 0 else 0)
        return np.flatnonzero(self.classes == place)

    def rows(self, keep: NDArray[np.bool_]) -> Self:
        """Those where `keep` (n,) is true."""
        classes = None if self.classes is None else self.classes[keep]
        return replace(self, boxes=self.boxes[keep], confidence=self.confidence[keep], classes=classes)

    def placed(self, scale: tuple[float, float], size: tuple[int, int]) -> Self:
        """The same in a picture of this width and height, that many times as large: cut off at its sides, and without
        those that have no extent there."""
        boxes = np.clip(self.boxes * np.array(scale * 2), 0, np.array(size * 2, np.float64))
        solid = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(axis=1)
        return replace(self, boxes=boxes).rows(solid)


class Described(Protocol):
    """What all detectors have in common, whatever they find."""

    batch_size: int

    def describe(self) -> dict[str, Any]:
        """What identifies this detector's results: goes into the artifact and its parameter hash."""
        ...


class Detector(Described, Protocol):
    @property
    def names(self) -> Mapping[int, str]:
        """What it can tell apart, by the numbers of its network."""
        ...

    def detect(
        self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float, classes: Sequence[str] = PEOPLE
    ) -> list[Detections]:
        """One result a picture. Pictures are BGR, (height, width, 3). Raises InvalidParams for a class it lacks."""
        ...


def open_detector(settings: Settings) -> Detector:
    """The detector that the settings ask for.

    Raises ModelMissing. With DETECTOR=auto other weights stand in, in the last resort OpenCV's HOG, and that is said.
    """
    if settings.detector == "hog":
        return _hog(None)
    try:
        return _yolo(_model_of(settings), settings)
    except ModelMissing as error:
        if settings.detector != "auto":
            raise
        return _stand_in(settings, error)


def known_classes(settings: Settings) -> list[str] | None:
    """What the detector that the settings ask for can tell apart; None where only whoever opens it knows that: weights
    that are not here, or that only Ultralytics reads."""
    if settings.detector == "hog":
        return list(PEOPLE)
    try:
        model = find_model(settings)
        if model is None and settings.detector == "auto" and "model_name" not in settings.model_fields_set:
            model = None if _downloads(settings) else packaged_weights()
    except ModelMissing:
        return None
    if model is None or not _is_exported(model):
        return None
    from backend.vision.detectors.openvino import names_of

    return [class_name(name) for name in names_of(model).values()]


class Runtime(StrEnum):
    """What runs a detector's network."""

    OPENCV = "OpenCV"
    OPENVINO = "OpenVINO"
    ULTRALYTICS = "Ultralytics"


def runtime_of(settings: Settings) -> Runtime:
    """Of the detector that the settings ask for, as far as is known before it is opened. Raises ModelMissing."""
    if settings.detector == "hog":
        return Runtime.OPENCV
    model = find_model(settings)
    if model is None and settings.detector == "auto" and not _downloads(settings):
        model = packaged_weights()
    return Runtime.OPENVINO if model is not None and _is_exported(model) else Runtime.ULTRALYTICS


def _model_of(settings: Settings) -> Path:
    """The weights' path, downloaded first where they are Ultralytics' own and wanted. Raises ModelMissing."""
    found = find_model(settings)
    if found is not None:
        return found
    if settings.detector == "auto" and "model_name" not in settings.model_fields_set and not _downloads(settings):
        return packaged_weights()
    return downloaded(settings)


def _downloads(settings: Settings) -> bool:
    """Whether nobody's choice of weights is worth a download: on a GPU only, where Ultralytics runs."""
    from backend.vision.detectors.ultralytics import has_gpu

    return settings.use_gpu and has_gpu()


def _stand_in(settings: Settings, error: ModelMissing) -> Detector:
    reason = f"{settings.model_name} could not be had"
    try:
        detector = _yolo(packaged_weights(), settings, fallback=f"{reason}; the packaged weights stood in")
    except ModelMissing:
        detector = _hog(f"{reason}; OpenCV's built-in people detector stood in, which misses many")
    stood_in = detector.describe()["model"]
    warn(Event.DETECTOR_FALLBACK, model=settings.model_name, message=error.message, stood_in=stood_in)
    return detector


def _yolo(model: Path, settings: Settings, fallback: str | None = None) -> Detector:
    """An exported model runs on OpenVINO; weights and engines, which only Ultralytics reads, there."""
    if _is_exported(model):
        from backend.vision.detectors.openvino import OpenVinoDetector

        return OpenVinoDetector(model, settings, fallback)
    from backend.vision.detectors.ultralytics import UltralyticsDetector

    return UltralyticsDetector(model, settings)


def _is_exported(model: Path) -> bool:
    return model.is_dir() or model.suffix == EXPORTED_SUFFIX


def _hog(fallback: str | None) -> Detector:
    from backend.vision.detectors.hog import HogDetector

    return HogDetector(fallback)

"""OpenCV's built-in people detector (Dalal and Triggs, 2005): no weights, finds whole standing people only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.vision.classes import PEOPLE, PERSON, class_numbers
from backend.vision.detector import Detections


class HogDetector:
    batch_size = 4
    names: Mapping[int, str] = {0: PERSON}
    _stride = (8, 8)
    _pyramid_step = 1.05
    _min_height_px = 128  # of the detector's own window
    _max_height_px = 480

    def __init__(self, fallback: str | None = None) -> None:
        self._fallback = fallback
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector()))

    def detect(
        self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float, classes: Sequence[str] = PEOPLE
    ) -> list[Detections]:
        class_numbers(classes, self.names)
        return [self._detect(picture, conf, iou) for picture in pictures]

    def describe(self) -> dict[str, Any]:
        fallback = {"fallback": self._fallback} if self._fallback else {}
        return {"type": "hog", "model": "opencv-default-people", **fallback}

    def _detect(self, picture: NDArray[np.uint8], conf: float, iou: float) -> Detections:
        scale = min(1.0, self._max_height_px / picture.shape[0])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        if small.shape[0] < self._min_height_px or small.shape[1] < self._min_height_px // 2:
            return Detections(np.zeros((0, 4)), np.zeros(0))
        found, weights = self._hog.detectMultiScale(small, winStride=self._stride, scale=self._pyramid_step)
        if len(found) == 0:
            return Detections(np.zeros((0, 4)), np.zeros(0))
        # The SVM's margin has no upper end; a logistic curve makes it comparable with a confidence.
        confidence = 1 / (1 + np.exp(-2 * (np.asarray(weights, np.float64).reshape(-1) - 0.3)))
        boxes = _tightened(np.asarray(found, np.float64))
        kept = np.array(cv2.dnn.NMSBoxes(boxes.tolist(), confidence.tolist(), conf, iou), int).reshape(-1)
        corners = np.hstack([boxes[kept, :2], boxes[kept, :2] + boxes[kept, 2:]]) / scale
        return Detections(corners, confidence[kept])


def _tightened(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """x, y, w, h of the person: the detector's window has a wide margin around it."""
    x, y, w, h = boxes.T
    return np.stack([x + 0.12 * w, y + 0.06 * h, 0.76 * w, 0.88 * h], axis=1)

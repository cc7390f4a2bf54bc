"""What goes into a YOLO network and what comes out of it: the same boxes as Ultralytics' for the same model."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.vision.detector import Detections

PERSON_CLASS = 0  # COCO
INPUT_PX = 640
STRIDE_PX = 32
GREY = 114
MAX_PEOPLE = 300
END_TO_END_COLUMNS = 6


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in the network's input: scaled to fit, grey around it."""

    picture: tuple[int, int]  # height, width
    scaled: tuple[int, int]
    top: int
    left: int
    input: tuple[int, int]

    @classmethod
    def of(cls, picture: tuple[int, int], limit: tuple[int, int], *, tight: bool) -> Letterbox:
        """`tight`: no more grey than it takes to reach multiples of the network's stride; else the whole `limit`."""
        scale = min(limit[0] / picture[0], limit[1] / picture[1])
        height, width = (max(round(side * scale), 1) for side in picture)
        spare = limit[0] - height, limit[1] - width
        if tight:
            spare = spare[0] % STRIDE_PX, spare[1] % STRIDE_PX
        top, left = (round(side / 2 - 0.1) for side in spare)
        return cls(picture, (height, width), top, left, (height + spare[0], width + spare[1]))

    def fill(self, target: NDArray[np.uint8], picture: NDArray[np.uint8]) -> None:
        """Puts the picture into `target`, (height, width, 3) of the input."""
        height, width = self.scaled
        target[:] = GREY
        inside = target[self.top : self.top + height, self.left : self.left + width]
        if self.scaled == self.picture:
            inside[:] = picture
        else:
            inside[:] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)

    def in_picture(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Boxes (n, 4) of the input, x1, y1, x2, y2, in the picture's pixels and cut off at its sides."""
        gain = np.array([self.scaled[1] / self.picture[1], self.scaled[0] / self.picture[0]] * 2)
        sides = np.array([self.picture[1], self.picture[0]] * 2, np.float64)
        inside: NDArray[np.float64] = (boxes - np.array([self.left, self.top] * 2)) / gain
        return inside.clip(0, sides)

    def points_in_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (..., 2) of the input in the picture's pixels, those beside the picture too."""
        gain = np.array([self.scaled[1] / self.picture[1], self.scaled[0] / self.picture[0]])
        return np.asarray((points - np.array([self.left, self.top])) / gain)


def people(output: NDArray[np.float32], box: Letterbox, *, conf: float, iou: float) -> Detections:
    """The people in one picture of the network's output, strongest first.

    `output`: (4 + classes, places) with centre, size and scores, or (n, 6) of a network that selects by itself.
    """
    if output.shape[-1] == END_TO_END_COLUMNS:
        corners, confidence = _selected(output, conf)
    else:
        corners, confidence = _candidates(output, conf)
        kept = strongest(corners, confidence, iou)
        corners, confidence = corners[kept], confidence[kept]
    return Detections(box.in_picture(corners), confidence)


def _selected(output: NDArray[np.float32], conf: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    found = output[(output[:, 4] > conf) & (output[:, 5] == PERSON_CLASS)][:MAX_PEOPLE].astype(np.float64)
    return found[:, :4], found[:, 4]


def _candidates(output: NDArray[np.float32], conf: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners and confidence of every place that is a person rather than anything else."""
    scores = output[4:]
    places = np.flatnonzero(scores[PERSON_CLASS] > conf)
    places = places[scores[:, places].argmax(axis=0) == PERSON_CLASS]
    x, y, width, height = output[:4, places].astype(np.float64)
    corners = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    return corners, scores[PERSON_CLASS, places].astype(np.float64)


def strongest(corners: NDArray[np.float64], confidence: NDArray[np.float64], iou: float) -> NDArray[np.intp]:
    """Numbers of the boxes that no stronger one covers by more than `iou`."""
    sizes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    kept = cv2.dnn.NMSBoxes(sizes.tolist(), confidence.tolist(), 0.0, iou)
    return np.asarray(kept, np.intp).reshape(-1)[:MAX_PEOPLE]

"""What goes into a YOLO network and what comes out of it: the same boxes as Ultralytics' for the same model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.vision.detector import Detections

PERSON_CLASS = 0  # COCO
INPUT_PX = 640
STRIDE_PX = 32
GREY = 114
MAX_FOUND = 300
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


def objects(
    output: NDArray[np.float32], box: Letterbox, *, conf: float, iou: float, numbers: Sequence[int] = (PERSON_CLASS,)
) -> Detections:
    """What is in one picture of the network's output, strongest first; `numbers` are the classes that are wanted.

    `output`: (4 + classes, places) with centre, size and scores, or (n, 6) of a network that selects by itself.
    """
    each = [_of_class(output, number, conf, iou) for number in numbers]
    if len(each) == 1:
        [(corners, confidence)] = each
        return Detections(box.in_picture(corners), confidence)
    corners, confidence = (np.concatenate(parts) for parts in zip(*each, strict=True))
    places = np.repeat(np.arange(len(each)), [len(found) for _, found in each])
    order = np.argsort(-confidence, kind="stable")[:MAX_FOUND]
    return Detections(box.in_picture(corners[order]), confidence[order], places[order])


def _of_class(
    output: NDArray[np.float32], number: int, conf: float, iou: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners and confidence of one class, strongest first: things of other classes hide nothing."""
    if output.shape[-1] == END_TO_END_COLUMNS:
        return _selected(output, number, conf)
    corners, confidence = _candidates(output, number, conf)
    kept = strongest(corners, confidence, iou)
    return corners[kept], confidence[kept]


def _selected(output: NDArray[np.float32], number: int, conf: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    found = output[(output[:, 4] > conf) & (output[:, 5] == number)][:MAX_FOUND].astype(np.float64)
    return found[:, :4], found[:, 4]


def _candidates(
    output: NDArray[np.float32], number: int, conf: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners and confidence of every place that is of this class rather than of any other."""
    scores = output[4:]
    places = np.flatnonzero(scores[number] > conf)
    places = places[scores[:, places].argmax(axis=0) == number]
    x, y, width, height = output[:4, places].astype(np.float64)
    corners = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    return corners, scores[number, places].astype(np.float64)


def strongest(corners: NDArray[np.float64], confidence: NDArray[np.float64], iou: float) -> NDArray[np.intp]:
    """Numbers of the boxes that no stronger one covers by more than `iou`."""
    sizes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    kept = cv2.dnn.NMSBoxes(sizes.tolist(), confidence.tolist(), 0.0, iou)
    return np.asarray(kept, np.intp).reshape(-1)[:MAX_FOUND]

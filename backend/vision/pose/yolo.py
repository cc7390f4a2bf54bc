"""What comes out of a YOLO network for poses: the same people and landmarks as Ultralytics' for the same model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.vision.pose.detector import Poses
from backend.vision.pose.skeleton import LANDMARKS
from backend.vision.yolo import MAX_FOUND, Letterbox, strongest

_NUMBERS = 3 * len(LANDMARKS)
# Centre, size and confidence; of a network that selects by itself: corners, confidence and class.
CANDIDATE_ROWS = 5 + _NUMBERS
END_TO_END_COLUMNS = 6 + _NUMBERS


def is_of_poses(output: NDArray[np.float32]) -> bool:
    """Whether one picture's output has the shape that `poses` reads."""
    return output.ndim == 2 and (output.shape[0] == CANDIDATE_ROWS or output.shape[1] == END_TO_END_COLUMNS)


def poses(output: NDArray[np.float32], box: Letterbox, *, conf: float, iou: float) -> Poses:
    """The people in one picture of the network's output, strongest first.

    `output`: (56, places) with centre, size, confidence and landmarks, or (n, 57) of a network that selects by itself.
    """
    if output.shape[1] == END_TO_END_COLUMNS:
        rows = output[output[:, 4] > conf][:MAX_FOUND].astype(np.float64)
        corners, confidence, numbers = rows[:, :4], rows[:, 4], rows[:, 6:]
    else:
        rows = output[:, output[4] > conf].astype(np.float64).T
        centre, size = rows[:, :2], rows[:, 2:4]
        corners = np.hstack([centre - size / 2, centre + size / 2])
        kept = strongest(corners, rows[:, 4], iou)
        corners, confidence, numbers = corners[kept], rows[kept, 4], rows[kept, 5:]
    return Poses(box.in_picture(corners), confidence, landmarks=_landmarks(numbers.reshape(-1, len(LANDMARKS), 3), box))


def _landmarks(found: NDArray[np.float64], box: Letterbox) -> NDArray[np.float64]:
    """In the picture's pixels. What lies beside the picture is a guess, however sure the network is: not visible."""
    places = box.points_in_picture(found[..., :2])
    height, width = box.picture
    is_inside = ((places >= 0) & (places <= [width, height])).all(axis=-1)
    visibility = np.where(is_inside, found[..., 2].clip(0, 1), 0.0)
    return np.concatenate([places, visibility[..., None]], axis=-1)

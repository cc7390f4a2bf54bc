"""How the mouths of the people in a picture have moved since the picture before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.vision.faces import Face, face_in, face_near
from backend.vision.speech_record import MOST_MOTION, MOTION_UNITS, NO_FACE

# A face as it is compared: its width and height in pixels, with the chin, which lies below the square around it.
_SIZE = (48, 56)
_MOUTH = (slice(30, 52), slice(12, 36))
_UPPER = (slice(6, 26), slice(8, 40))  # eyes and nose, which move as the head does
# A known face is found anew this often, and one that was lost is looked for.
_FIND_EVERY = 5
# And is held to be where its pixels went for so long.
_HELD_SAMPLES = 25
# More than this share of its width in one step is a cut, or another face.
_MOST_SHIFT_RATIO = 0.3


@dataclass
class _Known:
    face: Face
    found_at: int


class Mouths:
    """Takes the sampled pictures of a film in order."""

    def __init__(self) -> None:
        self._known: list[_Known] = []
        self._before: NDArray[np.uint8] | None = None
        self._samples = 0
        # Optical flow by inverse search: Kroeger et al., ECCV 2016.
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(0)
        self._flow.setPatchSize(8)
        self._flow.setPatchStride(4)

    def take(self, picture: NDArray[np.uint8], boxes: NDArray[np.float64]) -> list[int]:
        """The motion of each person's mouth as MouthRecord has it. `picture`: BGR; `boxes` (n, 4) in its pixels."""
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        left, motions, faces = list(self._known), [], []
        for box in boxes:
            known = _in_head(left, box)
            if known is not None:
                left.remove(known)
            motion, face = self._of_person(grey, box, known)
            motions.append(motion)
            faces += [face] if face else []
        self._known, self._before = faces, grey
        self._samples += 1
        return motions

    def _of_person(
        self, grey: NDArray[np.uint8], box: NDArray[np.float64], known: _Known | None
    ) -> tuple[int, _Known | None]:
        is_turn = self._samples % _FIND_EVERY == 0
        if known is None or self._before is None:
            face = face_in(grey, box) if is_turn or self._before is None else None
            return NO_FACE, _Known(face, self._samples) if face else None
        motion, moved = self._motion(self._before, grey, known.face)
        if motion == NO_FACE:
            return motion, None
        found = face_near(grey, moved) if is_turn else None
        if found is not None:
            return motion, _Known(found, self._samples)
        is_lost = self._samples - known.found_at > _HELD_SAMPLES
        return motion, None if is_lost else _Known(moved, known.found_at)

    def _motion(self, before: NDArray[np.uint8], after: NDArray[np.uint8], face: Face) -> tuple[int, Face]:
        """Of the mouth, the head's own taken out; and where the face has gone."""
        scale = _SIZE[0] / face.width
        view = np.array([[scale, 0, -face.x * scale], [0, scale, -face.y * scale]])
        still = np.zeros((*_SIZE[::-1], 2), np.float32)
        flow = np.asarray(self._flow.calc(_seen(before, view), _seen(after, view), still))
        head = np.median(flow[_UPPER].reshape(-1, 2), axis=0)
        own = np.hypot(*np.moveaxis(flow - head, -1, 0))
        if float(np.abs(head).max()) > _MOST_SHIFT_RATIO * _SIZE[0]:
            return NO_FACE, face
        # What is left in the upper face is what is no motion of a mouth either: noise, a turn of the head.
        motion = max(0.0, float(own[_MOUTH].mean()) - float(own[_UPPER].mean())) / _SIZE[0]
        moved = Face(face.x + float(head[0]) / scale, face.y + float(head[1]) / scale, face.width)
        return min(MOST_MOTION, round(motion * MOTION_UNITS)), moved


def _seen(grey: NDArray[np.uint8], view: NDArray[np.float64]) -> NDArray[np.uint8]:
    seen = cv2.warpAffine(grey, view, _SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.uint8)


def _in_head(known: Sequence[_Known], box: NDArray[np.float64]) -> _Known | None:
    """The one nearest to the top of the person's box, of those inside of it."""
    x1, y1, x2, y2 = box
    inside = []
    for each in known:
        x, y = each.face.x + each.face.width / 2, each.face.y + each.face.width / 2
        if x1 <= x <= x2 and y1 <= y <= y2:
            inside.append((abs(x - (x1 + x2) / 2) + (y - y1), id(each), each))
    return min(inside)[2] if inside else None

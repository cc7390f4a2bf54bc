"""The motion of a mouth is told from that of the head, on a photo of a face."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.vision.faces import Face, face_in
from backend.vision.mouths import Mouths
from backend.vision.speech_record import NO_FACE

PERSON = np.array([[0.0, 40.0, 560.0, 720.0]])  # in the photo


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    package = importlib.util.find_spec("ultralytics")
    if package is None or package.origin is None:
        pytest.skip("needs the photos of the package Ultralytics")
    picture = cv2.imread(str(Path(package.origin).parent / "assets" / "zidane.jpg"))
    assert picture is not None
    return np.asarray(picture[:, 720:1280], np.uint8)


@pytest.fixture(scope="module")
def face(photo: NDArray[np.uint8]) -> Face:
    found = face_in(np.asarray(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), np.uint8), PERSON[0])
    assert found is not None
    return found


def shifted(picture: NDArray[np.uint8], x: float, y: float) -> NDArray[np.uint8]:
    move = np.array([[1, 0, x], [0, 1, y]], np.float64)
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, move, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def chin_down(picture: NDArray[np.uint8], face: Face, px: float) -> NDArray[np.uint8]:
    """The mouth and what is below of it, stretched downwards."""
    ys, xs = np.indices(picture.shape[:2]).astype(np.float32)
    middle = face.y + 0.75 * face.width
    pull = (
        px * np.clip((ys - middle) / (0.1 * face.width), 0, 1) * (np.abs(xs - face.x - face.width / 2) < face.width / 3)
    )
    return np.asarray(cv2.remap(picture, xs, ys - pull.astype(np.float32), cv2.INTER_LINEAR), np.uint8)


def motions(pictures: list[NDArray[np.uint8]]) -> list[int]:
    mouths = Mouths()
    return [mouths.take(picture, PERSON)[0] for picture in pictures]


def test_a_mouth_that_opens_moves_and_a_head_that_nods_does_not(photo: NDArray[np.uint8], face: Face) -> None:
    talking = [chin_down(photo, face, 0.06 * face.width * (number % 2)) for number in range(11)]
    nodding = [shifted(photo, 0, 0.04 * face.width * (number % 2)) for number in range(11)]
    talks, nods, still = (np.median(motions(pictures)[1:]) for pictures in (talking, nodding, [photo] * 11))
    assert still == 0
    assert talks > 100
    assert talks > 5 * nods


def test_a_head_that_walks_is_followed(photo: NDArray[np.uint8]) -> None:
    walking = [shifted(photo, 0.4 * number, 0) for number in range(60)]
    assert NO_FACE not in motions(walking)[1:]


def test_who_has_no_face_has_no_mouth_that_moves(photo: NDArray[np.uint8]) -> None:
    mouths = Mouths()
    back = photo[400:, :]
    assert [mouths.take(back, np.array([[0.0, 0.0, 560.0, 320.0]])) for _ in range(7)] == [[NO_FACE]] * 7
    assert mouths.take(back, np.zeros((0, 4))) == []
    assert mouths.take(back, np.array([[5.0, 5.0, 7.0, 7.0]])) == [NO_FACE]


def test_a_cut_is_no_motion(photo: NDArray[np.uint8]) -> None:
    cut = [photo] * 6 + [shifted(photo, 120, 90)] * 6
    assert max(motions(cut)) < 300

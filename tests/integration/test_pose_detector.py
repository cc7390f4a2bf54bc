"""The pose detector on real pictures: people and landmarks as Ultralytics finds them, and models that are none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.errors import ModelMissing
from backend.settings import Settings
from backend.vision.pose.detector import PoseDetector, Poses, open_pose_detector
from backend.vision.pose.skeleton import LANDMARKS
from tests.conftest import SAMPLE_PHOTO

CONF, IOU = 0.25, 0.5
Picture = NDArray[np.uint8]


def settings_for(model: Path | str | None, folder: Path, **others: object) -> Settings:
    return Settings.model_validate({"pose_model_name": model and str(model), "data_dir": folder, **others})


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """A street with four people: whole, a flat part, an upright part that cuts people off, and small."""
    photo = np.asarray(cv2.imread(str(SAMPLE_PHOTO)), np.uint8)
    return [photo, photo[300:900], photo[:, :400], cv2.resize(photo, (240, 320))]


def assert_same(found: list[Poses], expected: list[Poses], *, px: float, confidence: float, share: float = 1.0) -> None:
    assert [len(each.boxes) for each in found] == [len(each.boxes) for each in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, rtol=0, atol=px)
        np.testing.assert_allclose(one.confidence, other.confidence, rtol=0, atol=confidence)
        seen = (one.landmarks[..., 2] > 0.5) & (other.landmarks[..., 2] > 0.5)
        assert seen.sum() >= 6 * len(seen)
        far_px = np.hypot(*(one.landmarks - other.landmarks)[seen][:, :2].T)
        assert np.quantile(far_px, share) <= px


def test_a_standing_man_has_his_landmarks_where_they_are(pose_detector: PoseDetector, pictures: list[Picture]) -> None:
    [street] = pose_detector.detect(pictures[:1], conf=CONF, iou=IOU)
    holds = (street.boxes[:, :2] < [283, 637]) & (street.boxes[:, 2:] > [283, 637])
    [man] = np.flatnonzero(holds.all(axis=1))[:1]
    at = {name: street.landmarks[man, number] for number, name in enumerate(LANDMARKS)}
    left, top, right, bottom = street.boxes[man]
    for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_knee", "right_knee"):
        x, y, visibility = at[name]
        assert visibility > 0.5
        assert left < x < right and top < y < bottom
    heights = [np.mean([at[f"{side}_{name}"][1] for side in ("left", "right")]) for name in ("shoulder", "hip", "knee")]
    assert heights == sorted(heights)


def test_what_lies_beside_the_picture_is_not_visible(pose_detector: PoseDetector, pictures: list[Picture]) -> None:
    """Half of a person who stands at the edge."""
    whole = pose_detector.detect(pictures[:1], conf=CONF, iou=IOU)[0].boxes[0]
    cut = np.ascontiguousarray(pictures[0][:, : round((whole[0] + whole[2]) / 2)])
    [found] = pose_detector.detect([cut], conf=CONF, iou=IOU)
    outside = (found.landmarks[..., 0] > cut.shape[1]) | (found.landmarks[..., 1] > cut.shape[0])
    assert len(found.boxes)
    assert (found.landmarks[..., 2][outside] == 0).all()


def test_pictures_are_found_in_batches_as_one_by_one(pose_detector: PoseDetector, pictures: list[Picture]) -> None:
    one_by_one = [found for picture in pictures for found in pose_detector.detect([picture], conf=CONF, iou=IOU)]
    assert_same(pose_detector.detect(pictures * 2, conf=CONF, iou=IOU), one_by_one * 2, px=0.01, confidence=1e-4)


def test_without_a_model_it_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="set POSE_MODEL_NAME to the path"):
        open_pose_detector(settings_for(None, tmp_path))
    with pytest.raises(ModelMissing, match=r"'models/none\.onnx' is not there.*set POSE_MODEL_NAME"):
        open_pose_detector(settings_for("models/none.onnx", tmp_path))


def test_a_model_that_finds_no_landmarks_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="finds no landmarks: set POSE_MODEL_NAME"):
        open_pose_detector(settings_for(model, tmp_path))


def test_a_model_with_another_checksum_is_not_loaded(pose_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="POSE_MODEL_SHA256"):
        open_pose_detector(settings_for(pose_model, tmp_path, pose_model_sha256="0" * 64))

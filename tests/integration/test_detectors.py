"""The detectors on real pictures: exported models find what Ultralytics finds, in batches as one by one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import openvino
import pytest
from numpy.typing import NDArray

from backend.errors import ModelMissing
from backend.settings import Settings
from backend.vision.detector import Detections, Detector, open_detector
from backend.vision.pose.detector import PoseDetector
from backend.vision.weights import PACKAGE, PACKAGED_NAME, PACKAGED_SHA256, find_model, packaged_weights
from tests.conftest import SAMPLE_PHOTO
from tests.integration.test_pose_detector import assert_same as assert_same_poses
from tests.integration.test_pose_detector import settings_for as pose_settings_for

CONF, IOU = 0.25, 0.5
Picture = NDArray[np.uint8]


def settings_for(model: Path | str, folder: Path, detector: str = "yolo") -> Settings:
    return Settings.model_validate({"model_name": str(model), "detector": detector, "data_dir": folder})


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """A street with four people: whole, upright and flat parts of it, one smaller and one larger than the network."""
    photo = np.asarray(cv2.imread(str(SAMPLE_PHOTO)), np.uint8)
    return [photo, photo[300:900], photo[:, :400], photo[300:900], cv2.resize(photo, (240, 320))]


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return open_detector(settings_for(PACKAGED_NAME, tmp_path_factory.mktemp("data")))


def assert_same(found: list[Detections], expected: list[Detections], *, px: float, confidence: float) -> None:
    assert sum(len(each.boxes) for each in expected) >= 10
    assert [len(each.boxes) for each in found] == [len(each.boxes) for each in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, rtol=0, atol=px)
        np.testing.assert_allclose(one.confidence, other.confidence, rtol=0, atol=confidence)


def by_ultralytics(model: Path, pictures: list[Picture], folder: Path) -> list[Detections]:
    if find_spec("ultralytics") is None:
        pytest.skip("Ultralytics is not installed: pip install -c constraints.txt '.[gpu]'")
    from backend.vision.detectors.ultralytics import UltralyticsDetector

    detector = UltralyticsDetector(model, settings_for(model, folder))
    return [found for picture in pictures for found in detector.detect([picture], conf=CONF, iou=IOU)]


def test_an_openvino_model_finds_what_ultralytics_finds_with_it(
    tmp_path: Path, model: Path, pictures: list[Picture]
) -> None:
    found = open_detector(settings_for(model, tmp_path)).detect(pictures, conf=CONF, iou=IOU)
    assert_same(found, by_ultralytics(model, pictures, tmp_path), px=0.01, confidence=1e-4)


def test_the_packaged_weights_find_what_ultralytics_finds_with_them(
    tmp_path: Path, packaged: Detector, pictures: list[Picture]
) -> None:
    """As an OpenVINO model, for Ultralytics would run ONNX in full precision where OpenVINO takes what the CPU has. In
    half precision a last digit of the input moves an edge by a pixel or two."""
    exported = tmp_path / "yolo11n_openvino_model"
    openvino.save_model(
        openvino.Core().read_model(packaged_weights()), exported / "yolo11n.xml", compress_to_fp16=False
    )
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(["person", *"abcdefghi"] + ["other"] * 70))
    (exported / "metadata.yaml").write_text(
        f"stride: 32\ntask: detect\nbatch: 1\nimgsz: [640, 640]\nnames:\n{names}args:\n  dynamic: true\n"
    )
    found = packaged.detect(pictures, conf=CONF, iou=IOU)
    assert_same(found, by_ultralytics(exported, pictures, tmp_path), px=3, confidence=0.03)


def test_pictures_of_any_sizes_are_found_in_batches_as_one_by_one(packaged: Detector, pictures: list[Picture]) -> None:
    one_by_one = [found for picture in pictures for found in packaged.detect([picture], conf=CONF, iou=IOU)]
    assert_same(packaged.detect(pictures * 3, conf=CONF, iou=IOU), one_by_one * 3, px=0.01, confidence=1e-4)
    assert packaged.detect([], conf=CONF, iou=IOU) == []


def test_boxes_lie_inside_the_picture_and_hold_the_people(packaged: Detector, pictures: list[Picture]) -> None:
    [street] = packaged.detect(pictures[:1], conf=CONF, iou=IOU)
    height, width = pictures[0].shape[:2]
    assert (street.boxes >= 0).all()
    assert (street.boxes <= [width, height, width, height]).all()
    assert list(street.confidence) == sorted(street.confidence, reverse=True)
    for x, y in ((130, 648), (283, 637), (760, 640)):  # the middles of three people
        inside = (street.boxes[:, :2] < [x, y]) & (street.boxes[:, 2:] > [x, y])
        assert inside.all(axis=1).any()


def test_the_packaged_weights_are_known_by_their_checksum(packaged: Detector) -> None:
    described = packaged.describe()
    assert (described["model"], described["sha256"], described["input_px"]) == (PACKAGED_NAME, PACKAGED_SHA256, 640)


@pytest.fixture
def other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the real package stands one of the same name, whose file is another."""
    installed = tmp_path / "installed"
    info = installed / f"{PACKAGE.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.1.0\n")
    (info / "RECORD").write_text(f"{PACKAGED_NAME},,\n")
    (installed / PACKAGED_NAME).write_bytes(b"other weights")
    monkeypatch.syspath_prepend(str(installed))


@pytest.mark.usefixtures("other_weights")
def test_packaged_weights_with_another_checksum_are_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="install it anew"):
        open_detector(settings_for(PACKAGED_NAME, tmp_path))


@pytest.mark.usefixtures("other_weights")
def test_without_any_weights_the_built_in_detector_stands_in_and_says_so(tmp_path: Path) -> None:
    described = open_detector(settings_for("best.onnx", tmp_path, "auto")).describe()
    assert described["type"] == "hog"
    assert described["fallback"].startswith("best.onnx could not be had; OpenCV's built-in people detector")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "best.onnx").write_text("This is no model.")
    with pytest.raises(ModelMissing, match=r"best\.onnx cannot be loaded"):
        open_detector(settings_for(tmp_path / "best.onnx", tmp_path))


def test_weights_in_the_data_folder_go_before_the_packaged_ones(tmp_path: Path) -> None:
    own = tmp_path / "models" / PACKAGED_NAME
    own.parent.mkdir()
    own.write_bytes(b"my own")
    assert find_model(settings_for(PACKAGED_NAME, tmp_path)) == own


def test_landmarks_are_those_that_ultralytics_finds(
    pose_detector: PoseDetector, pose_model: Path, pictures: list[Picture], tmp_path: Path
) -> None:
    if find_spec("ultralytics") is None:
        pytest.skip("Ultralytics is not installed: pip install -c constraints.txt '.[gpu]'")
    from backend.vision.detectors.ultralytics_pose import UltralyticsPoseDetector

    other = UltralyticsPoseDetector(pose_model, pose_settings_for(pose_model, tmp_path))
    expected = [found for picture in pictures[:2] for found in other.detect([picture], conf=CONF, iou=IOU)]
    assert sum(len(each.boxes) for each in expected) >= 7
    # In half precision, which CPUs choose themselves, a last digit of the input moves an edge by a pixel or two, and
    # where two places of the network see a person equally surely, either may win.
    assert_same_poses(
        pose_detector.detect(pictures[:2], conf=CONF, iou=IOU), expected, px=3, confidence=0.03, share=0.75
    )

"""Classes beyond people: found by their names, followed each for itself, and never taken for one another."""

from __future__ import annotations

from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.errors import InvalidParams
from backend.settings import Settings
from backend.vision.artifacts import ChunkArtifact, SourceId, TrackRecord, load_artifact, to_json_bytes
from backend.vision.detector import Detections, Detector, known_classes, open_detector
from backend.vision.link import link
from backend.vision.stitch import Track, stitch
from backend.vision.timeline import Timeline
from backend.vision.tracker import Tracker
from backend.vision.weights import PACKAGED_NAME, packaged_weights
from tests.conftest import SAMPLE_PHOTO

CONF, IOU = 0.25, 0.5
CLASSES = ("bus", "person")


def settings_for(model: Path | str, folder: Path, **more: str) -> Settings:
    return Settings.model_validate({"model_name": str(model), "detector": "yolo", "data_dir": folder} | more)


@pytest.fixture(scope="module")
def street() -> NDArray[np.uint8]:
    """Four people before a bus."""
    return np.asarray(cv2.imread(str(SAMPLE_PHOTO)), np.uint8)


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return open_detector(settings_for(PACKAGED_NAME, tmp_path_factory.mktemp("data")))


def test_the_bus_is_found_beside_the_very_same_people(packaged: Detector, street: NDArray[np.uint8]) -> None:
    [alone] = packaged.detect([street], conf=CONF, iou=IOU)
    [both] = packaged.detect([street], conf=CONF, iou=IOU, classes=CLASSES)
    assert alone.classes is None
    people, [bus] = both.rows_of(1), both.rows_of(0)
    np.testing.assert_array_equal(both.boxes[people], alone.boxes)
    np.testing.assert_array_equal(both.confidence[people], alone.confidence)
    left, top, right, bottom = both.boxes[bus]
    assert left < 40 and right > 780 and 200 < top < 260 and 720 < bottom < 780
    assert list(both.confidence) == sorted(both.confidence, reverse=True)


def test_ultralytics_finds_the_same_classes(tmp_path: Path, street: NDArray[np.uint8], model: Path) -> None:
    if find_spec("ultralytics") is None:
        pytest.skip("Ultralytics is not installed: pip install -c constraints.txt '.[gpu]'")
    from backend.vision.detectors.ultralytics import UltralyticsDetector

    theirs = UltralyticsDetector(model, settings_for(model, tmp_path))
    ours = open_detector(settings_for(model, tmp_path))
    [one], [other] = (each.detect([street], conf=CONF, iou=IOU, classes=CLASSES) for each in (ours, theirs))
    assert one.classes is not None and set(one.classes) == {0, 1}
    np.testing.assert_array_equal(one.classes, other.classes)
    np.testing.assert_allclose(one.boxes, other.boxes, rtol=0, atol=0.01)


def test_classes_have_the_names_that_the_model_s_own_files_give(tmp_path: Path, model: Path) -> None:
    for weights in (packaged_weights(), model):
        known = known_classes(settings_for(weights, tmp_path))
        assert known is not None and len(known) == 80
        assert (known[0], known[2], known[9]) == ("person", "car", "traffic light")
    assert known_classes(settings_for("own.pt", tmp_path)) is None
    assert known_classes(settings_for("own.pt", tmp_path, detector="hog")) == ["person"]


def test_an_unknown_class_is_named_with_those_there_are(packaged: Detector, street: NDArray[np.uint8]) -> None:
    with pytest.raises(InvalidParams, match=r"knows no 'unicorn'; it knows: person, bicycle, car"):
        packaged.detect([street], conf=CONF, iou=IOU, classes=("unicorn",))


def person_and_car(tracker: Tracker, count: int = 10) -> None:
    """A car whose box is the driver's own box, all the time."""
    for number in range(count):
        box = [100.0 + 5 * number, 100, 160 + 5 * number, 200]
        tracker.update(number, Detections(np.array([box, box]), np.array([0.9, 0.8]), np.array([1, 0])))


def test_a_driver_and_a_car_in_one_place_are_two_tracks() -> None:
    tracker = Tracker(conf=CONF, sample_fps=10, classes=("car", "person"))
    person_and_car(tracker)
    found = {tracker.class_of(track_id): confidence for track_id, _, _, confidence in tracker.tracks()}
    assert {name: set(values) for name, values in found.items()} == {"car": {0.8}, "person": {0.9}}


def chunk(index: int, first: str, second: str) -> ChunkArtifact:
    """Two chunks of 10 frames with 5 of overlap; two things stand in one place."""
    start, boxes = 10 * index, [[10.0, 10, 50, 90]] * 15
    pts = list(range(start, start + 15))
    return ChunkArtifact(
        job_id="job",
        chunk_index=index,
        source=SourceId(etag="etag", size=1),
        params_sha256="0" * 64,
        time_base=[1, 10],
        start_pts=start,
        end_pts=start + 10,
        frame_size=[640, 360],
        detector={},
        frame_pts=pts[:10],
        sampled_pts=pts,
        tracks=[
            TrackRecord(id=number, class_name=name, pts=pts, boxes=boxes, confidence=[0.9] * 15)
            for number, name in enumerate((first, second))
        ],
        detections=[],
    )


def test_a_class_goes_over_the_seam_and_through_the_artifact() -> None:
    chunks = [chunk(0, "car", "person"), chunk(1, "person", "car")]
    read = [load_artifact(to_json_bytes(each), expected_sha256=None) for each in chunks]
    tracks = stitch(read)
    assert sorted((track.class_name, len(track.pts)) for track in tracks) == [("car", 25), ("person", 25)]


def test_an_artifact_of_people_is_what_it_was_before_there_were_classes() -> None:
    assert b"class" not in to_json_bytes(chunk(0, "person", "person"))


def test_a_person_is_never_linked_with_a_car() -> None:
    """What goes out of sight as a person and comes back at the same place, but as a car, is another."""
    box = np.array([[100.0, 100, 160, 200]])

    def piece(number: int, start: int, class_name: str) -> Track:
        pts = np.arange(start, start + 20)
        return Track(number, pts, box.repeat(20, axis=0), np.full(20, 0.9), class_name)

    timeline = Timeline(np.arange(60), Fraction(1, 10), (640, 360))
    [same] = link([piece(1, 0, "car"), piece(2, 30, "car")], timeline, conf=CONF)
    assert (same.class_name, len(same.pts)) == ("car", 40)
    apart = link([piece(1, 0, "person"), piece(2, 30, "car")], timeline, conf=CONF)
    assert [(track.id, track.class_name) for track in apart] == [(1, "person"), (2, "car")]

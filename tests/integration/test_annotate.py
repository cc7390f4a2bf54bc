"""Annotated films: boxes at the tracked places of every frame, the source everywhere else, its sound and its times."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.errors import InvalidParams
from backend.kinds.annotate import ANNOTATE
from backend.kinds.base import Done
from backend.kinds.context import WholeContext
from backend.kinds.tools import Tools
from backend.media.resample import plane
from backend.settings import Settings
from backend.vision.artifacts import to_json_bytes
from backend.vision.classes import PEOPLE
from backend.vision.detector import Detections
from benchmarks.seams import Left, analysed
from tests.integration import films

SIZE = (320, 180)
SECONDS = 5
BT709 = {"color_primaries": 1, "color_trc": 1, "colorspace": 1, "color_range": 1}
# Frames of 25 a second, every seventh missing: a rate that varies.
TIMES = [Fraction(n, 25) for n in range(25 * SECONDS) if n % 7 != 3]
LEVELS = {"person": 235, "car": 170}
BOTH = {"classes": "person,car", "crf": 0, "preset": "ultrafast"}


def box_of(name: str, sec: float) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2: somebody walks to the right, and a car comes from there."""
    if name == "person":
        left = round(20 + 40 * sec)
        return left, 40, left + 30, 110
    left = round(250 - 30 * sec)
    return left, 130, left + 60, 160


def scene(sec: float) -> av.VideoFrame:
    luma = np.tile(np.linspace(40, 110, SIZE[0]).astype(np.uint8), (SIZE[1], 1))
    for name, level in LEVELS.items():
        x1, y1, x2, y2 = box_of(name, sec)
        luma[y1:y2, x1:x2] = level
    return films.grey(luma)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "scene.mp4"
    shape = films.Shape(colour=BT709, gop=25)
    return films.write_film(
        path, (scene(float(t)) for t in TIMES), TIMES, shape, sounds=[("aac", films.beeps(SECONDS))]
    )


class ByBrightness:
    """Finds what has the brightness of a class."""

    batch_size = 4
    names: Mapping[int, str] = MappingProxyType({0: "person", 2: "car"})

    def detect(
        self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float, classes: Sequence[str] = PEOPLE
    ) -> list[Detections]:
        return [self._detect(picture, classes) for picture in pictures]

    def describe(self) -> dict[str, Any]:
        return {"name": "by brightness"}

    def _detect(self, picture: NDArray[np.uint8], classes: Sequence[str]) -> Detections:
        boxes, places = [], []
        for place, name in enumerate(classes):
            level = (LEVELS[name] - 16) * 255 / 219
            x, y, width, height = cv2.boundingRect((np.abs(picture[:, :, 1] - level) < 12).astype(np.uint8))
            if width * height:
                boxes.append([x, y, x + width, y + height])
                places.append(place)
        found = np.array(boxes, np.float64).reshape(-1, 4)
        return Detections(found, np.full(len(found), 0.9), np.array(places, np.int64))


@dataclass
class Annotated:
    chunks: int
    result: Done

    def document(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.result.files[name]))

    def rows(self) -> dict[int, list[list[float]]]:
        """id, x, y, w, h of each frame, from 0."""
        found: dict[int, list[list[float]]] = {}
        for line in self.result.files["tracks.mot.txt"].decode().splitlines():
            frame, *row = line.split(",")
            found.setdefault(int(frame) - 1, []).append([float(value) for value in row[:5]])
        return found


def annotate(path: Path, folder: Path, chunk_seconds: float = 30.0, detector: Any = None, **params: Any) -> Annotated:
    """By the product's own steps, in this process."""
    settings, detector = Settings(detector="hog", data_dir=folder), detector or ByBrightness()
    parsed = ANNOTATE.parse_params(params)
    film = analysed(path, chunk_seconds, detector, settings, parsed)  # type: ignore[arg-type]
    folder.mkdir(exist_ok=True)
    result = ANNOTATE.phases[0].whole.work(
        WholeContext(
            job_id="whole",
            probed=film.facts,
            params=parsed,
            earlier=Left([to_json_bytes(artifact) for artifact in film.artifacts]),
            open_reader=lambda: film.reader,
            folder=folder,
            fleet=list,
            tools=Tools(settings, lambda: detector),
            report=lambda share: None,
        )
    )
    assert isinstance(result, Done)
    return Annotated(len(film.artifacts), result)


@pytest.fixture(scope="module")
def boxed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Annotated:
    zones = [{"name": "left half", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "unit": "share"}]
    return annotate(source, tmp_path_factory.mktemp("boxed"), draw="boxes", zones=zones, **BOTH)


def decoded(path: Path) -> list[tuple[float, list[NDArray[np.int64]]]]:
    """Seconds and planes of every frame."""
    with av.open(str(path)) as container:
        return [
            (float(frame.time), [plane(frame, number).astype(np.int64) for number in range(3)])
            for frame in container.decode(video=0)
        ]


def test_boxes_are_at_the_tracked_places_and_all_else_is_the_source_bit_by_bit(source: Path, boxed: Annotated) -> None:
    before, after, rows = decoded(source), decoded(boxed.result.output), boxed.rows()
    assert len(after) == len(before) == len(TIMES)
    lines = 0
    for number, ((_, old), (_, new)) in enumerate(zip(before, after, strict=True)):
        around = np.zeros(SIZE[::-1], bool)
        for _, x, y, width, height in rows.get(number, []):
            left, top, right, bottom = round(x), round(y), round(x + width), round(y + height)
            ring = np.zeros(SIZE[::-1], bool)
            ring[max(0, top - 2) : bottom + 3, max(0, left - 2) : right + 3] = True
            ring[top + 3 : bottom - 2, left + 3 : right - 2] = False
            around |= ring
            sides = [(top, (left + right) // 2), (bottom, (left + right) // 2), ((top + bottom) // 2, left)]
            lines += sum(abs(new[0][place] - old[0][place]) > 10 for place in sides)
        assert not ((new[0] != old[0]) & ~around).any()
        cells = around.reshape(SIZE[1] // 2, 2, SIZE[0] // 2, 2).any(axis=(1, 3))
        for chroma in (1, 2):
            assert not ((new[chroma] != old[chroma]) & ~cells).any()
            assert (new[chroma] != old[chroma]).any() or not rows.get(number)
    assert lines > 0.9 * 3 * sum(map(len, rows.values())) > 500


def test_the_tracks_are_where_the_things_are_and_what_they_are(boxed: Annotated) -> None:
    tracks = boxed.document("tracks.json")["tracks"]
    assert sorted(track["class"] for track in tracks) == ["car", "person"]
    ticks_per_sec = Fraction(boxed.document("tracks.json")["time_base"][1])
    for track in tracks:
        for pts, found in zip(track["pts"], track["boxes"], strict=True):
            assert found == pytest.approx(box_of(track["class"], float(pts / ticks_per_sec)), abs=1.5)


def test_the_sound_and_every_frame_s_time_are_the_source_s(source: Path, boxed: Annotated) -> None:
    assert [sec for sec, _ in decoded(boxed.result.output)] == [sec for sec, _ in decoded(source)]
    assert films.beep_times(boxed.result.output) == pytest.approx([0, 1, 2, 3, 4], abs=0.02)


def test_two_second_chunks_give_the_tracks_of_one(source: Path, tmp_path: Path, boxed: Annotated) -> None:
    chunked = annotate(source, tmp_path / "job", chunk_seconds=2.0, draw="", **BOTH)
    assert (boxed.chunks, chunked.chunks) == (1, 3)
    ours, theirs = (each.document("tracks.json")["tracks"] for each in (chunked, boxed))
    assert [(track["id"], track["class"]) for track in ours] == [(track["id"], track["class"]) for track in theirs]
    for one, other in zip(chunked.rows().items(), boxed.rows().items(), strict=True):
        assert one[0] == other[0]
        np.testing.assert_allclose(one[1], other[1], rtol=0, atol=1)


def test_a_summary_of_each_object_lies_beside_the_film(boxed: Annotated) -> None:
    objects = boxed.document("objects.json")["objects"]
    person, car = (next(each for each in objects if each["class"] == name) for name in ("person", "car"))
    assert person["mean_speed_px_per_sec"] == pytest.approx(40, abs=1)
    assert person["top_speed_widths_per_sec"] == pytest.approx(40 / 320, abs=0.01)
    # Their middles, 35 + 40 t and 280 - 30 t, cross 160 after 3.125 s and 4 s.
    assert person["dwell_sec"]["left half"] == pytest.approx(3.125, abs=0.1)
    assert car["dwell_sec"]["left half"] == pytest.approx(1.0, abs=0.15)


def test_who_asks_for_people_gets_people(source: Path, tmp_path: Path) -> None:
    found = annotate(source, tmp_path / "job", preset="ultrafast").document("tracks.json")
    assert [track["class"] for track in found["tracks"]] == ["person"]


def test_where_nothing_is_found_the_film_is_the_source_and_that_is_said(tmp_path: Path) -> None:
    empty = (films.grey(np.full(SIZE[::-1], 60, np.uint8)) for _ in range(25))
    path = films.write_film(tmp_path / "a.mp4", empty, [Fraction(n, 25) for n in range(25)], films.Shape(colour=BT709))
    done = annotate(path, tmp_path / "job", **BOTH)
    assert done.result.warnings == ["Nothing was found of: car, person. Nothing is drawn; a lower conf finds more."]
    for (_, old), (_, new) in zip(decoded(path), decoded(done.result.output), strict=True):
        np.testing.assert_array_equal(old[0], new[0])


def test_a_class_that_the_detector_lacks_fails_the_chunk_and_names_those_there_are(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidParams, match=r"knows no 'horse'; it knows: person, car"):
        annotate(source, tmp_path / "job", classes="horse")


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"classes": ""}, "classes: "),
        ({"draw": "boxes,hearts"}, "draw.1: "),
        ({"trail_seconds": -1}, "trail_seconds: "),
        ({"zones": [{"name": "a", "polygon": [[0, 0], [1, 1]]}]}, "zones.0.polygon: "),
        ({"zones": [{"name": "a", "polygon": [[0, 0], [1, 1], [0, 1]]}] * 2}, "zones: two have the same name"),
        ({"padding_ratio": 0.1}, "There is no parameter 'padding_ratio'"),
    ],
)
def test_bad_parameters_are_named(params: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidParams) as refused:
        ANNOTATE.parse_params(params)
    assert complaint in refused.value.message


def test_classes_are_refused_at_once_where_the_settings_say_which_there_are(tmp_path: Path) -> None:
    settings = Settings(detector="hog", data_dir=tmp_path)
    with pytest.raises(InvalidParams, match="knows no 'car'; it knows: person"):
        ANNOTATE.with_defaults({"classes": "person,car"}, settings)
    packaged = Settings(detector="yolo", model_name="yolo11n.onnx", data_dir=tmp_path)
    with pytest.raises(InvalidParams, match=r"knows no 'zombie'; it knows: person, bicycle"):
        ANNOTATE.with_defaults({"classes": ["zombie", "person"]}, packaged)
    asked = ANNOTATE.with_defaults({"classes": "Traffic_Light,person"}, packaged)
    assert ANNOTATE.parse_params(asked).classes == ("person", "traffic light")

"""Every frame of the film is counted in one class, and what falls short is said in plain sentences."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from backend.vision.camera_path import CameraPath
from backend.vision.certificate import certificate
from backend.vision.holding import counted
from backend.vision.holding_words import headline, shortfalls
from backend.vision.path_file import to_json
from backend.vision.plot import plot_path
from backend.vision.timeline import Timeline

SIZE, TIME_BASE, FRAMES = (1000, 500), Fraction(1, 25), np.arange(100)
WHOLE, PART, LARGER = [420.0, 100.0, 580.0, 400.0], [300.0, 100.0, 500.0, 400.0], [300.0, 100.0, 700.0, 400.0]
NOBODY = [np.nan] * 4


def found(*stretches: tuple[int, list[float], bool], passing: int = 0, left_out: int = 0) -> dict[str, Any]:
    """The certificate of a still window from x = 400 to 600; stretches of frames, the subject's box, anybody there."""
    counts = [count for count, _, _ in stretches]
    boxes = np.repeat(np.array([box for _, box, _ in stretches]), counts, axis=0)
    somebody = np.repeat([there for _, _, there in stretches], counts)
    full = np.ones(len(boxes))
    path = CameraPath(400 * full, 0 * full, 200 * full, 500 * full, ((0, len(boxes)),), (200, 500))
    times_sec = np.arange(len(boxes)) / 25
    proof = certificate(path, boxes, Timeline(np.arange(len(boxes)), TIME_BASE, SIZE), somebody=somebody)
    marks = {name: np.arange(len(boxes)) < count for name, count in (("passing", passing), ("left_out", left_out))}
    return proof | {name: counted(mask, times_sec) for name, mask in marks.items()} | {"subject_track_ids": [1]}


def frames_of(proof: dict[str, Any]) -> dict[str, int]:
    return {name: held["frames"] for name, held in proof["holding"].items()}


def test_every_frame_is_in_one_class() -> None:
    proof = found((40, WHOLE, True), (25, PART, True), (15, LARGER, True), (12, NOBODY, True), (8, NOBODY, False))
    assert frames_of(proof) == {"whole": 40, "part": 25, "larger": 15, "not_followed": 12, "nobody": 8}
    assert sum(held["pct"] for held in proof["holding"].values()) == pytest.approx(100)
    assert sum(held["seconds"] for held in proof["holding"].values()) == pytest.approx(4.0)


def test_containment_counts_whole_people_in_all_frames_that_have_somebody() -> None:
    assert found((100, LARGER, True))["containment_pct"] == 0
    assert found((50, WHOLE, True), (30, NOBODY, True), (20, NOBODY, False))["containment_pct"] == 62.5
    assert found((50, WHOLE, True), (50, NOBODY, False))["containment_pct"] == 100
    assert found((100, NOBODY, False))["containment_pct"] is None


def test_the_held_part_is_a_figure_of_its_own() -> None:
    middle = [390.0, 100.0, 610.0, 400.0]
    proof = found((100, middle, True))
    assert proof["held_part_pct"] == 100 and proof["containment_pct"] == 0


@pytest.mark.parametrize(
    ("stretch", "said"),
    [
        ((12, LARGER, True), "In 12 % of the frames the person is larger than the window: try fill=pad"),
        ((12, PART, True), "In 12 % of the frames the person is only partly in the window"),
        ((12, NOBODY, True), "In 12 % of the frames somebody is there, but nobody whom the window follows"),
        ((12, NOBODY, False), "In 12 % of the frames nobody was found"),
    ],
)
def test_each_shortfall_is_said_in_words(stretch: tuple[int, list[float], bool], said: str) -> None:
    sentences = shortfalls(found((88, WHOLE, True), stretch), "main", "crop")
    assert len(sentences) == 1 and sentences[0].startswith(said)


def test_a_film_that_shows_its_people_whole_needs_no_words() -> None:
    assert shortfalls(found((100, WHOLE, True)), "main", "crop") == []


def test_a_hundredth_of_the_frames_and_half_a_second_are_let_pass() -> None:
    assert shortfalls(found((99, WHOLE, True), (1, LARGER, True)), "main", "crop") == []
    assert shortfalls(found((98, WHOLE, True), (2, LARGER, True)), "main", "crop") != []
    long = (2_000, WHOLE, True), (13, LARGER, True)
    assert shortfalls(found(*long), "main", "crop")[0].startswith("In 0.6 % of the frames")


def test_everybody_asked_for_and_left_out_is_said() -> None:
    sentences = shortfalls(found((100, WHOLE, True), left_out=30), "all", "crop")
    assert sentences == [
        "In 30 % of the frames not everybody fits into the window; it holds whom it can: "
        "try fill=pad or fill=blur, or a wider aspect."
    ]


def test_passing_on_is_said_once_and_not_as_somebody_ignored() -> None:
    sentences = shortfalls(found((20, NOBODY, True), (80, WHOLE, True), passing=20), "main", "crop")
    assert len(sentences) == 1 and "passes from one person to another" in sentences[0]


def test_with_bars_already_there_only_a_wider_aspect_is_advised() -> None:
    (sentence,) = shortfalls(found((50, WHOLE, True), (50, LARGER, True)), "main", "pad")
    assert "try a wider aspect" in sentence and "fill" not in sentence


def test_a_film_without_anybody_says_that_alone() -> None:
    nobody = found((100, NOBODY, False)) | {"subject_track_ids": []}
    assert shortfalls(nobody, "main", "crop") == [
        "Nobody was found in the video: the window stands still in the middle."
    ]
    passers_by = found((60, NOBODY, True), (40, NOBODY, False)) | {"subject_track_ids": []}
    assert "long and plainly enough" in shortfalls(passers_by, "main", "crop")[0]


def test_the_headline_never_rounds_to_all_or_none() -> None:
    line = headline(found((999, WHOLE, True), (1, LARGER, True)))
    assert line.startswith("Of all frames: held whole 99 %, larger than the window 0.1 %.")
    assert headline(found((100, WHOLE, True))).startswith("Of all frames: held whole 100 %.")


def test_a_path_written_before_all_frames_were_counted_is_still_drawn() -> None:
    boxes, full = np.tile(WHOLE, (100, 1)), np.ones(100)
    path = CameraPath(400 * full, 0 * full, 200 * full, 500 * full, ((0, 100),), (200, 500))
    document = json.loads(to_json(path, found((100, WHOLE, True)), Timeline(FRAMES, TIME_BASE, SIZE), boxes))
    assert plot_path(document).startswith(b"\x89PNG")
    del document["certificate"]["holding"]
    assert plot_path(document).startswith(b"\x89PNG")

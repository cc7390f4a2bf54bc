"""The certificate can be checked by anybody: its figures follow from tracks.json and camera_path.json alone.

Nothing of the product is used here but the files; the arithmetic is written down once more, frame by frame.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from backend.kinds.crop_params import CropParams
from backend.settings import Settings
from backend.vision.detector import Detector, open_detector
from benchmarks.seams import framing_of
from tests.conftest import shared_file

TOLERANCE_PX = 0.5
REACH_SEC = 0.5
Box = tuple[float, float, float, float]

FILMS = [
    (("media", "facerec_short_hamilton_clip.mp4"), "all"),
    (("media", "sam2_bedroom.mp4"), "all"),
    (("media", "mot", "TUD-Stadtmitte", "TUD-Stadtmitte.mp4"), "main"),
    (("media", "mot", "TUD-Campus", "TUD-Campus.mp4"), "all"),
    (("media", "moviepy_fire2.mp4"), "main"),
]


@dataclass
class Delivered:
    tracks: dict[str, Any]
    path: dict[str, Any]

    @property
    def proof(self) -> dict[str, Any]:
        return self.path["certificate"]

    @cached_property
    def pts(self) -> list[int]:
        return [row[0] for row in self.path["frames"]]

    @cached_property
    def tick_sec(self) -> float:
        return self.path["time_base"][0] / self.path["time_base"][1]

    @cached_property
    def windows(self) -> list[Box]:
        return [(x, y, x + width, y + height) for _, x, y, width, height in self.path["frames"]]

    def anybody(self, frame: int) -> bool:
        return any(track["pts"][0] <= self.pts[frame] <= track["pts"][-1] for track in self.tracks["tracks"])

    def people(self, frame: int) -> dict[int, Box]:
        """Where everybody of the subject's tracks is, held for half a second towards the ends of the shot."""
        start, stop = next(shot for shot in self.path["shots"] if shot[0] <= frame < shot[1])
        found = {}
        for track in self.tracks["tracks"]:
            if track["id"] in self.proof["subject_track_ids"] and self._shows(track, frame, start, stop):
                found[track["id"]] = _between(track, self.pts[frame])
        return found

    def _shows(self, track: dict[str, Any], frame: int, start: int, stop: int) -> bool:
        first, last = track["pts"][0], track["pts"][-1]
        if not (self.pts[start] <= first and last <= self.pts[stop - 1]):
            return False
        reach = REACH_SEC / self.tick_sec
        reaches_start, reaches_end = first - self.pts[start] <= reach, self.pts[stop - 1] - last <= reach
        at = self.pts[frame]
        return (first <= at or reaches_start) and (at <= last or reaches_end)


def _between(track: dict[str, Any], pts: int) -> Box:
    known, boxes = track["pts"], track["boxes"]
    after = next((index for index, each in enumerate(known) if each >= pts), len(known) - 1)
    before = max(0, after - 1) if known[after] > pts else after
    if known[after] <= pts or before == after:
        return tuple(boxes[after])
    share = max(0.0, (pts - known[before]) / (known[after] - known[before]))
    one, two = boxes[before], boxes[after]
    left, top, right, bottom = (a + share * (b - a) for a, b in zip(one, two, strict=True))
    return left, top, right, bottom


@pytest.fixture(scope="module")
def detector(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return open_detector(Settings(model_name=str(model), data_dir=tmp_path_factory.mktemp("data"), detector="yolo"))


@pytest.fixture(scope="module", params=FILMS, ids=lambda film: f"{film[0][-1]}, {film[1]}")
def delivered(request: pytest.FixtureRequest, detector: Detector) -> Delivered:
    parts, subject = request.param
    params = CropParams(aspect="9:16", subject=subject)
    framing, _ = framing_of(shared_file(*parts), math.inf, detector, Settings(detector="yolo"), params)
    files = framing.files(framing.certificate(params.smooth_alpha))
    return Delivered(json.loads(files["tracks.json"]), json.loads(files["camera_path.json"]))


def class_of(box: list[float] | None, window: Box, anybody: bool) -> str:
    if box is None:
        return "not_followed" if anybody else "nobody"
    if any(box[axis + 2] - box[axis] > window[axis + 2] - window[axis] + TOLERANCE_PX for axis in (0, 1)):
        return "larger"
    inside = all(
        box[axis] >= window[axis] - TOLERANCE_PX and box[axis + 2] <= window[axis + 2] + TOLERANCE_PX for axis in (0, 1)
    )
    return "whole" if inside else "part"


def classes(film: Delivered) -> list[str]:
    return [
        class_of(box, window, film.anybody(frame))
        for frame, (box, window) in enumerate(zip(film.path["subject"], film.windows, strict=True))
    ]


def test_every_frame_is_counted_in_the_class_that_the_files_show(delivered: Delivered) -> None:
    held, found = delivered.proof["holding"], classes(delivered)
    counts, frames = Counter(found), len(found)
    assert {name: each["frames"] for name, each in held.items()} == {name: counts[name] for name in held}
    assert sum(counts[name] for name in held) == delivered.proof["frames"] == frames
    for name, each in held.items():
        assert each["pct"] == pytest.approx(100 * counts[name] / frames, abs=1e-3)
    shown = [(later - pts) * delivered.tick_sec for pts, later in pairwise(delivered.pts)]
    shown.append(shown[-1])
    for name, each in held.items():
        assert each["seconds"] == pytest.approx(
            sum(sec for sec, mark in zip(shown, found, strict=True) if mark == name), abs=1e-3
        )


def test_containment_is_the_share_held_whole_of_the_frames_that_have_somebody(delivered: Delivered) -> None:
    counts = Counter(classes(delivered))
    there = len(delivered.pts) - counts["nobody"]
    expected = 100 * counts["whole"] / there if there else None
    assert delivered.proof["containment_pct"] == (pytest.approx(expected, abs=1e-3) if there else None)
    if counts["larger"] or counts["part"] or counts["not_followed"]:
        assert delivered.proof["containment_pct"] < 100


def test_the_held_part_is_the_middle_of_the_box(delivered: Delivered) -> None:
    held = known = 0
    for box, window in zip(delivered.path["subject"], delivered.windows, strict=True):
        if box is None:
            continue
        known += 1
        held += all(_holds_middle(box[axis::2], window[axis::2]) for axis in (0, 1))
    assert delivered.proof["subject_frames"] == known
    expected = pytest.approx(100 * held / known, abs=1e-3) if known else None
    assert delivered.proof["held_part_pct"] == expected


def _holds_middle(box: list[float], window: tuple[float, ...]) -> bool:
    part, middle = min(box[1] - box[0], 0.9 * (window[1] - window[0])), (box[0] + box[1]) / 2
    return middle - part / 2 >= window[0] - TOLERANCE_PX and middle + part / 2 <= window[1] + TOLERANCE_PX


def test_stretches_larger_than_the_window_are_named(delivered: Delivered) -> None:
    found = classes(delivered)
    larger = {pts for pts, mark in zip(delivered.pts, found, strict=True) if mark == "larger"}
    named = delivered.proof["larger_than_window_pts"]
    assert {pts for pts in delivered.pts if any(first <= pts <= last for first, last in named)} == larger


def test_the_subject_is_whole_people_and_who_is_left_out_is_counted(delivered: Delivered) -> None:
    """The box is always the union of some of the people in it, so never a gap between them."""
    left_out = 0
    for frame, box in enumerate(delivered.path["subject"]):
        people = delivered.people(frame)
        if box is None or not people:
            continue
        inside = [each for each in people.values() if _is_inside(each, box)]
        left_out += len(inside) < len(people)
        if inside:  # none is where a gap between two tracks of one person is bridged
            union = [pick(each[side] for each in inside) for side, pick in enumerate((min, min, max, max))]
            assert union == pytest.approx(box, abs=0.1), frame
    if delivered.proof["passing_frames"] == 0 and delivered.proof["left_out"]["frames"]:
        assert delivered.proof["left_out"]["frames"] == left_out


def _is_inside(inner: Box, outer: list[float]) -> bool:
    return all(inner[axis] >= outer[axis] - 0.1 and inner[axis + 2] <= outer[axis + 2] + 0.1 for axis in (0, 1))


def moves(film: Delivered) -> Iterator[tuple[list[float], list[tuple[float, float]]]]:
    """Of each shot: seconds and the window's centre in frame widths, frame by frame."""
    width = film.path["frame_size"][0]
    for start, stop in film.path["shots"]:
        times = [(film.pts[at] - film.pts[0]) * film.tick_sec for at in range(start, stop)]
        windows = film.windows[start:stop]
        yield times, [((x1 + x2) / 2 / width, (y1 + y2) / 2 / width) for x1, y1, x2, y2 in windows]


def derived(times: list[float], values: list[tuple[float, float]]) -> tuple[list[float], list[tuple[float, float]]]:
    steps = list(zip(times, times[1:], values, values[1:], strict=False))
    found = [((b[0] - a[0]) / (t2 - t1), (b[1] - a[1]) / (t2 - t1)) for t1, t2, a, b in steps]
    return [(t1 + t2) / 2 for t1, t2, _, _ in steps], found


def percentile_99(values: list[float]) -> float:
    ranked = sorted(values)
    at = 0.99 * (len(ranked) - 1)
    low = math.floor(at)
    return ranked[low] + (at - low) * (ranked[min(low + 1, len(ranked) - 1)] - ranked[low])


def test_motion_follows_from_the_windows(delivered: Delivered) -> None:
    sizes: dict[str, list[float]] = {"speed": [], "acceleration": [], "jerk": []}
    for times, values in moves(delivered):
        for name in sizes:
            times, values = derived(times, values)
            sizes[name] += [math.hypot(*value) for value in values]
    # The file rounds the window to 1e-4 px; each derivative multiplies that by the frame rate.
    for (name, values), rounding in zip(sizes.items(), (1e-5, 1e-3, 0.1), strict=True):
        assert delivered.proof[f"{name}_max"] == pytest.approx(max(values), abs=rounding)
        assert delivered.proof[f"{name}_p99"] == pytest.approx(percentile_99(values), abs=rounding)
    width = delivered.path["frame_size"][0]
    steps = [math.dist(a, b) * width for _, values in moves(delivered) for a, b in pairwise(values)]
    still = 100 * sum(step < 0.05 for step in steps) / len(steps)
    assert delivered.proof["still_frames_pct"] == pytest.approx(still, abs=0.5)

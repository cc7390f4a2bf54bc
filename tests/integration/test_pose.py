"""Pose jobs on a real dancer: landmarks, one timeline however the film is cut, report, skeleton film."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.errors import ArtifactCorrupt, NewerVersion
from backend.kinds.base import Done
from backend.kinds.tools import Tools
from backend.media.skeleton import colour_of
from backend.settings import Settings
from backend.vision.detector import Detector
from backend.vision.pose.artifacts import load_pose_artifact
from backend.vision.pose.detector import PoseDetector
from tests.conftest import shared_file
from tests.integration.conftest import read_film
from tests.integration.posing import Posed, joined, pose
from tests.integration.whole_films import ffmpeg

FPS = 5.0
QUICK: dict[str, Any] = {"sample_fps": FPS, "preset": "ultrafast", "crf": 10}


def no_detector() -> Detector:
    raise AssertionError("a pose job needs no detector of people")


@pytest.fixture(scope="module")
def tools(pose_model: Path, pose_detector: PoseDetector, tmp_path_factory: pytest.TempPathFactory) -> Tools:
    given = {"pose_model_name": str(pose_model), "data_dir": tmp_path_factory.mktemp("data")}
    return Tools(Settings.model_validate(given), no_detector, lambda _: pose_detector)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of the dancer, who moves, with sound."""
    path = tmp_path_factory.mktemp("clip") / "dance.mp4"
    source = shared_file("media", "dancer.avi")
    ffmpeg("-ss", "26", "-t", "4", "-i", source, "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", path)
    return path


@pytest.fixture(scope="module")
def whole(clip: Path, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Posed:
    """In one chunk, and with a film."""
    return pose(clip, tmp_path_factory.mktemp("whole"), tools, render=True, **QUICK)


@pytest.fixture(scope="module")
def chunked(clip: Path, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Posed:
    return pose(clip, tmp_path_factory.mktemp("chunked"), tools, chunk_seconds=2.0, **QUICK)


def landmarks_of(results: dict[str, Any]) -> dict[int, NDArray[np.float64]]:
    """Of the one person, (17, 3) by PTS."""
    return {entry["pts"]: np.array(entry["people"][0]["landmarks"]) for entry in results["timeline"] if entry["people"]}


def test_a_dancer_has_her_landmarks_within_her_box(whole: Posed) -> None:
    results = whole.results
    assert len(results["landmarks"]) == 17
    timeline = results["timeline"]
    assert [len(entry["people"]) for entry in timeline].count(1) >= 0.95 * len(timeline)
    inside = []
    for entry in timeline:
        for person in entry["people"]:
            left, top, right, bottom = person["box"]
            seen = np.array([place for place in person["landmarks"] if place[2] >= results["min_visibility"]])
            assert len(seen) >= 12
            x, y = seen[:, 0], seen[:, 1]
            inside.append(bool(((x >= left) & (x <= right) & (y >= top) & (y <= bottom)).all()))
    assert np.mean(inside) >= 0.95


def test_the_timeline_has_every_sample_once_at_its_time(whole: Posed, clip: Path) -> None:
    film = read_film(clip)
    timeline = whole.results["timeline"]
    pts = [entry["pts"] for entry in timeline]
    assert pts == sorted(set(pts)) and set(pts) <= set(film.pts)
    assert [entry["time_sec"] for entry in timeline] == pytest.approx(
        [float((when - film.pts[0]) * film.time_base) for when in pts], abs=1e-4
    )
    assert np.diff([entry["time_sec"] for entry in timeline]) == pytest.approx(1 / FPS, abs=0.041)
    assert whole.results["video"]["frames"] == len(film.pts)


def test_two_second_chunks_say_what_one_says(whole: Posed, chunked: Posed) -> None:
    assert len(chunked.artifacts) >= 2
    one, other = landmarks_of(whole.results), landmarks_of(chunked.results)
    assert list(one) == list(other)
    for pts in one:
        assert np.abs(one[pts][:, :2] - other[pts][:, :2]).max() < 1
    assert [person["id"] for person in chunked.results["people"]] == [1]
    for name in ("phases", "cadence", "symmetry", "moving_sec"):
        assert chunked.results["people"][0][name] == whole.results["people"][0][name]
    assert chunked.results["findings"] == whole.results["findings"]


def test_angles_belong_to_the_landmarks_and_gaps_are_null(whole: Posed) -> None:
    results = whole.results
    [person] = results["people"]
    places, names = landmarks_of(results), results["landmarks"]
    at = {name: names.index(f"left_{name}") for name in ("hip", "knee", "ankle")}
    for pts, degrees in zip(person["pts"], person["angles_deg"]["left_knee"], strict=True):
        hip, knee, ankle = (places[pts][at[name]] for name in ("hip", "knee", "ankle"))
        if min(hip[2], knee[2], ankle[2]) < results["min_visibility"]:
            assert degrees is None
            continue
        one, other = (hip - knee)[:2], (ankle - knee)[:2]
        expected = np.degrees(np.arccos(one @ other / np.hypot(*one) / np.hypot(*other)))
        assert degrees == pytest.approx(expected, abs=0.1)
    assert {len(series) for series in person["angular_speeds_deg_per_sec"].values()} == {len(person["pts"])}
    assert "moving" in {phase["state"] for phase in person["phases"]}


class Outside(html.parser.HTMLParser):
    """Whatever of a page is fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "iframe", "object", "embed", "form"):
            self.found.append(tag)
        for name, value in attrs:
            if name.startswith("on") or (name in ("src", "href") and not (value or "").startswith("data:image/")):
                self.found.append(f"{name}={value}")


def test_the_report_needs_nothing_else_and_shows_the_frames_that_findings_name(whole: Posed) -> None:
    page, results = whole.report, whole.results
    outside = Outside()
    outside.feed(page)
    assert outside.found == []
    assert "url(" not in page and "@import" not in page
    named = {frame["pts"] for finding in results["findings"] for frame in finding["frames"]}
    assert named
    stills = set(re.findall(r"data:image/jpeg;base64,([^\"]+)", page))
    assert len(stills) == len(named)
    for still in stills:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(still), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        blue, green, red = (picture[..., band].astype(int) for band in range(3))
        # A blue room with a dancer in black: what is green is the skeleton.
        assert ((green > blue + 60) & (green > red + 60)).sum() > 200
    [plot] = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert cv2.imdecode(np.frombuffer(base64.b64decode(plot), np.uint8), cv2.IMREAD_COLOR) is not None
    for finding in results["findings"]:
        assert finding["rule"] and finding["numbers"] and finding["frames"]


def test_a_film_shows_the_skeleton_where_the_landmarks_are_with_times_and_sound(whole: Posed, clip: Path) -> None:
    assert isinstance(whole.made, Done)
    target = whole.made.files["skeleton.mp4"]
    assert isinstance(target, Path)
    film, source = read_film(target), read_film(clip)
    assert film.seconds == pytest.approx(source.seconds, abs=1e-6)
    assert (film.size, film.audio_sec) == (source.size, pytest.approx(source.audio_sec, abs=0.03))
    places = landmarks_of(whole.results)
    wanted = np.array(colour_of(1)[::-1], np.int64)
    with av.open(str(target)) as drawn, av.open(str(clip)) as plain:
        origin = source.pts[0] - film.pts[0]
        for ours, theirs in zip(drawn.decode(video=0), plain.decode(video=0), strict=True):
            picture, before = ours.to_ndarray(format="rgb24"), theirs.to_ndarray(format="rgb24")
            # Far from anybody the picture is as it was.
            assert np.abs(picture[:40, :40].astype(int) - before[:40, :40]).mean() < 3
            if (ours.pts or 0) + origin in places:
                row = places[(ours.pts or 0) + origin]
                for x, y, visibility in row[5:]:
                    if visibility >= 0.6:
                        at = (min(round(y), picture.shape[0] - 1), min(round(x), picture.shape[1] - 1))
                        assert np.abs(picture[at].astype(int) - wanted).max() < 70


def test_a_film_in_which_nobody_is_has_an_empty_timeline(tools: Tools, tmp_path: Path) -> None:
    path = tmp_path / "nobody.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=c=gray:s=320x240:r=10:d=1", "-c:v", "libx264", "-preset", "ultrafast", path)
    posed = pose(path, tmp_path / "made", tools, render=True, **QUICK)
    results = posed.results
    assert [entry["people"] for entry in results["timeline"]] == [[]] * 5
    assert results["people"] == results["findings"] == []
    assert "Nobody was seen" in posed.report
    film = posed.made.files["skeleton.mp4"]
    assert isinstance(film, Path) and len(read_film(film).pts) == 10


def test_a_damaged_or_foreign_chunk_is_refused(chunked: Posed, clip: Path, tools: Tools, tmp_path: Path) -> None:
    first, *others = chunked.artifacts
    damaged = json.loads(first)
    del damaged["landmarks"][0]["rows"][0]
    with pytest.raises(ArtifactCorrupt, match="do not belong together"):
        joined(clip, tmp_path / "a", tools, chunked.facts, [json.dumps(damaged).encode(), *others], **QUICK)
    newer = json.dumps(json.loads(first) | {"schema": "framefleet.pose_chunk/2"}).encode()
    with pytest.raises(NewerVersion):
        load_pose_artifact(newer, expected_sha256=hashlib.sha256(newer).hexdigest())
    with pytest.raises(ArtifactCorrupt):
        joined(clip, tmp_path / "b", tools, chunked.facts, others, **QUICK)

"""A camera path leaves for editors, who read it with a library of their own, and a job is told on one page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from html.parser import HTMLParser
from typing import Any

import numpy as np
import opentimelineio as otio
import pytest

from backend.api.turns import Turns
from backend.jobs.edit_timeline import MAX_OFF_PX
from backend.jobs.layout import result_key
from backend.storage import open_store
from backend.vision.camera_path import CameraPath
from backend.vision.certificate import certificate
from backend.vision.path_file import to_json
from backend.vision.timeline import Timeline
from tests.conftest import empty_database
from tests.integration.keyed import JOBS, Api, Caller, api_on
from tests.integration.queue.helpers import sql

HOSTILE = '</h1><script>alert(1)</script>\n* FROM CLIP NAME: other\u202e "&.mp4'
SIZE, OUTPUT = (640, 360), (202, 360)
NTSC = Fraction(30_000, 1001)
TICK = Fraction(1, 30_000)
SHOTS = ((0, 40), (40, 90))
KEYFRAME = {"time_sec": 2.0, "x": 300.5, "y": 180.0}


@pytest.fixture(scope="module")
def api(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with empty_database(postgres) as url, api_on(url, tmp_path_factory.mktemp("api")) as api:
        api.app.extensions["framefleet"].planners.shutdown()
        api.app.extensions["framefleet"].plan_soon = lambda job_id: None
        yield api


@pytest.fixture(scope="module")
def caller(api: Api) -> Caller:
    return api.holder("editor")


def frame_pts(*, varying: bool) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Of a film that begins 3.2 s late; `varying`: each frame is shown for 0.5 to 1.5 times as long as at 29.97/s."""
    lengths = np.full(90, 1001, np.int64)
    if varying:
        lengths = np.random.default_rng(7).integers(500, 1502, 90)
    return np.asarray(96_000 + np.concatenate([[0], np.cumsum(lengths)[:-1]]), np.int64)


def windows(times_sec: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """x of each frame: a bend in the first shot, stillness in the second."""
    return np.where(np.arange(90) < 40, 200 + 60 * np.sin(2 * times_sec), 31.25)


def finished(api: Api, caller: Caller, *, varying: bool = False) -> str:
    """The id of a job with a camera path of two shots."""
    asked = {"input": "https://films.example/a.mp4?secret=1", "params": {"keyframes": [KEYFRAME]}}
    job_id = str(caller.ask(JOBS, "POST", json=asked).get_json()["id"])
    timeline = Timeline(frame_pts(varying=varying), TICK, SIZE)
    x, still = windows(timeline.times_sec), np.zeros(90)
    path = CameraPath(x, still, still + 202.5, still + 360, SHOTS, OUTPUT)
    boxes = np.column_stack([x + 60, still + 40, x + 140, still + 350])
    proof = {
        **certificate(path, boxes, timeline),
        "subject_track_ids": [4],
        "left_out": counted(),
        "passing": counted(),
    }
    tracks = {"time_base": [1, 30_000], "tracks": [{"id": 4, "class": "person", "pts": [96_000, 96_000 + 45_000]}]}
    store = open_store(api.app.extensions["framefleet"].settings)
    store.put(result_key(job_id, "camera_path.json"), to_json(path, proof, timeline, boxes))
    store.put(result_key(job_id, "tracks.json"), json.dumps(tracks).encode())
    sql(
        api.database,
        "UPDATE video_analysis_jobs SET status = 'done', stage = 'DONE', output_uri = 'x', input_name = :name,"
        " fps_num = 30000, fps_den = 1001, width = 640, height = 360, timings = '{\"render\": 1.25}' WHERE id = :id",
        name=HOSTILE,
        id=job_id,
    )
    return job_id


def counted() -> dict[str, float]:
    return {"frames": 0, "pct": 0.0, "seconds": 0.0}


@pytest.mark.parametrize("varying", [False, True])
def test_an_editor_s_library_reads_the_shots_and_the_windows(api: Api, caller: Caller, varying: bool) -> None:
    job_id = finished(api, caller, varying=varying)
    answer = caller.ask(caller.ask(f"{JOBS}/{job_id}").get_json()["links"]["timeline"])
    timeline = otio.adapters.read_from_string(answer.get_data(as_text=True), "otio_json")
    times_sec = Timeline(frame_pts(varying=varying), TICK, SIZE).times_sec
    first, second = timeline.find_clips()
    assert timeline.metadata["framefleet"]["rate"] == "30000/1001"
    assert timeline.metadata["framefleet"]["first_frame_pts"] == 96_000
    assert first.source_range.start_time.value == 0
    cut = first.source_range.end_time_exclusive()
    assert cut == second.source_range.start_time
    assert cut.rate == pytest.approx(float(NTSC))
    assert abs(cut.to_seconds() - times_sec[40]) <= 0.5 / float(NTSC) + 1e-9
    assert varying or cut.value == 40
    assert first.effects[0].effect_name == "crop"
    rows = np.array([list(row) for clip in (first, second) for row in clip.metadata["framefleet"]["windows"]])
    shown = np.interp(times_sec, rows[:, 0], rows[:, 1])
    assert np.abs(shown - windows(times_sec)).max() <= MAX_OFF_PX + 0.001
    assert len(second.metadata["framefleet"]["windows"]) == 2  # a window that stands still
    marker = second.markers[0]
    assert abs(marker.marked_range.start_time.to_seconds() - KEYFRAME["time_sec"]) <= 0.5 / float(NTSC)
    assert dict(marker.metadata["framefleet"])["x"] == KEYFRAME["x"]
    assert "secret" not in answer.get_data(as_text=True)


def test_a_cut_list_has_the_shots_in_timecode_and_no_line_of_a_user_s(api: Api, caller: Caller) -> None:
    answer = caller.ask(f"{JOBS}/{finished(api, caller)}/timeline?format=edl")
    text = answer.get_data(as_text=True)
    assert answer.content_type == "text/plain; charset=utf-8"
    assert not [line for line in text.splitlines() if line.startswith("* FROM CLIP NAME: other")]
    first, second = otio.adapters.read_from_string(text, "cmx_3600", rate=float(NTSC)).find_clips()
    assert (first.source_range.start_time.value, first.duration().value) == (0, 40)
    assert (second.source_range.start_time.value, second.duration().value) == (40, 50)
    # The library's own reader passes over marks in drop-frame timecode.
    assert [line for line in text.splitlines() if "LOC" in line] == ["* LOC: 00:00:02;00 GREEN   KEYFRAME 300.5, 180"]


def test_a_rate_without_a_timecode_takes_the_next_one(api: Api, caller: Caller) -> None:
    job_id = finished(api, caller)
    sql(api.database, "UPDATE video_analysis_jobs SET fps_num = 1000, fps_den = 81 WHERE id = :id", id=job_id)
    text = caller.ask(f"{JOBS}/{job_id}/timeline?format=edl").get_data(as_text=True)
    first, _ = otio.adapters.read_from_string(text, "cmx_3600", rate=24_000 / 1001).find_clips()
    assert first.duration().to_seconds() == pytest.approx(40 * 1001 / 30_000, abs=0.03)


class Parsed(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_report_tells_it_all_on_a_page_that_needs_nothing_else(api: Api, caller: Caller) -> None:
    job_id = finished(api, caller)
    answer = caller.ask(caller.ask(f"{JOBS}/{job_id}").get_json()["links"]["report"])
    page = answer.get_data(as_text=True)
    parsed = Parsed()
    parsed.feed(page)
    assert "script" not in parsed.tags
    assert "&lt;script&gt;alert(1)" in page
    assert parsed.links and all(link.startswith("data:image/png;base64,") for link in parsed.links)
    assert "script" not in answer.headers["Content-Security-Policy"]
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    for told in ("held whole 100 %", "person 4, followed", "1.5 s", "640 by 360", "30000/1001", "1.25", "keyframes"):
        assert told in page, told
    assert "secret" not in page


def test_there_is_nothing_to_export_before_the_job_is_done(api: Api, caller: Caller) -> None:
    job = caller.ask(JOBS, "POST", json={"input": "https://films.example/b.mp4"}).get_json()
    assert "report" not in job["links"]
    for view in ("timeline", "report"):
        assert caller.code(f"{JOBS}/{job['id']}/{view}") == (409, "invalid_state")
    other = caller.ask(JOBS, "POST", json={"input": "https://films.example/b.mp4", "kind": "annotate"}).get_json()
    assert caller.code(f"{JOBS}/{other['id']}/timeline") == (404, "object_not_found")


@pytest.mark.parametrize("what", ["plot", "report", "timeline"])
def test_what_is_made_of_a_whole_path_is_made_a_few_at_a_time(api: Api, caller: Caller, what: str) -> None:
    job_id = finished(api, caller)
    context = api.app.extensions["framefleet"]
    usual, context.drawing = context.drawing, Turns("Others draw.", at_once=1)
    try:
        with context.drawing.one():
            answer = caller.ask(f"{JOBS}/{job_id}/{what}")
            assert (answer.status_code, answer.get_json()["code"]) == (429, "busy")
            assert answer.headers["Retry-After"] == "1"
        assert caller.ask(f"{JOBS}/{job_id}/{what}").status_code == 200
    finally:
        context.drawing = usual

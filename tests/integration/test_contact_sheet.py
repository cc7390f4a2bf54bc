"""The sheet's frames are those of the film, to the frame, and the API hands the sheet out when the job is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.db.engine import Database
from backend.jobs.service import JobService, NewJob
from backend.kinds.framing import Framing
from backend.kinds.sheet import Sheet, plan_sheet
from backend.media.facts import analysis_size
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from backend.vision.camera_path import CameraPath
from backend.vision.contact_sheet import contact_sheet, frames_to_show
from backend.vision.stitch import Track
from backend.vision.subject import Subject
from backend.vision.timeline import Timeline
from tests.integration import films
from tests.integration.films import Shape
from tests.integration.rendering import decoded_pts, probe, render

FRAMES = 45
SHOTS = ((0, 13), (13, 45))
SIZE = (320, 180)


def numbered_film(path: Path) -> Path:
    """Every frame has its own grey, uneven gaps in time, and one keyframe at the start."""
    times = np.cumsum(np.random.default_rng(5).integers(20, 90, FRAMES))
    pictures = (films.grey(np.full(SIZE[::-1], grey_of(number), np.uint8)) for number in range(FRAMES))
    shape = Shape(time_base=Fraction(1, 1000), gop=1000)
    return films.write_film(path, pictures, [Fraction(int(ms), 1000) for ms in times], shape)


def grey_of(number: int) -> int:
    return 30 + 4 * number


def framing_of(source: Path) -> Framing:
    pts = np.array(decoded_pts(source), np.int64)
    whole = np.full(len(pts), 0.0)
    path = CameraPath(whole + 100, whole, whole + 100, whole + 180, SHOTS, (100, 180))
    boxes = np.tile([120.0, 40.0, 180.0, 170.0], (len(pts), 1))
    track = Track(1, pts[[0, -1]], boxes[[0, -1]], np.array([0.9, 0.9]))
    subject = replace(Subject.nobody(len(pts)), boxes=boxes, track_ids=[1])
    return Framing(Timeline(pts, probe(source).time_base_fraction, SIZE), [track], subject, path)


def test_the_sheet_shows_the_very_frames_that_were_asked_for(tmp_path: Path) -> None:
    source = numbered_film(tmp_path / "numbered.mkv")
    framing = framing_of(source)
    plan = plan_sheet(framing)
    with Sheet(plan) as sheet:
        done = render(source, tmp_path / "out.mp4", ring=sheet.ring, stills=plan.order(), preset="ultrafast")
        picture = cv2.imdecode(np.frombuffer(sheet.png(done.counts["stills"]), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    frames = frames_to_show(SHOTS)
    assert len(frames) == 12 and 13 in frames
    for place, number in enumerate(frames):
        x, y = 12 + place % 3 * 492, 38 + place // 3 * (270 + 38)
        shown = float(picture[y + 120 : y + 180, x + 210 : x + 240].mean())  # within window and subject, on no line
        assert shown == pytest.approx((grey_of(number) - 16) * 255 / 219, abs=2)


@pytest.mark.parametrize("rotation", [90, -90])
def test_stills_are_upright(tmp_path: Path, rotation: int) -> None:
    upright = np.full((180, 320), 60, np.uint8)
    upright[:90, :160] = 200  # the left upper quarter
    coded = np.rot90(upright, -rotation // 90)
    source = films.write_film(tmp_path / "film.mkv", [films.grey(coded)] * 3, [Fraction(n, 25) for n in range(3)])
    whole = framing_of(source)
    framing = replace(whole, path=replace(whole.path, shots=((0, 3),)))
    shape = {"upright_width": SIZE[0], "upright_height": SIZE[1], "rotation": rotation}
    plan = plan_sheet(framing)
    with Sheet(plan) as sheet:
        done = render(
            source, tmp_path / "out.mp4", lambda _: (0, 0, 90, 90), ring=sheet.ring, stills=plan.order(), **shape
        )
        assert done.counts["stills"] == 3
        width, height = analysis_size(*SIZE, 480)
        for number in range(3):
            still = np.frombuffer(sheet.ring.slot(number), np.uint8).reshape(height, width, 3).astype(int)
            assert still[20:70, 20:140].mean() > 200 and still[110:, :].mean() < 70 and still[:, 180:].mean() < 70


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


@pytest.mark.parametrize("name", ["contact-sheet", "plot"])
def test_a_picture_of_a_job_is_there_when_the_job_is_done_and_not_before(
    client: FlaskClient, database: Database, settings: Settings, name: str
) -> None:
    job = JobService(database).create(NewJob("crop", "https://example.org/a.mp4", "<b>a</b>.mp4", {}))
    address = f"/api/v1/jobs/{job.id}/{name}"
    store = open_store(settings)
    store.put(f"jobs/{job.id}/contact_sheet.png", contact_sheet([], SIZE))
    for status in (JobStatus.QUEUED, JobStatus.AGGREGATING, JobStatus.FAILED, JobStatus.CANCELLED):
        set_status(database, status)
        answer = client.get(address)
        assert (answer.status_code, answer.mimetype) == (409, "application/problem+json")
        assert answer.get_json()["code"] == "invalid_state"
    set_status(database, JobStatus.DONE)
    if name == "contact-sheet":
        answer = client.get(address)
        assert (answer.status_code, answer.mimetype) == (200, "image/png")
        assert answer.data.startswith(b"\x89PNG")
        store.delete(f"jobs/{job.id}/contact_sheet.png")
    missing = client.get(address)
    assert (missing.status_code, missing.mimetype) == (404, "application/problem+json")
    assert client.get(f"/api/v1/jobs/{uuid4()}/{name}").status_code == 404


def set_status(database: Database, status: JobStatus) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE video_analysis_jobs SET status = %(status)s, output_uri = 'x'", {"status": status}
        )

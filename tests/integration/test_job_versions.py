"""A version goes on from another job's chunks: nothing is detected again, and what both need stays for both of them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray

from backend.api.app import create_app
from backend.db.engine import Database
from backend.db.sql import statement
from backend.jobs.retention import Retention
from backend.jobs.service import JobService, NewJob
from backend.kinds import KINDS, kind_named
from backend.queue.figures import read_figures
from backend.settings import Settings
from backend.states import JobStatus
from backend.vision.detector import Detections
from tests.conftest import Said
from tests.integration import films
from tests.integration.conftest import read_film, wait_until
from tests.integration.rows import sql
from tests.integration.studio import Studio

JOBS = "/api/v1/jobs"
SIZE, SECONDS, RATE = (320, 180), 4, 10
REGIONS = [{"track_id": 1}]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody bright walks to the right."""
    times = [Fraction(number, RATE) for number in range(SECONDS * RATE)]
    return films.write_film(
        tmp_path_factory.mktemp("film") / "walk.mp4", (_picture(float(t)) for t in times), times, films.Shape(gop=RATE)
    )


def _picture(sec: float) -> Any:
    luma = np.full((SIZE[1], SIZE[0]), 60, np.uint8)
    left = round(20 + 60 * sec)
    luma[40:120, left : left + 30] = 235
    return films.grey(luma)


class Bright:
    batch_size = 4

    def describe(self) -> dict[str, Any]:
        return {"model": "bright", "device": "cpu"}

    def detect(self, pictures: Sequence[NDArray[np.uint8]], *, conf: float, iou: float) -> list[Detections]:
        return [self._found(picture) for picture in pictures]

    def _found(self, picture: NDArray[np.uint8]) -> Detections:
        rows, columns = np.nonzero(picture[:, :, 1] > 180)
        if not len(rows):
            return Detections(np.zeros((0, 4)), np.zeros(0))
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return Detections(np.array([box], np.float64), np.array([0.9]))


class House:
    """Planner and workers in this process, and the API over the same database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database, self.settings = database, settings
        self.studio = Studio(database, settings, None, people=Bright)  # type: ignore[arg-type]  # nobody poses
        self.app = create_app(settings)
        self.http: FlaskClient = self.app.test_client()

    def close(self) -> None:
        self.app.extensions["framefleet"].planners.shutdown()
        self.app.extensions["framefleet"].database.close()

    def uploaded(self, film: Path, **params: Any) -> str:
        """A job on an upload, planned."""
        fields = {"file": (io.BytesIO(film.read_bytes()), "walk.mp4"), "kind": "crop", "params": json.dumps(params)}
        job = self.http.post(JOBS, data=fields).get_json()
        self.wait()
        return str(job["id"])

    def done(self, film: Path, **params: Any) -> str:
        job_id = self.uploaded(film, **params)
        self.studio.run()
        self.studio.done(UUID(job_id))
        return job_id

    def wait(self) -> None:
        """Until planning behind requests is over."""
        unplanned = "SELECT 1 AS it FROM video_analysis_jobs WHERE status = 'queued' AND total_chunks IS NULL"
        wait_until(lambda: not sql(self.database, unplanned), 60, "the plans")

    def post(self, job_id: str, verb: str, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
        answer = self.http.post(f"{JOBS}/{job_id}/{verb}", json=body, headers=headers)
        return answer.status_code, answer.get_json()

    def version(self, job_id: str, **params: Any) -> str:
        status, job = self.post(job_id, "versions", {"params": params})
        assert status == 202, job
        return str(job["id"])

    def camera_path(self, job_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"{JOBS}/{job_id}/camera-path").get_json())

    def retention(self) -> Retention:
        return Retention(self.database, self.studio.store, self.settings)

    def age(self, *job_ids: str) -> None:
        old = "UPDATE video_analysis_jobs SET completed_at = now() - interval '99 days' WHERE id = :id"
        for job_id in job_ids:
            sql(self.database, old, id=UUID(job_id))

    def objects(self, job_id: str) -> list[str]:
        return list(self.studio.store.list(f"jobs/{job_id}/"))


@pytest.fixture
def house(database: Database, settings: Settings) -> Iterator[House]:
    house = House(database, settings.model_copy(update={"chunk_seconds": 2.0, "overlap_samples": 2}))
    yield house
    house.close()


def test_a_version_shows_what_was_solved_for_it_and_detects_nothing(
    house: House, film: Path, tmp_path: Path, said: list[Said]
) -> None:
    first = house.done(film, aspect="9:16", preset="ultrafast")
    links = house.http.get(f"{JOBS}/{first}").get_json()["links"]
    assert {"versions", "again", "solve"} <= set(links)
    changed = {"aspect": "1:1", "keyframes": [{"time_sec": 2.0, "x": 200, "y": 90}], "max_upscale": None}
    status, solved = house.post(first, "solve", {"params": changed, "around_sec": None})
    assert (status, solved["whole"], solved["frames"]) == (200, True, SECONDS * RATE)
    said.clear()
    status, made = house.post(first, "versions", {"params": changed})
    assert (status, made["status"], made["stage"]) == (202, "aggregating", "AGGREGATING")
    assert (made["version_of"], made["version"], made["params"]["aspect"]) == (first, 2, "1:1")
    assert (made["total_chunks"], made["completed_chunks"]) == (2, 2)
    assert 60 <= made["progress_pct"] < 100
    house.studio.run()
    assert not [each.event for each in said if each.event in ("chunk_claimed", "processed_frames")]
    path = house.camera_path(made["id"])
    for name, column in (("x", 1), ("y", 2), ("width", 3), ("height", 4)):
        assert solved[name] == [round(row[column], 1) for row in path["frames"]], name
    assert (solved["certificate"], solved["shots"]) == (path["certificate"], path["shots"])
    assert solved["output_size"] == path["output_size"] == [180, 180]
    pinned = path["frames"][2 * RATE]
    assert pinned[1] + pinned[3] / 2 == pytest.approx(200, abs=1)
    film_made = read_film(house.studio.output(UUID(made["id"]), tmp_path))
    assert (film_made.size, len(film_made.pts)) == ((180, 180), SECONDS * RATE)
    assert house.studio.done(UUID(made["id"])).output_key == f"jobs/{made['id']}/output/walk_cropped.mp4"
    assert house.http.get(f"{JOBS}/{made['id']}/manifest").get_json()["job_id"] == made["id"]
    # The same as a job from the start with these parameters.
    status, again = house.post(first, "again", {"params": changed})
    assert (status, again["version_of"], again["version"]) == (202, None, 1)
    house.wait()
    house.studio.run()
    assert house.camera_path(again["id"])["frames"] == path["frames"]


def test_a_version_of_a_version_is_of_the_same_family(house: House, film: Path) -> None:
    first = house.done(film, aspect="9:16")
    second = house.version(first, aspect="1:1")
    third = house.version(second, fill="pad")
    family = house.http.get(f"{JOBS}/{third}/versions").get_json()["jobs"]
    assert [(job["id"], job["version"], job["version_of"]) for job in family] == [
        (first, 1, None),
        (second, 2, first),
        (third, 3, first),
    ]
    assert [(job["params"]["aspect"], job["params"]["fill"]) for job in family[1:]] == [("1:1", "crop"), ("1:1", "pad")]


def test_versions_that_are_made_at_once_are_numbered_without_gaps(house: House, film: Path) -> None:
    first = house.done(film)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda crf: house.version(first, crf=crf), range(20, 26)))
    family = house.http.get(f"{JOBS}/{first}/versions").get_json()["jobs"]
    assert [job["version"] for job in family] == list(range(1, 8))


def test_one_key_makes_one_version(house: House, film: Path) -> None:
    first = house.done(film)
    key = {"Idempotency-Key": "edit-7"}
    made = [house.post(first, "versions", {"params": {"aspect": "1:1"}}, **key) for _ in range(2)]
    assert made[0][1]["id"] == made[1][1]["id"]
    status, problem = house.post(first, "versions", {"params": {"aspect": "4:5"}}, **key)
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    assert len(house.http.get(f"{JOBS}/{first}/versions").get_json()["jobs"]) == 2


@pytest.mark.parametrize("verb", ["versions", "solve"])
def test_what_needs_new_chunks_is_refused_by_name(house: House, film: Path, verb: str) -> None:
    first = house.done(film)
    status, problem = house.post(first, verb, {"params": {"sample_fps": 5, "pose": True, "aspect": "1:1"}})
    assert (status, problem["code"]) == (422, "invalid_params")
    assert {each["field"] for each in problem["errors"]} == {"params.sample_fps", "params.pose"}
    assert "new analysis" in problem["detail"]
    for params in ({"aspect": 9}, {"nonsense": 1}, {"keyframes": [{"time_sec": True, "x": 1, "y": 1}]}):
        assert house.post(first, verb, {"params": params})[0] == 422
    if verb == "solve":
        status, problem = house.post(first, verb, {"params": {"subject": "track:77"}})
        assert (status, problem["code"]) == (422, "invalid_params")


@pytest.mark.parametrize("verb", ["versions", "solve"])
def test_before_the_chunks_are_complete_there_is_nothing_to_go_on_from(house: House, film: Path, verb: str) -> None:
    job_id = house.uploaded(film)
    for expected in ("0 of 2", "1 of 2"):
        status, problem = house.post(job_id, verb, {"params": {"aspect": "1:1"}})
        assert (status, problem["code"]) == (409, "invalid_state")
        assert problem["detail"].startswith(expected)
        assert verb not in house.http.get(f"{JOBS}/{job_id}").get_json()["links"]
        house.studio.worker.work_once(house.studio.loop)
    # All are, and it waits for its film.
    assert house.post(job_id, verb, {"params": {"aspect": "1:1"}})[0] in (200, 202)


@pytest.mark.parametrize("verb", ["versions", "solve"])
def test_before_the_plan_is_made_there_is_nothing_to_go_on_from(house: House, film: Path, verb: str) -> None:
    job_id = str(JobService(house.database).create(NewJob("crop", film.as_uri(), film.name)).id)
    status, problem = house.post(job_id, verb, {"params": {"aspect": "1:1"}})
    assert (status, problem["code"]) == (409, "invalid_state")
    assert problem["detail"].startswith("The job is not planned yet")


def test_copied_chunks_count_as_no_work(house: House, film: Path) -> None:
    first = house.done(film)
    sql(house.database, "UPDATE video_analysis_chunks SET runtime_ms = 1000")
    before = read_figures(house.database)
    version = house.version(first, aspect="1:1")
    house.studio.run()
    house.studio.done(UUID(version))
    cancelled = house.version(first, aspect="4:5")
    assert house.http.post(f"{JOBS}/{cancelled}/cancel").status_code == 200
    after = read_figures(house.database)
    assert after.completed_chunks == before.completed_chunks == 2
    rows = sql(house.database, "SELECT attempts, runtime_ms FROM video_analysis_chunks WHERE job_id = :id", id=version)
    assert rows == [{"attempts": 0, "runtime_ms": None}] * 2


def test_a_family_is_deleted_with_its_last_job_and_not_before(house: House, film: Path) -> None:
    first = house.done(film)
    second, third = house.version(first, aspect="1:1"), house.version(first, aspect="4:5")
    house.studio.run()
    status, again = house.post(first, "again", {})
    assert status == 202
    house.wait()
    house.studio.run()
    house.age(first, second)
    assert house.retention().delete_expired() == [UUID(second)]
    assert house.objects(second) == []
    assert len(house.objects(first)) > 5
    assert house.retention().delete_orphans(even_many=True) == []
    # What is left of the family can still be changed, and so can what stands on the upload alone.
    fourth = house.version(third, aspect="16:9")
    house.studio.run()
    house.studio.done(UUID(fourth))
    house.age(third, fourth)
    assert set(house.retention().delete_expired()) == {UUID(third), UUID(fourth)}
    house.age(again["id"])
    assert set(house.retention().delete_expired()) == {UUID(again["id"]), UUID(first)}
    assert list(house.studio.store.list("jobs/")) == []


def test_of_a_job_that_is_being_deleted_nothing_more_is_made(house: House, film: Path) -> None:
    first = house.done(film)
    sql(house.database, "UPDATE video_analysis_jobs SET expires_at = now()")
    for verb in ("versions", "again"):
        status, problem = house.post(first, verb, {})
        assert (status, problem["code"]) == (409, "invalid_state")
    assert sql(house.database, "SELECT count(*) AS n FROM video_analysis_jobs") == [{"n": 1}]
    assert {name.split("/")[1] for name in house.studio.store.list("jobs/")} == {first}


def test_the_first_job_is_not_marked_while_a_version_of_it_is_being_made(house: House, film: Path) -> None:
    first = house.done(film)
    house.age(first)
    with house.database.transaction() as connection:
        connection.execute(statement("lock_source"), {"job_id": UUID(first)})
        assert house.retention().delete_expired() == []
    # A mark that was set although one had just come keeps its objects.
    version = house.version(first, aspect="1:1")
    sql(house.database, "UPDATE video_analysis_jobs SET expires_at = now() WHERE id = :id", id=UUID(first))
    assert house.retention().delete_expired() == []
    house.studio.run()
    house.studio.done(UUID(version))


def test_a_cancelled_and_a_failed_version_are_as_any_other_job(house: House, film: Path) -> None:
    first = house.done(film)
    version = house.version(first, keyframes=[{"time_sec": 3600, "x": 100, "y": 90}])
    house.studio.run()
    job = house.studio.service.get(UUID(version))
    assert (job.status, job.error_code) == ("failed", "invalid_params")
    assert house.post(version, "retry", {})[0] == 202
    assert house.studio.service.get(UUID(version)).status == JobStatus.AGGREGATING
    assert house.post(version, "pause", {})[0] == 200
    assert not house.studio.step()
    assert house.post(version, "resume", {})[0] == 200
    assert house.studio.step()
    better = house.version(version, keyframes=None)
    assert house.post(better, "cancel", {})[1]["status"] == "cancelled"


def test_a_forgotten_link_is_said_and_another_one_takes_its_place(house: House, film: Path) -> None:
    first = house.done(film)
    scrubbed = "UPDATE video_analysis_jobs SET input_uri = 'https://h.example/walk.mp4'"
    sql(house.database, scrubbed)
    for verb in ("versions", "again"):
        status, problem = house.post(first, verb, {})
        assert (status, problem["code"]) == (403, "source_expired")
        assert "fresh link" in problem["detail"]
    status, job = house.post(first, "again", {"input": "http://127.0.0.1:9/walk.mp4?sig=2", "params": {"fill": "pad"}})
    assert (status, job["input"]["uri"]) == (202, "http://127.0.0.1:9/walk.mp4")
    assert job["params"] == house.http.get(f"{JOBS}/{first}").get_json()["params"] | {"fill": "pad"}


def test_a_failed_job_is_run_again_on_another_input(house: House, film: Path) -> None:
    broken = house.http.post(JOBS, data={"file": (io.BytesIO(b"no film"), "walk.mp4")}).get_json()["id"]
    house.wait()
    assert house.studio.service.get(UUID(broken)).status == "failed"
    status, job = house.post(broken, "again", {"params": {"aspect": "1:1"}})
    assert (status, job["input"]["name"]) == (202, "walk.mp4")
    refused = [{"input": "file:///etc/passwd"}, {"input": "x"}, {"params": {"aspect": 3}}, {"params": {}, "other": 1}]
    assert [house.post(broken, "again", body)[0] for body in refused] == [422] * 4


def test_a_solve_stops_at_a_bound(house: House, film: Path) -> None:
    first = house.done(film)
    editing = house.app.extensions["framefleet"].editing
    with editing.turns.one(), editing.turns.one():
        answer = house.http.post(f"{JOBS}/{first}/solve", json={"params": {}})
        assert (answer.status_code, answer.get_json()["code"]) == (429, "busy")
        assert answer.headers["Retry-After"] == "1"
    assert house.post(first, "solve", {"params": {}, "around_sec": 1.0})[0] == 200


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_parameter_is_either_free_or_makes_the_chunks_anew(kind: Any) -> None:
    """Of kinds with shared chunks: a parameter that enters the chunk's identity cannot change, all others can."""
    first = kind.phases[0].chunks
    if first is None or not first.is_shared:
        return
    anew = {"sample_fps": 5.0, "conf": 0.4, "iou": 0.6, "classes": ["car"], "pose": True}
    free = {"crf": 30.0, "preset": "fast", "subject": "all", "aspect": "1:1", "draw": ["boxes"]}
    needed = {"highlight_regions": REGIONS} if "highlight_regions" in kind.params.model_fields else {}
    own = kind.parse_params(needed).model_dump(mode="json")
    for name, value in (anew | free).items():
        if name in kind.params.model_fields:
            assert kind.made_anew(own, own | {name: value}) == ([name] if name in anew else []), name


def test_chunks_that_tell_of_speech_serve_every_subject_and_not_the_other_way_round() -> None:
    crop = kind_named("crop")
    speaker, pose = {"subject": "speaker"}, {"pose": True}
    for other in ({"subject": "main"}, {"subject": "all"}, {"subject": "track:1", "aspect": "1:1"}):
        assert crop.made_anew(speaker, other) == []
        assert crop.made_anew(speaker | pose, other | pose) == []
        assert crop.made_anew(speaker, speaker) == []
        assert crop.made_anew(other, speaker) == ["subject"]
        assert crop.made_anew(speaker, other | {"conf": 0.4}) == ["conf"]
        assert crop.made_anew(speaker, other | {"sample_fps": 5}) == ["sample_fps", "subject"]  # but for either of them
        assert crop.made_anew(speaker, other | pose) == ["pose"]


def test_a_version_of_the_speakers_film_follows_the_main_person(house: House, film: Path, said: list[Said]) -> None:
    first = house.done(film, subject="speaker", aspect="1:1", preset="ultrafast")
    asked = {"params": {"subject": "main"}}
    status, solved = house.post(first, "solve", asked)
    assert status == 200
    said.clear()
    made = house.version(first, subject="main")
    house.studio.run()
    assert not [each.event for each in said if each.event in ("chunk_claimed", "processed_frames")]
    assert [round(row[1], 1) for row in house.camera_path(made)["frames"]] == solved["x"]
    assert "speaker" not in house.camera_path(made)["certificate"]
    assert "speaker" in house.camera_path(first)["certificate"]
    # Of the version's own parameters nobody sees that its chunks tell of speech.
    assert house.post(made, "versions", {"params": {"subject": "speaker"}})[0] == 422


def test_a_parameter_goes_by_any_of_its_names(settings: Settings) -> None:
    window = {"x": 0, "y": 0, "width": 100, "height": 100}
    framing = kind_named("framing")
    own = framing.parse_params({"keyframes": [{"frame": 0, **window}]}).model_dump(mode="json")
    laid = framing.laid_over(own, {"crop_keyframes": [{"frame": 5, **window}]}, settings)
    assert [key.frame for key in framing.parse_params(laid).keyframes] == [5]  # type: ignore[attr-defined]

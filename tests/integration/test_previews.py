"""Before the end there is something to see: the source's first frame, what each chunk's worker saw and who is in it,
and all of that as one film."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import av
import cv2
import numpy as np
import pytest
import urllib3
from flask.testing import FlaskClient
from numpy.typing import NDArray
from PIL import Image

from backend.api.app import create_app
from backend.db.engine import Database
from backend.errors import ClaimLost, FramefleetError, InvalidRequest, ServerUnavailable, StorageError
from backend.jobs.layout import poster_key, preview_key, result_key, source_key
from backend.jobs.service import JobService, NewJob
from backend.media.previews import PreviewsOrder, join_previews
from backend.queue.claims import ChunkClaim
from backend.settings import Settings
from backend.storage import open_store
from backend.storage.pace import Cutoff
from backend.storage.s3 import make_client
from backend.vision.detector import Detections
from backend.vision.pose.detector import PoseDetector
from backend.workers.chunk_files import StoredFiles
from backend.workers.chunk_previews import keep_preview
from tests.conftest import POSE_MODEL, Said, shared_file
from tests.integration.rows import sql
from tests.integration.studio import Studio

JOBS = "/api/v1/jobs"
FPS = 5.0
Picture = NDArray[np.uint8]


class Walker:
    """A detector that sees one person, who goes to the right by a hundredth of the picture a sample."""

    batch_size = 4

    def __init__(self) -> None:
        self._seen = 0

    def describe(self) -> dict[str, Any]:
        return {"model": "walker"}

    def detect(self, pictures: Any, *, conf: float, iou: float) -> list[Detections]:
        return [self._one(*picture.shape[:2]) for picture in pictures]

    def _one(self, height: int, width: int) -> Detections:
        self._seen += 1
        x = width * (0.1 + self._seen % 50 / 100)
        box = [x, 0.2 * height, x + 0.2 * width, 0.8 * height]
        return Detections(np.array([box]), np.array([0.9]))


@dataclass
class Shown:
    """A film's pictures as a player has them."""

    secs: list[float]
    pictures: list[Picture]
    keyframe_secs: list[float]
    size: tuple[int, int]
    pix_fmt: str | None
    length_sec: float


def decoded(data: bytes) -> Shown:
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.time_base is not None
        assert stream.duration is not None
        frames = list(container.decode(stream))
        return Shown(
            [float(frame.time) for frame in frames],
            [frame.to_ndarray(format="bgr24") for frame in frames],
            [float(frame.time) for frame in frames if frame.key_frame],
            (stream.width, stream.height),
            stream.codec_context.pix_fmt,
            float(stream.duration * stream.time_base),
        )


def psnr(one: Picture, other: Picture) -> float:
    error = np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def source_frames(path: Path, turns: int = 0) -> list[tuple[float, Picture]]:
    """(seconds from the first frame, upright BGR) of every frame; `turns`: quarters, counter-clockwise."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame for frame in container.decode(stream) if frame.time is not None]
    start_sec = float(frames[0].time or 0)
    upright = [np.ascontiguousarray(np.rot90(frame.to_ndarray(format="bgr24"), turns)) for frame in frames]
    return [(float(frame.time or 0) - start_sec, picture) for frame, picture in zip(frames, upright, strict=True)]


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()


@pytest.fixture
def studio(database: Database, settings: Settings, pose_detector: PoseDetector) -> Studio:
    return Studio(
        database,
        settings.model_copy(update={"chunk_seconds": 4.0, "overlap_samples": 3}),
        pose_detector,
        people=Walker,
    )


def with_settings(studio: Studio, **update: Any) -> Studio:
    changed = studio.settings.model_copy(update=update)
    return Studio(studio.database, changed, studio.tools.pose_detector, people=Walker)


def looked_at(studio: Studio, path: Path, kind: str = "crop", **params: Any) -> UUID:
    """A job whose chunks are done."""
    job_id = studio.plan(path.as_uri(), kind, sample_fps=FPS, **params)
    while studio.worker.work_once(studio.loop):
        continue
    return job_id


LEAST_DB = 25.0
CLIPS = [
    pytest.param("facerec_short_hamilton_clip.mp4", 0, id="begins after its sound"),
    pytest.param("streamio_sideways.mov", 3, id="sideways"),
    pytest.param("moviepy_fire2.mp4", 2, id="upside down, at a varying rate", marks=pytest.mark.slow),
    pytest.param("mediabunny_cursed-vfr.mp4", 0, id="with gaps, its last chunk without frames", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "turns"), CLIPS)
def test_previews_show_the_source_at_the_times_of_its_samples(
    studio: Studio, client: FlaskClient, name: str, turns: int
) -> None:
    path = shared_file("media", name)
    job_id = looked_at(studio, path)
    frames = source_frames(path, turns)
    shown_chunks = 0
    for chunk in client.get(f"{JOBS}/{job_id}/chunks").get_json()["chunks"]:
        people, answer = client.get(chunk["links"]["people"]), client.get(chunk["links"]["preview"])
        artifact = json.loads(studio.store.get(chunk["artifact_s3_key"]))
        inside = [pts for pts in artifact["sampled_pts"] if pts < artifact["end_pts"]]
        if not inside:
            assert (people.status_code, answer.status_code) == (404, 404)
            continue
        shown_chunks += 1
        shown, start_sec = decoded(answer.data), people.get_json()["start_sec"]
        tick_sec = Fraction(*artifact["time_base"])
        assert shown.secs == pytest.approx([float((pts - inside[0]) * tick_sec) for pts in inside], abs=2e-5)
        assert max(shown.size) <= 480 and shown.pix_fmt == "yuv420p"
        assert max(np.diff([*shown.keyframe_secs, shown.secs[-1]])) <= 1.0 + max(np.diff(shown.secs))
        for sec, picture in zip(shown.secs, shown.pictures, strict=True):
            at_sec, original = min(frames, key=lambda frame: abs(frame[0] - start_sec - sec))
            assert abs(at_sec - start_sec - sec) < 1e-4
            small = cv2.resize(original, shown.size, interpolation=cv2.INTER_AREA)
            assert psnr(small, picture) > LEAST_DB
    assert shown_chunks


def test_a_planned_video_has_a_poster(studio: Studio, client: FlaskClient) -> None:
    path = shared_file("media", "streamio_sideways.mov")
    job_id = studio.plan(path.as_uri(), "crop")
    answer = client.get(client.get(f"{JOBS}/{job_id}").get_json()["links"]["poster"])
    assert answer.content_type == "image/jpeg"
    picture = np.asarray(Image.open(io.BytesIO(answer.data)))[..., ::-1]
    _, first = source_frames(path, 3)[0]
    assert picture.shape == (480, 360, 3)
    assert psnr(cv2.resize(first, (360, 480), interpolation=cv2.INTER_AREA), picture) > LEAST_DB


def test_a_chunk_tells_who_is_in_it(studio: Studio, client: FlaskClient) -> None:
    path = shared_file("media", "facerec_short_hamilton_clip.mp4")
    job_id = looked_at(studio, path)
    answer = client.get(f"{JOBS}/{job_id}/chunks/detect/1/people")
    found, frames = answer.get_json(), source_frames(path)
    assert found["frame_size"] == [640, 360]
    first = found["people"][0]
    assert found["start_sec"] == pytest.approx(first["times_sec"][0])
    assert min(abs(found["start_sec"] - sec) for sec, _ in frames) < 1e-5
    assert all(found["start_sec"] <= sec <= frames[-1][0] for person in found["people"] for sec in person["times_sec"])
    assert all(len(person["boxes"]) == len(person["times_sec"]) for person in found["people"])
    again = client.get(f"{JOBS}/{job_id}/chunks/detect/1/people", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_what_is_not_there_to_be_seen_is_said(studio: Studio, client: FlaskClient) -> None:
    job_id = studio.plan(shared_file("media", "streamio_sideways.mov").as_uri(), "crop")
    asked = [
        f"chunks/{chunk}/{what}" for chunk in ("detect/7", "render/0", "detect/0") for what in ("preview", "people")
    ]
    for what in (*asked, "preview", "source"):
        answer = client.get(f"{JOBS}/{job_id}/{what}")
        assert (answer.status_code, answer.get_json()["code"]) == (404, "object_not_found"), what


def test_the_previews_of_all_chunks_are_one_film_on_the_film_s_clock(studio: Studio, client: FlaskClient) -> None:
    path = shared_file("media", "streamio_sideways.mov")
    studio = with_settings(studio, chunk_seconds=0.4)
    job_id = looked_at(studio, path)
    assert client.get(f"{JOBS}/{job_id}/preview").status_code == 404
    assert studio.joiner.work_once(studio.loop)
    links = client.get(f"{JOBS}/{job_id}").get_json()["links"]
    assert links["preview"] == f"{JOBS}/{job_id}/preview"
    shown = decoded(client.get(links["preview"]).data)
    secs: list[float] = []
    keyframes = 0
    for chunk in client.get(links["chunks"]).get_json()["chunks"]:
        if chunk["phase"] == "detect":
            part = decoded(client.get(chunk["links"]["preview"]).data)
            start_sec = client.get(chunk["links"]["people"]).get_json()["start_sec"]
            secs += [start_sec + sec for sec in part.secs]
            keyframes += len(part.keyframe_secs)
    assert len(shown.keyframe_secs) == keyframes >= 3
    assert shown.secs == pytest.approx(secs, abs=2e-5)
    frames = source_frames(path, 3)
    for sec, picture in zip(shown.secs, shown.pictures, strict=True):
        original = min(frames, key=lambda frame: abs(frame[0] - sec))[1]
        assert psnr(cv2.resize(original, shown.size, interpolation=cv2.INTER_AREA), picture) > LEAST_DB
    assert client.get(links["preview.mp4"], headers={"Range": "bytes=4-7"}).data == b"ftyp"
    assert studio.done(job_id).warnings == []


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(b"ffconcat version 1.0\nfile /etc/passwd\n", id="a list of files"),
        pytest.param(b"x" * 5000, id="no film", marks=pytest.mark.slow),
        pytest.param(b"", id="nothing", marks=pytest.mark.slow),
    ],
)
def test_a_chunk_whose_preview_is_none_of_ours_leaves_a_gap(
    studio: Studio, client: FlaskClient, hostile: bytes, said: list[Said]
) -> None:
    studio = with_settings(studio, chunk_seconds=0.4)
    job_id = looked_at(studio, shared_file("media", "streamio_sideways.mov"))
    chunks = studio.service.chunks(job_id)
    studio.store.put(preview_key(chunks[1].artifact_s3_key or ""), hostile)
    assert studio.joiner.work_once(studio.loop)
    shown = decoded(client.get(f"{JOBS}/{job_id}/preview").data)
    start_sec, end_sec = chunks[1].start_sec, chunks[1].end_sec
    assert shown.secs[0] == 0 and any(sec >= end_sec - 1e-4 for sec in shown.secs)
    assert not any(start_sec - 1e-4 <= sec < end_sec - 1e-4 for sec in shown.secs)
    assert [each.fields["chunks"] for each in said if each.event == "preview_lost"] == [[1]]
    assert studio.done(job_id).warnings == []


def test_what_is_larger_than_a_preview_is_left_out(tmp_path: Path) -> None:
    large, fine = a_film(tmp_path / "large.mp4", (1280, 720)), a_film(tmp_path / "fine.mp4", (480, 270))
    order = {
        "previews": [{"file": str(large), "start_ticks": 0}, {"file": str(fine), "start_ticks": 90_000}],
        "output_file": str(tmp_path / "joined.mp4"),
    }
    assert join_previews(PreviewsOrder.model_validate(order), lambda done: None) == {"taken": [1]}
    shown = decoded((tmp_path / "joined.mp4").read_bytes())
    assert shown.secs == pytest.approx([1.0, 1.1, 1.2]) and shown.size == (480, 270)


def a_film(path: Path, size: tuple[int, int]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(*size, "yuv420p")))
        container.mux(stream.encode(None))
    return path


def test_an_adopted_chunk_brings_its_preview(studio: Studio, client: FlaskClient, said: list[Said]) -> None:
    path = shared_file("media", "streamio_sideways.mov")
    first, second = looked_at(studio, path), looked_at(studio, path, aspect="1:1")
    assert sum(each.event == "chunk_adopted" for each in said) == 1
    films = [client.get(f"{JOBS}/{job_id}/chunks/detect/0/preview").data for job_id in (first, second)]
    assert films[0] == films[1] and films[0][4:8] == b"ftyp"


def test_a_job_is_done_without_previews(studio: Studio, client: FlaskClient, said: list[Said]) -> None:
    studio = with_settings(studio, previews=False)
    job_id = looked_at(studio, shared_file("media", "streamio_sideways.mov"))
    assert studio.joiner.work_once(studio.loop)
    assert studio.done(job_id).warnings == []
    assert client.get(f"{JOBS}/{job_id}/preview").get_json()["code"] == "object_not_found"
    assert not [each for each in said if each.event == "preview_lost"]


@pytest.mark.parametrize("failure", [StorageError("full"), InvalidRequest("no previews"), ServerUnavailable("away")])
def test_a_preview_that_is_lost_is_told_of_and_stops_nothing(
    studio: Studio, failure: FramefleetError, said: list[Said]
) -> None:
    claim = a_claim(studio)
    keep_preview(Refusing(claim, studio, failure), claim, Path("preview.mp4"))
    assert [each.fields["error_code"] for each in said if each.event == "preview_lost"] == [failure.code]
    with pytest.raises(ClaimLost):
        keep_preview(Refusing(claim, studio, ClaimLost("gone")), claim, Path("preview.mp4"))


class Refusing(StoredFiles):
    """A store, or a server, that takes no preview."""

    def __init__(self, claim: ChunkClaim, studio: Studio, failure: FramefleetError) -> None:
        super().__init__(claim, studio.queue, studio.store, studio.settings, Cutoff())
        self._failure = failure

    def put_preview(self, file: Path) -> None:
        raise self._failure


def a_claim(studio: Studio) -> ChunkClaim:
    studio.plan(shared_file("media", "streamio_sideways.mov").as_uri(), "crop")
    claim = studio.queue.claim_chunk(studio.deep_mode)
    assert claim is not None
    return claim


def test_an_upload_is_handed_out_again_and_nobody_else_s_file(
    client: FlaskClient, settings: Settings, database: Database
) -> None:
    store, service = open_store(settings), JobService(database)
    job = service.create(NewJob("crop", "https://example.com/film.mp4", "<b>film</b>.mp4", {}))
    asked = f"{JOBS}/{job.id}/source"
    places = {
        store.uri(source_key(job.id)): 206,
        store.uri(f"jobs/{job.id}/manifest.json"): 404,
        f"file:///etc/jobs/{job.id}/source": 404,
        "file:///etc/passwd": 404,
        "https://example.com/film.mp4": 404,
        "s3://films/closed.mp4": 404,
    }
    store.put(source_key(job.id), b"<script>alert(1)</script>")
    store.put(f"jobs/{job.id}/manifest.json", b"{}")
    for uri, status in places.items():
        sql(database, "UPDATE video_analysis_jobs SET input_uri = :uri", uri=uri)
        answer = client.get(asked, headers={"Range": "bytes=1-6"})
        assert answer.status_code == status, uri
        if status == 404:
            assert answer.get_json()["code"] == "object_not_found"
        else:
            assert (answer.data, answer.content_type) == (b"script", "application/octet-stream")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert client.get(f"{JOBS}/{job.id}").get_json()["links"]["source"] == asked


def test_a_version_shows_what_its_first_job_shows(client: FlaskClient, settings: Settings, database: Database) -> None:
    store, service = open_store(settings), JobService(database)
    first, version = (service.create(NewJob("crop", "https://example.com/a.mp4", "a.mp4", {})) for _ in range(2))
    rooted = "UPDATE video_analysis_jobs SET version_of = :of, version = 2 WHERE id = :id"
    sql(database, rooted, of=first.id, id=version.id)
    store.put(poster_key(first.id), b"poster")
    store.put(result_key(first.id, "preview.mp4"), b"preview")
    for what in ("poster", "preview"):
        assert client.get(f"{JOBS}/{version.id}/{what}").data == what.encode()
    store.put(result_key(version.id, "preview.mp4"), b"its own")
    assert client.get(f"{JOBS}/{version.id}/preview").data == b"its own"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "params", "phase"),
    [
        ("annotate", {}, "detect"),
        ("overlay", {"highlight_regions": [{"track_id": 1}]}, "detect"),
        ("pose", {}, "landmarks"),
        ("crop", {"pose": True}, "detect_and_pose"),
        ("annotate", {"pose": True}, "detect_and_pose"),
    ],
)
def test_every_kind_that_samples_shows_what_it_saw(
    studio: Studio, client: FlaskClient, kind: str, params: dict[str, Any], phase: str
) -> None:
    studio = with_settings(studio, chunk_seconds=0.4, pose_model_name=str(POSE_MODEL))
    job_id = looked_at(studio, shared_file("media", "streamio_sideways.mov"), kind, **params)
    assert client.get(f"{JOBS}/{job_id}/chunks/{phase}/0/people").get_json()["frame_size"] == [480, 640]
    assert decoded(client.get(f"{JOBS}/{job_id}/chunks/{phase}/0/preview").data).size == (360, 480)
    assert studio.joiner.work_once(studio.loop)
    studio.done(job_id)
    shown = decoded(client.get(client.get(f"{JOBS}/{job_id}").get_json()["links"]["preview"]).data)
    assert shown.secs[0] == 0 and shown.secs[-1] > 0.8


def test_of_a_bucket_links_are_signed_where_the_tenant_may_read(
    s3_server: str, database: Database, settings: Settings
) -> None:
    bucket = f"looked-at-{uuid4()}"
    given = {"storage_url": f"s3://{bucket}/store", "allowed_prefixes": f"s3://{bucket}/open/"}
    settings = Settings.model_validate(settings.model_dump(exclude_unset=True) | given)
    s3 = make_client(settings)
    s3.create_bucket(Bucket=bucket)
    app = create_app(settings)
    client, store = app.test_client(), open_store(settings)
    job = JobService(database).create(NewJob("crop", f"s3://{bucket}/open/a.mp4", "a.mp4", {}))
    for key in ("open/a.mp4", "closed/a.mp4"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"film")
    store.put(source_key(job.id), b"upload")
    store.put(result_key(job.id, "preview.mp4"), b"preview")
    for uri, found in (
        (f"s3://{bucket}/open/a.mp4", b"film"),
        (store.uri(source_key(job.id)), b"upload"),
        (f"s3://{bucket}/closed/a.mp4", None),
        (f"s3://{bucket}/store/jobs/{job.id}/preview.mp4", None),
    ):
        sql(database, "UPDATE video_analysis_jobs SET input_uri = :uri", uri=uri)
        answer = client.get(f"{JOBS}/{job.id}/source")
        if found is None:
            assert (answer.status_code, answer.get_json()["code"]) == (404, "object_not_found"), uri
        else:
            assert answer.status_code == 302
            assert urllib3.request("GET", answer.headers["Location"]).data == found
    preview = client.get(f"{JOBS}/{job.id}/preview")
    assert urllib3.request("GET", preview.headers["Location"]).data == b"preview"
    app.extensions["framefleet"].planners.shutdown()
    app.extensions["framefleet"].database.close()

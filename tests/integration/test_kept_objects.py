"""What a client asks for overwrites nothing but its own: neither by output_uri, nor beside an input, nor by a retry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import boto3
import pytest
from flask.testing import FlaskClient

from backend.api.app import create_app
from backend.db.engine import Database
from backend.db.models import Job
from backend.errors import OutputExists
from backend.jobs.film_place import settled
from backend.jobs.outputs import output_places
from backend.jobs.service import JobService, NewJob
from backend.kinds import kind_named
from backend.queue.queue import Queue
from backend.queue.surroundings import Surroundings
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_destination, open_store
from backend.storage.http_put import PutUrl
from backend.storage.presign import presign
from backend.storage.s3 import PART_BYTES
from backend.workers.one_job import OneJob
from backend.workers.runpod_input import new_job
from tests.integration.keyed import api_on
from tests.integration.rows import sql

JOBS = "/api/v1/jobs"
BYTES = b"what the client had there"


@pytest.fixture
def s3(s3_server: str) -> Any:
    return boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"kept-{uuid4()}"  # servers of one process share their buckets
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def opened(settings: Settings, bucket: str) -> Settings:
    """As the server of the test is known by now: its address came into the environment."""
    given = {"allowed_prefixes": f"s3://{bucket}/open/, gs://{bucket}/open/", "storage_url": f"s3://{bucket}/store"}
    return Settings.model_validate(settings.model_dump(exclude_unset=True) | given)


@pytest.fixture
def client(opened: Settings) -> Iterator[FlaskClient]:
    app = create_app(opened)
    app.extensions["framefleet"].plan_soon = lambda job_id: None  # the test's worker does
    yield app.test_client()
    app.extensions["framefleet"].database.close()


def body_of(s3: Any, bucket: str, key: str) -> bytes:
    return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def worked(database: Database, settings: Settings, job_id: Any) -> Job:
    store = open_store(settings)
    return OneJob(job_id, database, store, settings, Surroundings(store)).run(listens=False)


def asked(client: FlaskClient, **body: Any) -> Any:
    return client.post(JOBS, json={"kind": "stage", **body})


def test_a_place_that_is_taken_is_refused_when_the_job_is_made(client: FlaskClient, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="open/a.bin", Body=BYTES)
    for scheme in ("s3", "gs"):
        place = f"{scheme}://{bucket}/open/a.bin"
        answer = asked(client, input="https://example.com/b.bin", output_uri=place)
        assert (answer.status_code, answer.get_json()["code"]) == (409, "output_exists")
    assert client.get(JOBS).get_json()["jobs"] == []


def test_a_place_that_was_taken_meanwhile_fails_the_job_and_keeps_the_object(
    client: FlaskClient, s3: Any, bucket: str, database: Database, opened: Settings
) -> None:
    s3.put_object(Bucket=bucket, Key="open/in.bin", Body=b"the input")
    body = {"input": f"s3://{bucket}/open/in.bin", "output_uri": f"s3://{bucket}/open/out.bin"}
    job_id = asked(client, **body).get_json()["id"]
    s3.put_object(Bucket=bucket, Key="open/out.bin", Body=BYTES)
    job = worked(database, opened, job_id)
    assert (job.status, job.error_code, job.error_retryable) == ("failed", "output_exists", False)
    assert body_of(s3, bucket, "open/out.bin") == BYTES


def test_films_of_one_name_beside_one_input_never_overwrite_one_another(
    client: FlaskClient, s3: Any, bucket: str, database: Database, opened: Settings
) -> None:
    """Two tenants' jobs, and a stranger's object that has the first name already."""
    s3.put_object(Bucket=bucket, Key="open/in.bin", Body=b"the input")
    s3.put_object(Bucket=bucket, Key="open/in_copy.bin", Body=BYTES)
    jobs = [asked(client, input=f"s3://{bucket}/open/in.bin").get_json()["id"] for _ in range(2)]
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE video_analysis_jobs SET tenant = 'other' WHERE id = %s", (jobs[1],))
    made = [worked(database, opened, job_id) for job_id in jobs]
    assert [job.status for job in made] == ["done", "done"], [job.error_message for job in made]
    assert len({f"s3://{bucket}/open/in_copy.bin", *(job.output_uri for job in made)}) == 3
    assert body_of(s3, bucket, "open/in_copy.bin") == BYTES
    for job in made:
        assert body_of(s3, bucket, str(job.output_uri).removeprefix(f"s3://{bucket}/")) == b"the input"


def test_two_jobs_that_end_at_once_have_names_of_their_own_before_either_writes(
    client: FlaskClient, s3: Any, bucket: str, database: Database, opened: Settings
) -> None:
    s3.put_object(Bucket=bucket, Key="open/in.bin", Body=b"the input")
    queue, own, kind = Queue(database, opened), open_store(opened), kind_named("stage")
    places = []
    for _ in range(2):
        job_id = asked(client, input=f"s3://{bucket}/open/in.bin").get_json()["id"]
        sql(database, "UPDATE video_analysis_jobs SET status = 'aggregating' WHERE id = :id", id=job_id)
        claim = queue.claim_job(JobStatus.AGGREGATING, UUID(job_id))
        assert claim is not None and claim.keeps_existing
        places.append(settled(database, claim, output_places(claim, kind.output, own, opened)).uri)
    assert len(set(places)) == 2


@pytest.mark.parametrize("size_bytes", [11, PART_BYTES + 11])
def test_a_job_writes_over_its_own_film_and_over_nobody_elses(
    s3: Any, bucket: str, opened: Settings, tmp_path: Path, size_bytes: int
) -> None:
    """In one request and in parts."""
    film, uri = tmp_path / "film", f"s3://{bucket}/open/film.mp4"
    film.write_bytes(b"1" * size_bytes)
    mine = open_destination(uri, opened, owner="mine", keeps_existing=True)
    mine.put_file(film, content_type="video/mp4")
    film.write_bytes(b"2" * size_bytes)
    mine.put_file(film, content_type="video/mp4")
    assert body_of(s3, bucket, "open/film.mp4") == b"2" * size_bytes
    theirs = open_destination(uri, opened, owner="theirs", keeps_existing=True)
    film.write_bytes(b"3" * size_bytes)
    for attempt in (theirs.check_free, lambda: theirs.put_file(film, content_type="video/mp4")):
        with pytest.raises(OutputExists, match="give another output_uri"):
            attempt()
    assert body_of(s3, bucket, "open/film.mp4") == b"2" * size_bytes
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


class Blind:
    """A client whose looks come too early: whatever is there comes between them and the write."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def head_object(self, **place: Any) -> Any:
        return self._client.head_object(Bucket=place["Bucket"], Key="nothing/there")


@pytest.mark.parametrize("size_bytes", [11, PART_BYTES + 11])
def test_who_comes_between_the_look_and_the_write_is_not_overwritten(
    s3: Any, bucket: str, tmp_path: Path, size_bytes: int
) -> None:
    from backend.storage.s3_object import S3Object

    s3.put_object(Bucket=bucket, Key="open/film.mp4", Body=BYTES)
    film = tmp_path / "film"
    film.write_bytes(b"1" * size_bytes)
    mine = S3Object(bucket, "open/film.mp4", Blind(s3), owner="mine", keeps_existing=True)
    with pytest.raises(OutputExists):
        mine.put_file(film, content_type="video/mp4")
    assert body_of(s3, bucket, "open/film.mp4") == BYTES
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_a_link_that_the_api_signs_for_a_client_overwrites_nothing_either(
    s3: Any, bucket: str, opened: Settings, tmp_path: Path
) -> None:
    s3.put_object(Bucket=bucket, Key="open/old.wav", Body=BYTES)
    film = tmp_path / "film"
    film.write_bytes(b"new")
    for name in ("new", "old"):
        url = presign(f"s3://{bucket}/open/{name}.wav", "PUT", opened, if_absent=True)
        destination = PutUrl(url, allow_private=True, stall_sec=5)
        with pytest.raises(OutputExists) if name == "old" else nullcontext():
            destination.put_file(film, content_type="audio/wav")
    assert body_of(s3, bucket, "open/new.wav") == b"new"
    assert body_of(s3, bucket, "open/old.wav") == BYTES


def test_the_operators_own_jobs_overwrite_as_before(s3: Any, bucket: str, database: Database, opened: Settings) -> None:
    s3.put_object(Bucket=bucket, Key="in.bin", Body=b"the input")
    s3.put_object(Bucket=bucket, Key="out.bin", Body=BYTES)
    request = NewJob("stage", f"s3://{bucket}/in.bin", "in.bin", output_uri=f"s3://{bucket}/out.bin")
    job = worked(database, opened, JobService(database).create(request).id)
    assert job.status == "done", job.error_message
    assert body_of(s3, bucket, "out.bin") == b"the input"


def test_a_runpod_request_that_is_sent_again_writes_over_its_own_film_from_any_pod(settings: Settings) -> None:
    pod = settings.model_copy(update={"default_bucket": "editor"})
    request = {"id": "r-1", "input": {"type": "crop", "job_id": "a", "input_video_key": "k.mp4"}}
    first, again = new_job(request, pod), new_job(request, pod)
    assert (first.job_id, first.keeps_existing) == (again.job_id, True)
    assert new_job({**request, "id": "r-2"}, pod).job_id != first.job_id


def test_a_tenant_has_the_prefixes_with_its_own_name(database_url: str, tmp_path: Path) -> None:
    with api_on(database_url, tmp_path, allowed_prefixes="s3://films/{tenant}/in/, s3://films/shared/") as api:
        api.app.extensions["framefleet"].plan_soon = lambda job_id: None
        ours = api.holder("ours", tenant="ours")
        for place, is_open in (("ours/in", True), ("shared", True), ("theirs/in", False), ("ours/in/../in", False)):
            answer = ours.ask(JOBS, "POST", json={"kind": "stage", "input": f"s3://films/{place}/a.bin"})
            assert answer.status_code == (202 if is_open else 422), place


def test_the_places_of_every_route_are_those_that_are_open(client: FlaskClient, bucket: str) -> None:
    closed = f"s3://{bucket}/secret/a.mp4"
    crop = client.post("/submit", json={"uri": closed})
    spans = [{"start_sec": 0, "duration_sec": 1}]
    pipeline = client.post(
        "/api/pipeline/segment", json={"job_id": "a", "master_audio_r2_uri": closed, "segments": spans}
    )
    further = asked(client, kind="encode", input="https://h/a.mp4", params={"audio_uri": closed})
    put_url = asked(client, input="https://h/a.mp4", output_put_url=f"http://127.0.0.1:9/{bucket}/open/x")
    assert put_url.status_code == 202
    for answer in (crop, pipeline, further):
        assert (answer.status_code, answer.get_json()["code"]) == (422, "unsupported_input")
        assert "not open to clients" in answer.get_json()["detail"]

"""Films of inputs with any name: each beside its input, under its own name, and none over another."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import boto3
import pytest

from backend.db.engine import Database
from backend.jobs.film_place import settled
from backend.jobs.outputs import output_places
from backend.jobs.plan import Planner
from backend.jobs.service import JobService, NewJob
from backend.kinds.crop import CROP
from backend.queue.claims import JobClaim
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from tests.integration.commands import framefleet
from tests.integration.conftest import Workers, read_film
from tests.integration.rows import sql
from tests.integration.test_workers import submit
from tests.samples import make_sample

FILMS = {
    "in/東京.mp4": "in/東京_cropped.mp4",
    "in/大阪.mp4": "in/大阪_cropped.mp4",
    'вход//-a b+c%20"it\'s" 👩\u200d👩.mp4': 'вход//-a b+c%20"it\'s" 👩\u200d👩_cropped.mp4',
    "x" * 250 + ".mp4": "x" * 250 + "_cropped.mp4",
}


BUCKET = "films-beside"  # servers of one process share their buckets, and other tests have one named films


def test_every_object_gets_its_own_film_beside_it(
    s3_server: str, workers: Workers, database: Database, settings: Settings, tmp_path: Path
) -> None:
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    jobs = {}
    workers.start_chunk_worker()
    workers.start_analysis_worker()
    for number, key in enumerate(FILMS):
        clip = make_sample(tmp_path / "clip.mp4", seconds=1 + number)
        client.upload_file(str(clip), BUCKET, key)
        jobs[key] = submit(database, settings, f"s3://{BUCKET}/{key}", aspect="1:1")
    for number, (key, film) in enumerate(FILMS.items()):
        job = workers.wait_for_end(jobs[key])
        assert (job.status, job.output_uri) == ("done", f"s3://{BUCKET}/{film}"), job.error_message
        client.download_file(BUCKET, film, str(tmp_path / "film.mp4"))
        assert len(read_film(tmp_path / "film.mp4").pts) == 25 * (1 + number)
    stored = {item["Key"] for item in client.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert stored == {*FILMS, *FILMS.values()}


def aggregating(database: Database, queue: Queue, uri: str) -> JobClaim:
    """A claim on a job whose chunks are all done."""
    job = JobService(database).create(NewJob("crop", uri, "clip.mp4"))
    sql(database, "UPDATE video_analysis_jobs SET status = 'aggregating', total_chunks = 1 WHERE id = :id", id=job.id)
    claim = queue.claim_job(JobStatus.AGGREGATING, job.id)
    assert claim is not None
    return claim


@pytest.fixture
def remote(settings: Settings) -> Settings:
    keys = {"s3_access_key_id": "k", "s3_secret_access_key": "s", "s3_region": "us-east-1", "output_bucket": "films"}
    return Settings.model_validate(settings.model_dump(exclude_unset=True) | keys)


def film_of(database: Database, claim: JobClaim, settings: Settings) -> str:
    return settled(database, claim, output_places(claim, CROP.output, open_store(settings), settings)).uri


@pytest.mark.parametrize(
    "uris",
    [
        ["s3://bkt/in/a.mp4", "s3://bkt/in/a.mov", "s3://bkt/in/a.avi", "s3://bkt/in/a.mov "],
        ["https://h/1/video.mp4", "https://h/2/video.mp4", "https://h/3/video.mp4"],
    ],
)
def test_no_film_is_written_over_the_film_of_another_input(
    database: Database, remote: Settings, uris: list[str]
) -> None:
    queue = Queue(database, remote)
    claims = [aggregating(database, queue, uri) for uri in uris]
    films: list[str] = []
    threads = [threading.Thread(target=lambda c=c: films.append(film_of(database, c, remote))) for c in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(films)) == len(uris)
    assert {film.rpartition("/")[0] for film in films} <= {"s3://bkt/in", "s3://films"}
    assert any(film.endswith(("/a_cropped.mp4", "/video_cropped.mp4")) for film in films)


def test_a_second_job_on_an_input_and_a_second_try_keep_the_name(database: Database, remote: Settings) -> None:
    queue = Queue(database, remote)
    first = aggregating(database, queue, "s3://bkt/in/a.mov")
    assert film_of(database, first, remote) == "s3://bkt/in/a_cropped.mp4"
    second = aggregating(database, queue, "s3://bkt/in/a.mov")
    assert film_of(database, second, remote) == "s3://bkt/in/a_cropped.mp4"
    other = aggregating(database, queue, "s3://bkt/in/a.mp4")
    assert film_of(database, other, remote) == "s3://bkt/in/a.mp4_cropped.mp4"
    queue.release_job(other)
    again = queue.claim_job(JobStatus.AGGREGATING, other.job_id)
    assert again is not None
    assert film_of(database, again, remote) == "s3://bkt/in/a.mp4_cropped.mp4"


def test_a_file_whose_name_is_no_utf8_is_cropped_from_the_command_line(tmp_path: Path) -> None:
    name = os.fsdecode(b'-caf\xe9 "it\'s" 100%+\n.mp4')
    make_sample(tmp_path / "clip.mp4", seconds=1).rename(tmp_path / name)
    done = framefleet("run", "crop", "--json", "--workers", "1", "--", name, cwd=tmp_path, DETECTOR="hog")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["input"]["name"] == '-caf\ufffd "it\'s" 100%+\n.mp4'
    film = Path(report["files"]["output"])
    assert film.name == '-caf\ufffd "it\'s" 100%+__cropped.mp4'
    assert len(read_film(film).pts) == 25


def test_a_file_that_is_gone_fails_typed_whatever_its_name(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    job = JobService(database).create(NewJob("crop", path.as_uri(), path.name))
    queue = Queue(database, settings)
    claim = queue.claim_job(JobStatus.QUEUED, job.id)
    assert claim is not None
    Planner(database, queue, open_store(settings), settings).plan(claim)
    failed = JobService(database).get(job.id)
    assert (failed.status, failed.error_code) == ("failed", "input_not_found")
    assert "caf\ufffd.mp4" in (failed.error_message or "")


def test_a_place_in_no_bucket_is_refused_before_any_work(
    s3_server: str, database: Database, settings: Settings, tmp_path: Path
) -> None:
    clip = make_sample(tmp_path / "clip.mp4", seconds=1)
    remote = Settings.model_validate(settings.model_dump(exclude_unset=True))
    asked = NewJob("crop", clip.as_uri(), "clip.mp4", output_uri="s3://nowhere/film.mp4")
    job = JobService(database).create(asked)
    queue = Queue(database, remote)
    claim = queue.claim_job(JobStatus.QUEUED, job.id)
    assert claim is not None
    Planner(database, queue, open_store(remote), remote).plan(claim)
    failed = JobService(database).get(job.id)
    assert (failed.status, failed.error_code, failed.total_chunks) == ("failed", "output_unwritable", None)
    assert "s3://nowhere/film.mp4" in (failed.error_message or "")

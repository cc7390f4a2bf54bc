"""Workers as processes of their own: over S3, killed, drained, fed with broken files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from backend.db.engine import Database
from backend.db.models import Job
from backend.jobs.plan import Planner
from backend.jobs.service import JobService, NewJob
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from tests.conftest import SHARED, shared_file
from tests.integration.conftest import CHUNK_WORKER, Workers, read_film, wait_until
from tests.media_children import children_of, media_children
from tests.samples import make_sample

SHORT_LEASE_SEC = 3


def submit(database: Database, settings: Settings, uri: str, *, plan: bool = True, **params: object) -> Job:
    job = JobService(database).create(NewJob("crop", uri, Path(uri).name, dict(params)))
    if plan:
        queue = Queue(database, settings)
        claim = queue.claim_job(JobStatus.QUEUED, job.id)
        if claim is not None:  # else the analysis worker's sweep was faster
            Planner(database, queue, open_store(settings), settings).plan(claim)
    return JobService(database).get(job.id)


def film_of(job: Job, settings: Settings, folder: Path) -> Path:
    assert job.output_key is not None, job.error_message
    path = folder / f"{job.id}.mp4"
    open_store(settings).get_file(job.output_key, path)
    return path


def tracks_of(job: Job, settings: Settings) -> bytes:
    return open_store(settings).get(f"jobs/{job.id}/tracks.json")


def test_dancer_over_s3_with_workers_as_separate_processes(
    s3_server: str, workers: Workers, database: Database, settings: Settings, tmp_path: Path, model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MODEL_NAME", str(model))
    dancer = shared_file("media", "dancer.avi")
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket="films")
    client.upload_file(str(dancer), "films", "in/dancer.avi")
    remote = Settings.model_validate(settings.model_dump(exclude_unset=True) | {"storage_url": "s3://films/store"})
    workers.fleet.settings = remote.model_copy(update={"poll_seconds": 0.1, "detector": "yolo"})
    for name in ("chunk-0", "chunk-1"):
        workers.start_chunk_worker(name)
    workers.start_analysis_worker()
    # Not planned here: the analysis worker's sweep does it.
    job = submit(database, remote, "s3://films/in/dancer.avi", plan=False, aspect="9:16", sample_fps=5)
    job = workers.wait_for_end(job, timeout_sec=120)
    assert job.status == "done", job.error_message
    assert job.total_chunks == 3
    assert job.output_uri == "s3://films/in/dancer_cropped.mp4"
    client.download_file("films", "in/dancer_cropped.mp4", str(tmp_path / "film.mp4"))
    film = read_film(tmp_path / "film.mp4")
    assert len(film.pts) == 1571
    assert film.audio_sec is not None
    assert abs(film.audio_sec - film.video_sec) < 0.05
    keys = {item["Key"] for item in client.list_objects_v2(Bucket="films")["Contents"]}
    stored = {f"store/jobs/{job.id}/chunks/chunk_{number:04d}.json" for number in range(3)}
    assert stored < keys
    assert {f"store/jobs/{job.id}/manifest.json", f"store/jobs/{job.id}/camera_path.json"} < keys
    logs = workers.log("chunk-0") + workers.log("chunk-1")
    read = [json.loads(line)["bytes_read"] for line in logs.splitlines() if '"chunk_completed"' in line]
    assert sum(read) < 1.3 * dancer.stat().st_size


def test_a_worker_killed_in_the_middle_of_a_chunk_costs_no_frame(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REUSE_CHUNKS", "false")  # both runs do their own work
    monkeypatch.setenv("LEASE_SECONDS", str(SHORT_LEASE_SEC))
    source = make_sample(tmp_path / "clip.mp4", seconds=8).as_uri()
    settings = settings.model_copy(update={"chunk_seconds": 4.0, "lease_seconds": SHORT_LEASE_SEC})
    disturbed = submit(database, settings, source, aspect="9:16")
    first = workers.start_chunk_worker("chunk-doomed")
    chunk = workers.wait_for_work(disturbed)
    children = [*children_of(first.process.pid), *media_children(first.process.pid)]
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    killed_at = time.monotonic()
    assert chunk.attempts == 1
    workers.start_chunk_worker("chunk-rescuer")
    workers.start_analysis_worker()
    disturbed = workers.wait_for_end(disturbed)
    assert disturbed.status == "done", disturbed.error_message
    assert time.monotonic() - killed_at >= SHORT_LEASE_SEC / 2
    rescued = JobService(database).chunks(disturbed.id)[chunk.chunk_index]
    assert (rescued.status, rescued.attempts, rescued.failures) == ("completed", 2, 1)
    wait_until(lambda: not any(_alive(pid) for pid in children), 60, "the dead worker's media process ends")
    undisturbed = workers.wait_for_end(submit(database, settings, source, aspect="9:16"))
    films = [film_of(job, settings, tmp_path) for job in (disturbed, undisturbed)]
    assert read_film(films[0]).pts == read_film(films[1]).pts == read_film(tmp_path / "clip.mp4").pts
    assert tracks_of(disturbed, settings) == tracks_of(undisturbed, settings)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_sigterm_releases_the_chunk_without_counting_a_failure(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path
) -> None:
    job = submit(database, settings, make_sample(tmp_path / "clip.mp4", seconds=16).as_uri())
    worker = workers.start_chunk_worker()  # DRAIN_SECONDS is 0 here: nothing may be finished
    chunk = workers.wait_for_work(job)
    worker.process.terminate()
    assert worker.process.wait(timeout=60) == 0
    released = JobService(database).chunks(job.id)[chunk.chunk_index]
    assert (released.status, released.attempts, released.failures) == ("queued", 1, 0)
    assert released.claimed_by is None
    assert '"chunk_released"' in workers.log("chunk-0")


def test_sigterm_lets_a_worker_finish_the_chunk_in_hand_and_claim_no_other(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path
) -> None:
    workers.fleet.settings = workers.settings.model_copy(update={"drain_seconds": 60.0})
    few = settings.model_copy(update={"chunk_seconds": 4.0})
    job = submit(database, few, make_sample(tmp_path / "clip.mp4", seconds=12).as_uri())
    worker = workers.start_chunk_worker()
    workers.wait_for_work(job)
    worker.process.terminate()
    assert worker.process.wait(timeout=60) == 0
    states = [chunk.status for chunk in JobService(database).chunks(job.id)]
    assert sorted(states) == ["completed", "queued", "queued"]


def test_cancelling_stops_the_running_work_and_the_worker_goes_on_with_the_next_job(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Half of it is what work that lost its claim has to stop, on a machine that does other things too.
    monkeypatch.setenv("LEASE_SECONDS", "12")
    source = make_sample(tmp_path / "clip.mp4", seconds=16).as_uri()
    job = submit(database, settings, source)
    workers.start_chunk_worker()
    workers.wait_for_work(job)
    JobService(database).cancel(job.id)
    wait_until(lambda: '"claim_lost"' in workers.log("chunk-0"), 60, "the heartbeat finds the job cancelled")
    short = submit(database, settings, make_sample(tmp_path / "short.mp4", seconds=1).as_uri())
    workers.start_analysis_worker()
    assert workers.wait_for_end(short).status == "done"
    assert JobService(database).get(job.id).status == "cancelled"


def test_a_finished_artifact_is_adopted_instead_of_being_made_again(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path
) -> None:
    job = submit(database, settings, make_sample(tmp_path / "clip.mp4", seconds=2).as_uri())
    workers.start_chunk_worker()
    wait_until(lambda: JobService(database).get(job.id).status == "aggregating", 60, "the chunk is done")
    before = JobService(database).chunks(job.id)[0]
    with database.transaction() as connection:  # as if the worker had died between the put and the completion
        connection.exec_driver_sql("UPDATE video_analysis_chunks SET status = 'queued', artifact_sha256 = NULL")
        connection.exec_driver_sql("UPDATE video_analysis_jobs SET status = 'processing'")
    wait_until(lambda: JobService(database).get(job.id).status == "aggregating", 60, "the chunk is adopted")
    after = JobService(database).chunks(job.id)[0]
    assert after.artifact_sha256 == before.artifact_sha256
    assert '"chunk_adopted"' in workers.log("chunk-0")


def test_a_chunk_that_differs_from_its_checksum_never_becomes_a_film(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_ATTEMPTS", "2")
    job = submit(database, settings, make_sample(tmp_path / "clip.mp4", seconds=2).as_uri())
    workers.start_chunk_worker()
    wait_until(lambda: JobService(database).get(job.id).status == "aggregating", 60, "the chunk is done")
    key = JobService(database).chunks(job.id)[0].artifact_s3_key
    store = open_store(settings)
    store.put(key, store.get(key).replace(b'"chunk_index":0', b'"chunk_index":0 '))
    workers.start_analysis_worker()
    job = workers.wait_for_end(job)
    assert (job.status, job.error_code) == ("failed", "artifact_corrupt")


@pytest.mark.parametrize("module", [CHUNK_WORKER])
def test_a_worker_without_weights_says_so_and_claims_nothing(
    module: str, database: Database, settings: Settings, tmp_path: Path
) -> None:
    job = submit(database, settings, make_sample(tmp_path / "clip.mp4", seconds=1).as_uri())
    done = _run_worker(module, settings, MODEL_NAME="/nowhere/best.pt")
    assert done.returncode == 2
    assert "model_missing" in done.stderr
    assert "MODEL_NAME" in done.stderr
    assert "Traceback" not in done.stderr
    assert [chunk.attempts for chunk in JobService(database).chunks(job.id)] == [0]


def test_a_worker_with_bad_settings_names_them_and_keeps_secrets(settings: Settings) -> None:
    done = _run_worker(CHUNK_WORKER, settings, LEASE_SECONDS="soon", STORAGE_URL="ftp://hunter2@host/")
    assert done.returncode == 2
    assert "LEASE_SECONDS" in done.stderr
    assert "STORAGE_URL" in done.stderr
    assert "hunter2" not in done.stderr


def test_once_and_idle_exit_end_a_worker_that_has_nothing_to_do(settings: Settings) -> None:
    for options in (["--once"], ["--idle-exit", "0.2"]):
        assert _run_worker(CHUNK_WORKER, settings, *options, DETECTOR="hog").returncode == 0


def _run_worker(module: str, settings: Settings, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    assert settings.database_url is not None
    given = {"DATABASE_URL": settings.database_url.get_secret_value(), "STORAGE_URL": settings.storage_root_url}
    return subprocess.run(
        [sys.executable, "-m", module, *options],
        env=dict(os.environ) | given | env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_broken_file_ends_typed_and_the_workers_go_on(
    workers: Workers, database: Database, settings: Settings, tmp_path: Path
) -> None:
    shared_file("media", "bad")
    workers.start_chunk_worker()
    workers.start_analysis_worker()
    broken = [submit(database, settings, path.as_uri()) for path in sorted((SHARED / "media" / "bad").iterdir())]
    good = submit(database, settings, make_sample(tmp_path / "good.mp4", seconds=1).as_uri())
    assert workers.wait_for_end(good, timeout_sec=120).status == "done"
    outcomes = {}
    for job in (workers.wait_for_end(job) for job in broken):
        outcomes[job.input_name] = job.error_code or "done"
        if job.status == "failed":
            assert job.error_code not in (None, "internal_error", "worker_lost"), job.error_message
            assert job.error_message
        else:
            # A bounded result: all that decodes is in it, and what is missing is said.
            film = read_film(film_of(job, settings, tmp_path))
            assert film.pts
            assert job.frame_count is None or len(film.pts) >= job.frame_count - 1 or job.warnings
    assert outcomes["fate_wwwq_cut.mp4"] == "media_truncated"
    assert outcomes["fate_two_first_slice.mp4"] == "media_truncated"
    assert outcomes["photoprism_zero_byte.mov"] == "empty_file"
    assert outcomes["streamio_broken.mp4"] == "not_a_video"
    assert outcomes["fate_mov-3elist-encrypted.mp4"] == "media_undecodable"
    assert outcomes["fuzzcorpus_mopt_7.mp4"] == "no_video_stream"

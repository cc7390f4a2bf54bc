"""A whole job whose chunks a machine works on that has neither database nor store: the film is as any other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import boto3
import pytest

from backend.db.engine import Database
from backend.jobs.service import JobService
from backend.settings import Settings
from tests.integration.conftest import Workers, read_film, wait_until
from tests.integration.remote.conftest import RemoteMachine
from tests.integration.test_workers import submit, tracks_of
from tests.samples import make_sample

SECRETS = ("postgresql", "DATABASE_URL", "AWS_", "STORAGE_URL", "testing", "S3_")


def environments(pid: int) -> dict[int, str]:
    """Of a process and all below it, as the kernel shows them. Media processes come and go meanwhile."""
    found: dict[int, str] = {}
    with suppress(ProcessLookupError, FileNotFoundError):
        found[pid] = Path(f"/proc/{pid}/environ").read_text()
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found |= environments(int(child))
    return found


def pictures(path: Path) -> list[str]:
    """A digest of each frame's samples."""
    with av.open(str(path)) as film:
        return [hashlib.sha256(frame.to_ndarray()).hexdigest() for frame in film.decode(video=0)]


@pytest.mark.slow
def test_a_film_over_s3_is_the_same_whoever_worked_on_its_chunks(
    s3_server: str,
    api: Callable[..., str],
    machine: RemoteMachine,
    workers: Workers,
    database: Database,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REUSE_CHUNKS", "false")
    monkeypatch.setenv("RENDER_FANOUT_SECONDS", "1")
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    client.create_bucket(Bucket="films")
    client.upload_file(str(make_sample(tmp_path / "clip.mp4", seconds=4)), "films", "in/clip.mp4")
    over_s3 = Settings.model_validate(
        settings.model_dump(exclude_unset=True) | {"storage_url": "s3://films/store", "chunk_seconds": 2.0}
    )
    workers.fleet.settings = over_s3.model_copy(update={"poll_seconds": 0.1, "detector": "hog"})
    server = api(**{name: getattr(over_s3, name) for name in type(over_s3).model_fields})
    workers.start_analysis_worker()

    remote = submit(database, over_s3, "s3://films/in/clip.mp4", aspect="9:16", sample_fps=5)
    process = machine.start(server)
    seen: dict[int, str] = {}

    def is_over() -> bool:
        seen.update(environments(process.pid))
        return JobService(database).get(remote.id).status in ("done", "failed")

    wait_until(is_over, 120, "the remote worker's film")
    process.terminate()
    assert process.wait(timeout=30) == 0
    remote = JobService(database).get(remote.id)
    assert remote.status == "done", remote.error_message
    chunks = JobService(database).chunks(remote.id)
    assert {chunk.phase for chunk in chunks} == {"detect", "render"}
    assert {chunk.failures for chunk in chunks} == {0}
    assert len(seen) > 1, "media processes were seen"
    assert not [secret for secret in SECRETS for environment in seen.values() if secret in environment]

    workers.start_chunk_worker()
    direct = workers.wait_for_end(submit(database, over_s3, "s3://films/in/clip.mp4", aspect="9:16", sample_fps=5))
    assert direct.status == "done", direct.error_message
    assert tracks_of(remote, over_s3) == tracks_of(direct, over_s3)
    films = []
    for job in (remote, direct):
        path = tmp_path / f"{job.id}.mp4"
        bucket, key = (job.output_uri or "").removeprefix("s3://").split("/", 1)
        client.download_file(bucket, key, str(path))
        films.append(path)
    assert read_film(films[0]).pts == read_film(films[1]).pts == read_film(tmp_path / "clip.mp4").pts
    assert pictures(films[0]) == pictures(films[1])

"""What a job left behind, compared with its source: artifacts, film, manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from backend.db.models import Job
from backend.jobs.service import JobService
from backend.vision.artifacts import load_artifact
from tests.chaos.films import differences, frames_of
from tests.chaos.world import World


def broken_results(world: World, jobs: Mapping[UUID, int]) -> list[str]:
    """One sentence for each fault of each job; `jobs` names the seconds of each job's film."""
    service = JobService(world.database)
    broken = []
    for job_id, seconds in jobs.items():
        job = service.get(job_id)
        if job.status != "done":
            broken.append(f"{job.input_name} is {job.status}: {job.error_code} {job.error_message}")
            continue
        found = _of_artifacts(world, service, job, seconds) + _of_film(world, job, seconds)
        broken += [f"{job.input_name}: {fault}" for fault in found]
    return broken


def _of_artifacts(world: World, service: JobService, job: Job, seconds: int) -> list[str]:
    """Every source frame is in exactly one chunk's artifact, and each artifact is the one its row names."""
    frame_pts: list[int] = []
    broken = []
    manifest = json.loads(_object(world, f"store/jobs/{job.id}/manifest.json"))
    for chunk, segment in zip(service.chunks(job.id, "detect"), manifest["segments"], strict=True):
        assert chunk.artifact_s3_key is not None
        data = _object(world, f"store/{chunk.artifact_s3_key}")
        frame_pts += load_artifact(data, expected_sha256=chunk.artifact_sha256).frame_pts
        if (segment["artifact_sha256"], segment["attempts"]) != (chunk.artifact_sha256, chunk.attempts):
            broken.append(f"the manifest's segment {chunk.chunk_index} is not the row's")
    source = world.films[seconds][1]
    if frame_pts != source.pts:
        broken.append(f"the artifacts hold the frames {frame_pts}, the source {source.pts}")
    return broken


def _of_film(world: World, job: Job, seconds: int) -> list[str]:
    path = Path(world.folder) / "film.mp4"
    assert job.output_uri is not None
    path.write_bytes(_object(world, job.output_uri.removeprefix(f"s3://{world.bucket}/")))
    return differences(world.films[seconds][1], frames_of(path))


def _object(world: World, key: str) -> bytes:
    data: bytes = world.client.get_object(Bucket=world.bucket, Key=key)["Body"].read()
    return data

"""A database full of jobs of all kinds, states and ages, with names that would break a careless page.

python -m tests.seed --jobs 1000 --chunks 10000 postgresql://…
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as upsert

from backend.db.engine import Database
from backend.db.models import Chunk, FleetSample, Job, Lane, Worker
from backend.kinds import KINDS as KNOWN_KINDS
from backend.queue.figures import GPU_WORKER
from backend.queue.fleet_now import ANALYSIS_WORKER
from backend.states import ChunkStatus, JobStatus, Stage
from backend.versions import SCHEMA_VERSION

NAMES = (
    "talk.mp4",
    "IMG_0042.MOV",
    "<img src=x onerror=alert(1)>.mp4",
    "حفلة العائلة.mp4",
    "holiday " + "long " * 38 + ".mkv",  # 200 characters
    "street 🎬 party.mp4",
    "talk.mp4",  # of another host
    '"><script>alert(2)</script>.webm',
    "&amp; \u202e4pm.exe",
    "家族の日.mp4",
)
HOSTS = ("films.example", "archive.example", "cdn.example")
KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("crop", {"aspect": "9:16"}),
    ("crop", {}),
    ("annotate", {}),
    ("downsample", {"resolution": 360}),
    ("framing", {"keyframes": [{"frame": 0, "x": 0, "y": 0, "width": 640, "height": 360}]}),
    ("stage", {}),
)
STATUSES = (
    *[JobStatus.DONE] * 6,
    *[JobStatus.PROCESSING] * 2,
    JobStatus.QUEUED,
    JobStatus.AGGREGATING,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
)
OVER = (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)
ERRORS = (
    ("input_not_found", "There is no such file behind the link.", False),
    ("source_unreachable", "The host does not answer.", True),
    ("media_truncated", "The film ends early: after 3.2 of 10 s.", False),
)
CHUNK_SEC = 30.0
SAMPLES = 24 * 60 // 5  # one in five minutes of a day


def seed(database: Database, *, jobs: int, chunks: int, tenant: str = "default", workers: int = 6) -> list[UUID]:
    """Writes the rows as one would find them; nothing works on them. Returns the jobs' ids, the newest first."""
    chance, now = random.Random(16), datetime.now(UTC)
    rows = list(islice(_jobs(chance, now, tenant), jobs))
    counts = [chunks // jobs + (number < chunks % jobs) for number in range(jobs)] if jobs else []
    for row, count in zip(rows, counts, strict=True):
        row["total_chunks"] = None if row["status"] == JobStatus.QUEUED else count
    with database.session() as session:
        for mode in ("gpu", "cpu"):
            session.execute(upsert(Lane).values(deep_mode=mode, tenant=tenant).on_conflict_do_nothing())
        found = session.execute(insert(Job).returning(Job.id, sort_by_parameter_order=True), rows) if rows else []
        ids = [row[0] for row in found]
        pieces = [
            piece
            for job_id, row, count in zip(ids, rows, counts, strict=True)
            for piece in _chunks(chance, job_id, row, count, workers)
        ]
        if pieces:
            session.execute(insert(Chunk), pieces)
        session.execute(upsert(Worker).on_conflict_do_nothing(), list(_workers(now, workers)))
        session.execute(upsert(FleetSample).on_conflict_do_nothing(), list(_samples(chance, now)))
    return ids


def _jobs(chance: random.Random, now: datetime, tenant: str) -> Iterator[dict[str, Any]]:
    for number, (name, (kind, params)) in enumerate(zip(cycle(NAMES), cycle(KINDS), strict=False)):
        status = chance.choice(STATUSES)
        made = now - timedelta(minutes=7 * number + chance.random())
        planned, over = status != JobStatus.QUEUED, status in OVER
        code, message, retryable = chance.choice(ERRORS) if status == JobStatus.FAILED else (None, None, None)
        yield {
            "tenant": tenant,
            "kind": kind,
            "params": params,
            "status": status,
            "stage": _stage(status),
            "input_uri": f"https://{HOSTS[number % len(HOSTS)]}/films/{number}",
            "input_name": name,
            "width": 1920 if planned else None,
            "height": 1080 if planned else None,
            "fps_num": 25 if planned else None,
            "fps_den": 1 if planned else None,
            "duration_seconds": 300.0 if planned else None,
            "output_uri": f"https://{HOSTS[0]}/films/{number}_cropped.mp4" if status == JobStatus.DONE else None,
            "output_size": 40_000_000 + number if status == JobStatus.DONE else None,
            "paused_at": made if not over and number % 11 == 0 else None,
            "warnings": ["In 4 % of the frames the person is only partly in the window."] if number % 9 == 0 else [],
            "error_code": code,
            "error_message": message,
            "error_retryable": retryable,
            "created_at": made,
            "updated_at": made,
            "started_at": made + timedelta(seconds=4) if planned else None,
            "completed_at": made + timedelta(minutes=2) if over else None,
        }


def _stage(status: JobStatus) -> Stage:
    return {JobStatus.PROCESSING: Stage.PROCESSING, JobStatus.AGGREGATING: Stage.RENDERING}.get(
        status, Stage.DONE if status == JobStatus.DONE else Stage.PROBING
    )


def _chunks(
    chance: random.Random, job_id: UUID, job: dict[str, Any], count: int, workers: int
) -> Iterator[dict[str, Any]]:
    if job["total_chunks"] is None:
        return
    for index in range(count):
        status = _chunk_status(job["status"], chance)
        begun = status != ChunkStatus.QUEUED
        done = status == ChunkStatus.COMPLETED
        failed = status == ChunkStatus.FAILED
        yield {
            "job_id": job_id,
            "tenant": job["tenant"],
            "chunk_index": index,
            "start_sec": index * CHUNK_SEC,
            "end_sec": (index + 1) * CHUNK_SEC,
            "start_pts": int(index * CHUNK_SEC * 1000),
            "end_pts": int((index + 1) * CHUNK_SEC * 1000),
            "status": status,
            "attempts": int(begun),
            "failures": 3 if failed else 0,
            "progress": chance.random() if status == ChunkStatus.PROCESSING else float(done),
            "claimed_by": f"seeded-{chance.choice(_chunk_workers(workers))}" if begun else None,
            "artifact_s3_key": f"jobs/{job_id}/chunks/chunk_{index:04}.json" if done else None,
            "artifact_sha256": f"{index:064x}" if done else None,
            "runtime_ms": chance.randrange(3000, 20_000) if done else None,
            "error_code": "media_corrupt" if failed else None,
            "error_message": "The decoder gave up in this part of the film." if failed else None,
            "lease_expires_at": datetime.now(UTC) + timedelta(hours=1) if status == ChunkStatus.PROCESSING else None,
            "started_at": job["started_at"] if begun else None,
            "completed_at": job["started_at"] + timedelta(seconds=20) if done else None,
        }


def _chunk_status(job: JobStatus, chance: random.Random) -> ChunkStatus:
    if job in (JobStatus.DONE, JobStatus.AGGREGATING):
        return ChunkStatus.COMPLETED
    if job == JobStatus.FAILED:
        return chance.choice((ChunkStatus.FAILED, ChunkStatus.COMPLETED))
    return chance.choice((ChunkStatus.QUEUED, ChunkStatus.PROCESSING, ChunkStatus.COMPLETED))


def _chunk_workers(count: int) -> list[int]:
    return [number for number in range(max(count, 1)) if number % 3 != 2]


def _workers(now: datetime, count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {
            "worker_id": f"seeded-{number}",
            "kind": GPU_WORKER if number in _chunk_workers(count) else ANALYSIS_WORKER,
            "knows": sorted(KNOWN_KINDS),
            "schema_version": SCHEMA_VERSION,
            "started_at": now - timedelta(hours=number + 1),
            "seen_at": now,
            "machine": f"machine-{number % 2}",
            "device": "CPU" if number % 2 else "NVIDIA H100 80GB HBM3",
            "trouble": "The disk is full." if number == 4 else None,
            "trouble_since": now - timedelta(minutes=3) if number == 4 else None,
        }


def _samples(chance: random.Random, now: datetime) -> Iterator[dict[str, Any]]:
    done = 0
    for number in range(SAMPLES):
        done += chance.randrange(40)
        yield {
            "at": now - timedelta(minutes=5 * (SAMPLES - number)),
            "queued_chunks": chance.randrange(200),
            "processing_chunks": chance.randrange(16),
            "running_workers": chance.randrange(4, 8),
            "completed_chunks": done,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database_url")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--chunks", type=int, default=10_000)
    asked = parser.parse_args()
    seed(Database(asked.database_url), jobs=asked.jobs, chunks=asked.chunks)


if __name__ == "__main__":
    main()

"""Rows for benchmarks.queue, written by the server itself; and the share of heartbeats that are HOT."""

from __future__ import annotations

import time

import psycopg

from backend.db.engine import Database
from backend.media.facts import VideoFacts
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import DeepMode

CHUNKS_A_JOB = 200
BEATS = 40
CLAIMS = 100
STATS_DELAY_SEC = 2.0
FACTS = VideoFacts(
    container="mp4", codec="h264", coded_width=1920, coded_height=1080, width=1920, height=1080, rotation=0,
    sample_aspect_ratio=(1, 1), fps=(25, 1), time_base=(1, 1000), start_pts=0, duration_pts=30_000 * CHUNKS_A_JOB,
    duration_seconds=30.0 * CHUNKS_A_JOB, frame_count=750 * CHUNKS_A_JOB, has_audio=False, audio_codecs=[],
    keyframe_pts=[],
)  # fmt: skip
JOBS = """
INSERT INTO video_analysis_jobs (id, kind, status, stage, input_uri, input_name, source_etag, source_size, probe,
                                 total_chunks, completed_chunks, params)
SELECT gen_random_uuid(), 'crop', %(status)s, %(stage)s, 'file:///film.mp4', 'film.mp4', 'etag', 1000, %(probe)s,
       %(each)s, CASE %(status)s WHEN 'done' THEN %(each)s ELSE 0 END, '{"aspect": "9:16"}'
FROM generate_series(1, %(jobs)s)
RETURNING id
"""
CHUNKS = """
INSERT INTO video_analysis_chunks (job_id, chunk_index, start_sec, end_sec, start_pts, end_pts, status, progress,
                                   claim_rank, attempts, artifact_s3_key, artifact_sha256, completed_at)
SELECT id, n, n * 30, n * 30 + 30, n * 30000, n * 30000 + 30000, %(chunk_status)s, CASE %(status)s WHEN 'done' THEN 1
       ELSE 0 END, %(rank)s + n * %(jobs)s, 0, 'chunks/x', repeat('0', 64), now()
FROM unnest(%(ids)s::uuid[]) AS id, generate_series(0, %(each)s - 1) AS n
"""


def load_queued(url: str, chunks: int) -> None:
    """That many chunks at least are queued, behind what is queued already."""
    with psycopg.connect(url) as connection:
        (queued,) = connection.execute(
            "SELECT count(*) FROM video_analysis_chunks WHERE status = 'queued'"
        ).fetchone() or (0,)
        (rank,) = connection.execute(
            "SELECT coalesce(max(claim_rank) + 1, 0) FROM video_analysis_chunks"
        ).fetchone() or (0,)
        jobs = -(-max(0, chunks - queued) // CHUNKS_A_JOB)
        if jobs:
            _insert(connection, jobs, "queued", "DEEP_QUEUED", "queued", rank)
            connection.execute("UPDATE queue_lanes SET floor_rank = least(floor_rank, %s)", (rank,))


def load_finished(url: str, chunks: int) -> None:
    with psycopg.connect(url) as connection:
        _insert(connection, -(-chunks // CHUNKS_A_JOB), "done", "DONE", "completed", 0)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")


def _insert(connection: psycopg.Connection, jobs: int, status: str, stage: str, chunk_status: str, rank: int) -> None:
    params = {
        "status": status,
        "stage": stage,
        "chunk_status": chunk_status,
        "probe": FACTS.model_dump_json(),
        "jobs": jobs,
        "each": CHUNKS_A_JOB,
        "rank": rank,
    }
    params["ids"] = [row[0] for row in connection.execute(JOBS, params).fetchall()]
    connection.execute(CHUNKS, params)


def heartbeat_hot_ratio(url: str) -> float:
    """Of CLAIMS chunks that each beat BEATS times: updates in place ÷ updates."""
    database = Database(url)
    queue = Queue(database, Settings.model_validate({"database_url": url, "worker_id": "beats"}))
    load_queued(url, CLAIMS)
    claims = [claim for _ in range(CLAIMS) if (claim := queue.claim_chunk(DeepMode.GPU)) is not None]
    before = _updates(url)
    for beat in range(BEATS):
        for claim in claims:
            queue.heartbeat_chunk(claim, beat / BEATS)
    database.close()  # a session tells its counts when it ends
    after = _updates(url)
    return (after[1] - before[1]) / (after[0] - before[0])


def _updates(url: str) -> tuple[int, int]:
    time.sleep(STATS_DELAY_SEC)
    query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'video_analysis_chunks'"
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0], row[1]

"""What a tenant's earlier job found in the same source is not looked for again, and chunks are as long as serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from backend.db.engine import Database
from backend.errors import FramefleetError
from backend.jobs import manifest
from backend.jobs.layout import manifest_key
from backend.jobs.plan import Planner
from backend.jobs.service import JobService, NewJob
from backend.kinds.tools import Tools
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from backend.vision.detectors.hog import HogDetector
from backend.workers.gpu_chunk_worker import ChunkWorker
from backend.workers.loop import WorkerLoop
from tests.conftest import Said
from tests.integration.rows import sql
from tests.samples import make_sample


class Shop:
    """Planner and chunk worker of one installation, in this process."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.store = open_store(settings)
        self.queue = Queue(database, settings)
        self.worker = ChunkWorker(self.queue, self.store, Tools(settings, HogDetector))
        self.loop = WorkerLoop("test", lambda: False, self.queue.tend, settings)

    def plan(self, source: Path, tenant: str = "default", **params: Any) -> UUID:
        job = JobService(self.database).create(
            NewJob("crop", source.as_uri(), source.name, {"sample_fps": 2} | params, tenant=tenant)
        )
        claim = self.queue.claim_job(JobStatus.QUEUED, job.id)
        assert claim is not None
        Planner(self.database, self.queue, self.store, self.settings).plan(claim)
        return job.id

    def detect(self, job_id: UUID) -> list[dict[str, Any]]:
        """The artifacts of the job's chunks, in order."""
        while self.worker.work_once(self.loop):
            pass
        chunks = JobService(self.database).chunks(job_id)
        assert {chunk.status for chunk in chunks} == {"completed"}, [chunk.error_message for chunk in chunks]
        return [json.loads(self.store.get(chunk.artifact_s3_key or "")) for chunk in chunks]

    def plan_of(self, job_id: UUID) -> dict[str, Any]:
        return manifest.load(self.store.get(manifest_key(job_id)))


@pytest.fixture
def shop(database: Database, settings: Settings) -> Shop:
    return Shop(database, settings.model_copy(update={"chunk_seconds": 1.0, "overlap_samples": 1}))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=2)


def adopted(said: list[Said]) -> int:
    """How many of the chunks that were completed since this was last asked were adopted."""
    events = [each.event for each in said]
    said.clear()
    assert events.count("chunk_completed") == 2
    return events.count("chunk_adopted")


def without_job(artifact: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in artifact.items() if name != "job_id"}


def test_a_second_job_on_the_same_source_reads_nothing_of_it(
    shop: Shop, clip: Path, tmp_path: Path, said: list[Said]
) -> None:
    first = shop.detect(shop.plan(clip, aspect="9:16"))
    assert adopted(said) == 0
    again = shop.plan(clip, aspect="1:1")
    # Whoever opened the source now would find another one.
    hidden = clip.rename(tmp_path / "hidden.mp4")
    try:
        second = shop.detect(again)
    finally:
        hidden.rename(clip)
    assert [without_job(artifact) for artifact in second] == [without_job(artifact) for artifact in first]
    assert {artifact["job_id"] for artifact in second} == {str(again)}
    assert adopted(said) == 2


def test_a_worker_claims_the_next_chunk_with_the_completion_of_the_last(
    shop: Shop, clip: Path, said: list[Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = Database.ask
    monkeypatch.setattr(Database, "ask", lambda self, name, **params: asked.append(name) or ask(self, name, **params))
    shop.detect(shop.plan(clip))
    claims = [name for name in asked if "claim" in name or name == "complete_chunk"]
    assert claims == ["claim_job", "claim_chunk", "complete_and_claim", "complete_and_claim", "claim_chunk"]
    events = [each.event for each in said if each.event in ("chunk_claimed", "chunk_completed")]
    assert events == ["chunk_claimed", "chunk_completed"] * 2


@pytest.mark.parametrize(
    ("params", "tenant"), [({"conf": 0.4}, "default"), ({}, "somebody else")], ids=["other detection", "another tenant"]
)
def test_nothing_is_adopted_from_other_parameters_or_another_tenant(
    shop: Shop, clip: Path, params: dict[str, Any], tenant: str, said: list[Said]
) -> None:
    shop.detect(shop.plan(clip))
    said.clear()
    shop.detect(shop.plan(clip, tenant, **params))
    assert adopted(said) == 0


def test_an_artifact_that_is_gone_or_damaged_is_made_anew(shop: Shop, clip: Path) -> None:
    first = shop.plan(clip)
    expected = [without_job(artifact) for artifact in shop.detect(first)]
    keys = [chunk.artifact_s3_key or "" for chunk in JobService(shop.database).chunks(first)]
    shop.store.delete(keys[0])
    shop.store.put(keys[1], b"{}", content_type="application/json")
    assert [without_job(artifact) for artifact in shop.detect(shop.plan(clip))] == expected


def test_reuse_can_be_switched_off(shop: Shop, clip: Path, said: list[Said]) -> None:
    shop = Shop(shop.database, shop.settings.model_copy(update={"reuse_chunks": False}))
    shop.detect(shop.plan(clip))
    said.clear()
    shop.detect(shop.plan(clip))
    assert adopted(said) == 0


# Chunk length.


def adaptive(shop: Shop, low: float, high: float, **more: Any) -> Shop:
    bounds = {"chunk_seconds_min": low, "chunk_seconds_max": high}
    return Shop(shop.database, shop.settings.model_copy(update=bounds | more))


def pretend_pace(database: Database, job_id: UUID, runtime_ms: int) -> None:
    with database.transaction() as connection:
        changed = connection.execute(
            text("UPDATE video_analysis_chunks SET runtime_ms = :ms WHERE job_id = :id"),
            {"ms": runtime_ms, "id": job_id},
        )
    assert changed.rowcount > 0


def test_without_bounds_every_chunk_is_chunk_seconds_long(shop: Shop, clip: Path) -> None:
    plan = shop.plan_of(shop.plan(clip))
    assert (plan["segment_count"], plan["chunk_seconds"], plan["chunk_seconds_reason"]) == (2, 1.0, "CHUNK_SECONDS")


def test_slow_workers_get_shorter_chunks_and_the_manifest_says_so(shop: Shop, clip: Path) -> None:
    slow = adaptive(shop, 0.5, 4.0, reuse_chunks=False)
    first = slow.plan(clip)
    assert slow.plan_of(first)["chunk_seconds"] == 1.0  # nothing was measured yet
    slow.detect(first)
    pretend_pace(shop.database, first, 100_000)
    plan = slow.plan_of(slow.plan(clip))
    assert (plan["chunk_seconds"], plan["segment_count"]) == (0.5, 4)
    assert "measured" in plan["chunk_seconds_reason"]


def test_fast_workers_get_longer_chunks_and_a_short_video_is_spread_over_them(shop: Shop, clip: Path) -> None:
    fast = adaptive(shop, 0.5, 4.0, reuse_chunks=False)
    first = fast.plan(clip)
    fast.detect(first)
    pretend_pace(shop.database, first, 250)
    assert fast.plan_of(fast.plan(clip))["segment_count"] == 1
    sql(
        shop.database, "INSERT INTO workers (worker_id, kind) SELECT n, 'gpu_chunk_worker' FROM generate_series(1, 4) n"
    )
    assert fast.plan_of(fast.plan(clip))["segment_count"] == 4


def test_a_job_on_a_source_that_was_cut_before_is_cut_alike(shop: Shop, clip: Path) -> None:
    same = adaptive(shop, 0.5, 4.0)
    first = same.plan(clip)
    same.detect(first)
    pretend_pace(shop.database, first, 100_000)
    second = same.plan(clip)
    bounds = [
        [(chunk.start_pts, chunk.end_pts) for chunk in JobService(shop.database).chunks(job)] for job in (first, second)
    ]
    assert bounds[0] == bounds[1]


def test_bounds_that_leave_chunk_seconds_out_are_refused(settings: Settings) -> None:
    with pytest.raises((ValueError, FramefleetError), match="CHUNK_SECONDS must be from"):
        Settings.model_validate({"chunk_seconds": 30, "chunk_seconds_min": 60})


def test_the_lookups_use_an_index_of_the_source(database: Database) -> None:
    query = "EXPLAIN SELECT id FROM video_analysis_jobs WHERE source_etag = 'x' AND tenant = 'y'"
    with database.transaction() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(row[0] for row in connection.execute(text(query)))
    assert "ix_jobs_source" in plan

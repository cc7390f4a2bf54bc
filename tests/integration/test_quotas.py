"""What a tenant may use: of what comes at once no more is let in, and the others are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from backend.access.tenants import set_limits
from backend.db.engine import Database
from backend.errors import QuotaExceeded
from backend.jobs.plan import Planner
from backend.jobs.quotas import Quotas
from backend.jobs.service import JobService, NewJob
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store
from tests.conftest import empty_database
from tests.integration.keyed import JOBS, api_on
from tests.integration.queue.helpers import BROKEN, claim_of, planned_job, sql
from tests.samples import make_sample

ACME = "acme"
ROWS = "video_analysis_jobs"
AT_ONCE = 50


@pytest.fixture(scope="module")
def shared(postgres: str) -> Iterator[Database]:
    """One database; each test has a tenant of its own."""
    with empty_database(postgres) as url:
        database = Database(url, pool_size=20)
        yield database
        database.close()


@pytest.fixture
def tenant(shared: Database, request: pytest.FixtureRequest) -> str:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].rstrip("-")
    set_limits(shared, name, {})
    return str(name)


def jobs_of(database: Database, tenant: str, quotas: Quotas | None = None) -> JobService:
    return JobService(database.as_tenant(tenant), quotas or Quotas())


def wanted(**more: Any) -> NewJob:
    return NewJob("crop", "https://films.example/a.mp4", "a.mp4", **more)


def made(service: JobService, **more: Any) -> str:
    """How it went."""
    try:
        service.create(wanted(**more))
    except QuotaExceeded as refused:
        return refused.message.partition(":")[0]
    return "made"


def test_fifty_creations_at_once_never_exceed_the_open_jobs(shared: Database, tenant: str) -> None:
    set_limits(shared, tenant, {"open_jobs_max": 7})
    with ThreadPoolExecutor(16) as pool:
        outcomes = Counter(pool.map(lambda _: made(jobs_of(shared, tenant)), range(AT_ONCE)))
    assert outcomes == {"made": 7, "open_jobs": AT_ONCE - 7}
    assert len(jobs_of(shared, tenant).list()) == 7


def test_a_job_that_is_over_makes_room_and_another_tenants_take_none(shared: Database, tenant: str) -> None:
    set_limits(shared, tenant, {"open_jobs_max": 1})
    service = jobs_of(shared, tenant)
    planned_job(shared, 1)
    first = service.create(wanted())
    assert made(service) == "open_jobs"
    service.cancel(first.id)
    assert made(service) == "made"


def test_a_repeated_request_is_answered_whatever_is_used(shared: Database, tenant: str) -> None:
    set_limits(shared, tenant, {"open_jobs_max": 1})
    service = jobs_of(shared, tenant)
    first = service.create(wanted(idempotency_key="k"))
    assert service.create(wanted(idempotency_key="k")).id == first.id
    assert made(service, idempotency_key="l") == "open_jobs"


def test_a_retry_opens_no_job_too_many(database: Database, settings: Settings) -> None:
    set_limits(database, ACME, {"open_jobs_max": 1})
    failed, queue = planned_job(database, 1, tenant=ACME), Queue(database, settings)
    queue.fail_chunk(claim_of(queue), BROKEN)
    service = jobs_of(database, ACME)
    live = service.create(wanted())
    with pytest.raises(QuotaExceeded, match="open_jobs"):
        service.retry(failed)
    assert (service.get(failed).status, [c.status for c in service.chunks(failed)]) == ("failed", ["failed"])
    service.cancel(live.id)
    assert service.retry(failed).status == "queued"


@pytest.mark.parametrize(
    ("limit", "value", "used"),
    [
        ("bytes_max", 1000, "bytes: 1000 in 24 hours, of which 1000 are used"),
        ("frames_max", 90, "frames: 90 in 24 hours, of which 100 are used"),
        ("cpu_seconds_max", 2.0, "cpu_seconds: 2 in 24 hours, of which 2.5 are used"),
    ],
)
def test_what_a_days_jobs_used_up_is_free_a_day_later(shared: Database, limit: str, value: float, used: str) -> None:
    tenant = limit.replace("_", "-")
    set_limits(shared, tenant, {limit: value})
    job_id = planned_job(shared, 1, tenant=tenant)
    facts = "status = 'done', source_size = 1000, duration_seconds = 4, fps_num = 25, fps_den = 1, frame_count = NULL"
    sql(shared, f"UPDATE {ROWS} SET {facts} WHERE id = :id", id=job_id)
    sql(shared, "UPDATE video_analysis_chunks SET runtime_ms = 2500 WHERE job_id = :id", id=job_id)
    with pytest.raises(QuotaExceeded) as refused:
        jobs_of(shared, tenant).create(wanted())
    assert refused.value.message.startswith(used)
    frees_at = datetime.fromisoformat(refused.value.message.rpartition(" at ")[2].rstrip("."))
    assert timedelta(hours=23.9) < frees_at - datetime.now(UTC) <= timedelta(hours=24)
    assert jobs_of(shared, tenant).list()[0].id == job_id  # and nothing was made
    sql(shared, "UPDATE video_analysis_jobs SET created_at = now() - interval '25 hours' WHERE id = :id", id=job_id)
    assert made(jobs_of(shared, tenant)) == "made"


def test_a_tenant_without_limits_of_its_own_has_the_settings(shared: Database, tenant: str) -> None:
    least = Quotas(open_jobs=1)
    assert [made(jobs_of(shared, tenant, least)) for _ in range(2)] == ["made", "open_jobs"]
    set_limits(shared, tenant, {"open_jobs_max": 2})
    assert [made(jobs_of(shared, tenant, least)) for _ in range(2)] == ["made", "open_jobs"]
    assert [made(JobService(shared, None), tenant=tenant) for _ in range(2)] == ["made", "made"]  # an operator's


# What a source takes is known when it is planned.


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 50 frames."""
    return make_sample(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=2)


def planned(database: Database, settings: Settings, clip: Path) -> tuple[str, str | None, str | None]:
    """Status, error code and message of a job of acme's after its plan."""
    job = JobService(database).create(NewJob("crop", clip.as_uri(), clip.name, tenant=ACME))
    queue = Queue(database, settings)
    claim = queue.claim_job(JobStatus.QUEUED, job.id)
    assert claim is not None
    Planner(database, queue, open_store(settings), settings).plan(claim)
    job = JobService(database).get(UUID(str(job.id)))
    return job.status, job.error_code, job.error_message


@pytest.mark.parametrize(("limit", "words"), [("frames", "frames: 60"), ("bytes", "bytes: ")])
def test_a_job_whose_source_is_too_much_fails_when_it_is_planned(
    database: Database, settings: Settings, clip: Path, limit: str, words: str
) -> None:
    room = {"frames": 60, "bytes": round(clip.stat().st_size * 1.5)}[limit]
    set_limits(database, ACME, {f"{limit}_max": room})
    assert planned(database, settings, clip)[0] == "queued"
    status, code, message = planned(database, settings, clip)
    assert (status, code) == ("failed", "quota_exceeded")
    assert message is not None and message.startswith(words)
    failed = sql(database, f"SELECT source_size, total_chunks, attempts FROM {ROWS} WHERE status = 'failed'")
    assert failed == [{"source_size": None, "total_chunks": None, "attempts": 1}]  # it counts for nothing, and is final


def test_a_client_is_told_with_429(postgres: str, tmp_path: Path) -> None:
    with empty_database(postgres) as url, api_on(url, tmp_path, tenant_max_open_jobs=1) as api:
        api.app.extensions["framefleet"].plan_soon = lambda job_id: None
        acme, other = api.holder("acme", tenant="acme"), api.holder("other", tenant="other")
        body = {"input": "https://films.example/a.mp4"}
        answers = [caller.code(JOBS, "POST", json=body) for caller in (acme, acme, other)]
    assert [status for status, _ in answers] == [202, 429, 202]
    assert answers[1][1] == "quota_exceeded"

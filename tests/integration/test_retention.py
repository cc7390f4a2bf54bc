"""What is past its time goes, rows and objects; what lives, or is not ours, stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backend.db.engine import Database
from backend.db.sql import statement as sql
from backend.errors import InvalidState, JobNotFound, StorageError
from backend.jobs.retention import MANY_ORPHANS, Retention
from backend.jobs.service import JobService, NewJob
from backend.queue.health import oldest_transaction
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.storage import open_store
from backend.storage.base import ObjectStore
from backend.storage.local import LocalStore
from backend.workers.janitor import Janitor
from tests.conftest import Said


class House:
    """Jobs of any age and state, with objects."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.service = JobService(database)
        self.store = open_store(settings)

    def job(self, status: str, age_days: float = 0.0, **columns: Any) -> uuid.UUID:
        job_id = self.service.create(NewJob("crop", "file:///nowhere.mp4", "nowhere.mp4")).id
        final = status in ("done", "failed", "cancelled")
        columns = {"status": status, **columns}
        given = ", ".join(f"{name} = %({name})s" for name in columns)
        self.execute(
            f"UPDATE video_analysis_jobs SET {given}, updated_at = now() - %(age)s * interval '1 day',"
            " completed_at = CASE WHEN %(final)s THEN now() - %(age)s * interval '1 day' END WHERE id = %(id)s",
            {**columns, "age": age_days, "final": final, "id": job_id},
        )
        self.execute(
            "INSERT INTO video_analysis_chunks (job_id, chunk_index, start_pts, end_pts, start_sec, end_sec, status)"
            " VALUES (%(id)s, 0, 0, 1, 0, 1, 'failed')",
            {"id": job_id},
        )
        for name in ("manifest.json", "chunks/chunk_0000.json", "output/film.mp4"):
            self.store.put(f"jobs/{job_id}/{name}", b"x")
        return job_id

    def execute(self, statement: str, params: dict[str, Any] | None = None) -> Any:
        with self.database.transaction() as connection:
            return connection.exec_driver_sql(statement, params or {})

    def objects(self, job_id: uuid.UUID) -> list[str]:
        return list(self.store.list(f"jobs/{job_id}/"))

    def is_gone(self, job_id: uuid.UUID) -> bool:
        known = "SELECT count(*) FROM video_analysis_jobs WHERE id = %(id)s"
        return self.execute(known, {"id": job_id}).scalar_one() == 0 and not self.objects(job_id)

    def is_whole(self, job_id: uuid.UUID) -> bool:
        return self.service.get(job_id) is not None and len(self.objects(job_id)) == 3

    def retention(self, *, dry_run: bool = False, store: ObjectStore | None = None, **changes: float) -> Retention:
        settings = self.settings.model_copy(update=changes)
        return Retention(self.database, store or self.store, settings, dry_run=dry_run)


@pytest.fixture
def house(database: Database, settings: Settings) -> House:
    return House(database, settings)


def test_only_jobs_that_ended_long_ago_are_deleted_with_all_that_is_theirs(house: House) -> None:
    old = [house.job(status, age_days=15) for status in ("done", "failed", "cancelled")]
    young = [house.job(status, age_days=13) for status in ("done", "failed", "cancelled")]
    busy = [house.job(status, age_days=99) for status in ("queued", "processing", "aggregating")]
    house.store.put("films/outside.mp4", b"x")  # written elsewhere by an output_uri
    assert set(house.retention(dry_run=True).delete_expired()) == set(old)
    assert all(house.is_whole(job_id) for job_id in old)
    assert all(house.service.get(job_id).expires_at is None for job_id in old)
    assert set(house.retention().delete_expired()) == set(old)
    assert all(house.is_gone(job_id) for job_id in old)
    assert house.execute("SELECT count(*) FROM video_analysis_chunks").scalar_one() == 6
    assert all(house.is_whole(job_id) for job_id in young + busy)
    assert list(house.store.list("films/")) == ["films/outside.mp4"]


def test_retention_of_zero_days_keeps_everything(house: House) -> None:
    old = house.job("done", age_days=9999)
    assert house.retention(retention_days=0).delete_expired() == []
    assert house.is_whole(old)


class DyingStore(LocalStore):
    """Dies, as a process does, after so many deletions."""

    def __init__(self, root: Path, deletions: int) -> None:
        super().__init__(root)
        self.left = deletions

    def delete(self, key: str) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().delete(key)


@pytest.mark.parametrize("deletions", [0, 1, 2])
def test_what_a_janitor_left_when_it_died_the_next_one_finishes(house: House, deletions: int, tmp_path: Path) -> None:
    old = house.job("failed", age_days=15)
    with pytest.raises(KeyboardInterrupt):
        house.retention(store=DyingStore(tmp_path / "objects", deletions)).delete_expired()
    assert len(house.objects(old)) == 3 - deletions
    with pytest.raises(InvalidState):  # its objects are going: no way back
        house.service.retry(old)
    assert house.retention().delete_expired() == [old]
    assert house.is_gone(old)


class FailingStore(LocalStore):
    """Cannot delete the objects of one job."""

    def __init__(self, root: Path, job_id: uuid.UUID) -> None:
        super().__init__(root)
        self.job_id = job_id

    def delete(self, key: str) -> None:
        if str(self.job_id) in key:
            raise StorageError("away")
        super().delete(key)


def test_a_job_whose_objects_cannot_be_deleted_keeps_no_other_waiting(house: House, tmp_path: Path) -> None:
    stuck, other = house.job("done", age_days=20), house.job("done", age_days=15)
    assert house.retention(store=FailingStore(tmp_path / "objects", stuck)).delete_expired() == [other]
    assert house.is_whole(stuck)
    assert house.retention().delete_expired() == [stuck]


def test_a_retry_that_was_first_keeps_the_job_and_its_objects(house: House) -> None:
    """Two connections: the retry holds the row, uncommitted, while the janitor looks for what is old."""
    old = house.job("failed", age_days=15)
    with house.database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE video_analysis_jobs SET status = 'queued', completed_at = NULL WHERE id = %(id)s", {"id": old}
        )
        assert house.retention().delete_expired() == []
    assert house.retention().delete_expired() == []
    assert house.is_whole(old)


def test_a_retry_that_comes_second_is_refused(house: House) -> None:
    """The janitor's mark is uncommitted when the retry asks; the retry waits for it, and finds the job going."""
    old = house.job("failed", age_days=15)
    with ThreadPoolExecutor(1) as pool:
        with house.database.transaction() as connection:
            connection.exec_driver_sql("UPDATE video_analysis_jobs SET expires_at = now()")
            retry = pool.submit(house.service.retry, old)
            with pytest.raises(TimeoutError):
                retry.result(timeout=0.2)
        with pytest.raises(InvalidState):
            retry.result(timeout=60)
    assert house.service.get(old).status == "failed"
    assert [chunk.status for chunk in house.service.chunks(old)] == ["failed"]


def test_a_retry_in_the_middle_of_the_deletion_waits_and_finds_no_job(house: House) -> None:
    """Both lock chunks first: the retry waits for them, holding nothing, and there is no deadlock."""
    old = house.job("failed", age_days=15, expires_at="2000-01-01")
    with ThreadPoolExecutor(1) as pool:
        with house.database.transaction() as connection:
            connection.execute(sql("delete_expired_chunks"), {"job_id": old})
            retry = pool.submit(house.service.retry, old)
            with pytest.raises(TimeoutError):
                retry.result(timeout=0.2)
            assert connection.execute(sql("delete_expired_job"), {"job_id": old}).rowcount == 1
        with pytest.raises(JobNotFound):
            retry.result(timeout=60)


def test_a_retried_job_is_not_deleted_for_its_first_end(house: House) -> None:
    job = house.job("failed", age_days=1, expires_at="2999-01-01")
    assert house.service.retry(job).expires_at is None


def test_two_janitors_at_once_delete_each_job_once(house: House, said: list[Said]) -> None:
    old = {house.job("done", age_days=15) for _ in range(12)}
    kept = house.job("done", age_days=1)
    start = threading.Barrier(2)

    def sweep() -> list[uuid.UUID]:
        start.wait()
        return house.retention().delete_expired()

    with ThreadPoolExecutor(2) as pool:
        deleted = [job_id for run in [pool.submit(sweep) for _ in range(2)] for job_id in run.result(timeout=20)]
    assert len(deleted) == len(set(deleted))
    assert set(deleted) == old
    assert all(house.is_gone(job_id) for job_id in old)
    assert house.is_whole(kept)
    assert "error" not in {each.level for each in said}


def test_an_abandoned_upload_is_cancelled_and_its_objects_go(house: House) -> None:
    abandoned, alive = house.job("uploading", age_days=2), house.job("uploading", age_days=0.5)
    assert house.retention(dry_run=True).expire_uploads() == [abandoned]
    assert house.is_whole(abandoned)
    assert house.retention().expire_uploads() == [abandoned]
    job = house.service.get(abandoned)
    assert (job.status, job.error_code, house.objects(abandoned)) == ("cancelled", "upload_expired", [])
    assert house.service.get(alive).status == "uploading"
    assert house.is_whole(alive)
    assert house.retention().delete_expired() == []  # for a day its client is told what happened
    house.execute("UPDATE video_analysis_jobs SET expires_at = expires_at - interval '1 day'")
    assert house.retention(retention_days=0).delete_expired() == [abandoned]


def test_an_upload_that_is_completed_meanwhile_is_left_alone(house: House) -> None:
    abandoned = house.job("uploading", age_days=2)
    with house.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE video_analysis_jobs SET status = 'queued'")
        assert house.retention().expire_uploads() == []
    assert house.retention().expire_uploads() == []
    assert house.is_whole(abandoned)


class AgedStore(LocalStore):
    """As if nothing had been written for so long."""

    untouched = 2 * 24 * 3600.0

    def untouched_seconds(self, prefix: str) -> float | None:
        return None if super().untouched_seconds(prefix) is None else self.untouched


@pytest.fixture
def aged_store(tmp_path: Path) -> Iterator[AgedStore]:
    yield AgedStore(tmp_path / "objects")


def test_objects_without_a_job_go_after_a_day(house: House, aged_store: AgedStore) -> None:
    alive = [house.job("queued", age_days=99) for _ in range(2)]
    orphan = uuid.uuid4()
    keys = [f"jobs/{orphan}/source", "jobs/not-an-id/source", "elsewhere/source", f"jobs/{orphan.hex}/source"]
    for key in keys:
        house.store.put(key, b"x")
    assert house.retention().delete_orphans() == []  # written just now
    assert house.retention(dry_run=True, store=aged_store).delete_orphans() == [orphan]
    assert house.retention(store=aged_store).delete_orphans() == [orphan]
    left = [key for key in house.store.list("") if key in keys]
    assert sorted(left) == sorted(keys[1:])
    assert all(house.is_whole(job_id) for job_id in alive)


@pytest.mark.parametrize(("jobs", "orphans"), [(0, 1), (3, MANY_ORPHANS + 1)])
def test_the_objects_of_another_database_are_not_taken_for_orphans(
    house: House, aged_store: AgedStore, jobs: int, orphans: int, said: list[Said]
) -> None:
    for _ in range(jobs):
        house.job("queued")
    for _ in range(orphans):
        house.store.put(f"jobs/{uuid.uuid4()}/source", b"x")
    assert house.retention(store=aged_store).delete_orphans() == []
    assert "orphans_kept" in {each.event for each in said}
    assert len(house.retention(store=aged_store).delete_orphans(even_many=True)) == orphans


def test_the_oldest_transaction_is_found_and_warned_of(house: House, settings: Settings, said: list[Said]) -> None:
    impatient = settings.model_copy(update={"oldest_transaction_warn_seconds": 0.1})
    janitor = Janitor(house.database, Queue(house.database, settings), house.store, impatient)
    assert oldest_transaction(house.database) is None
    with house.database.transaction() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        connection.exec_driver_sql("SELECT pg_sleep(0.2)")
        found = janitor.report_oldest_transaction()
    assert found is not None
    assert (found.pid, found.state) == (pid, "idle in transaction")
    assert 0.2 <= found.seconds < 30
    assert ("oldest_transaction", "warning") in {(each.event, each.level) for each in said}


def test_cleanup_says_what_it_removes_and_a_dry_run_removes_nothing(house: House, tmp_path: Path) -> None:
    old, abandoned = house.job("done", age_days=15), house.job("uploading", age_days=2)
    temporary = tmp_path / "temporary"
    left = temporary / "framefleet-work-killed"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    assert house.settings.database_url is not None
    env = dict(os.environ) | {
        "DATABASE_URL": house.settings.database_url.get_secret_value(),
        "STORAGE_URL": house.settings.storage_root_url,
        "TMPDIR": str(temporary),
    }

    expected = {
        "rescued_claims": 0,
        "expired_uploads": [str(abandoned)],
        "deleted_jobs": [str(old)],
        "deleted_orphans": [],
        "removed_folders": [str(left)],
        "oldest_transaction_seconds": 0.0,
    }
    both = (
        "import sys; from backend.cli import cli\n"
        "cli(['cleanup', '--json', '--dry-run'], standalone_mode=False)\n"
        "sys.stdin.readline()\n"
        "cli(['cleanup', '--json'], standalone_mode=False)"
    )  # one process: its start is most of the time
    command = [sys.executable, "-u", "-c", both]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"dry_run": True, **expected}
        assert house.is_whole(old)
        assert house.is_whole(abandoned)
        assert left.exists()
        printed, _ = process.communicate("go on\n", timeout=60)
    assert json.loads(printed) == {"dry_run": False, **expected}
    assert process.returncode == 0
    assert house.is_gone(old)
    assert house.objects(abandoned) == []
    assert not left.exists()

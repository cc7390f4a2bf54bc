"""Deletes what nobody waits for any more: abandoned uploads, jobs past their time, objects without a job.

Several may run at once, and each may be killed at any point: the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from backend.db.engine import PATIENT_SEC, Database
from backend.db.sql import statement
from backend.errors import FramefleetError
from backend.events import Event, emit, warn
from backend.jobs.layout import folder
from backend.jobs.upload_sweep import UploadSweep
from backend.settings import Settings
from backend.storage.base import ObjectStore

BATCH = 100
MAX_BATCHES = 100  # in one run; the rest waits for the next
DAY_SEC = 24 * 3600
ORPHAN_AGE_SEC = DAY_SEC
# More strangers than this, and more than this share: it is rather the wrong database than so many orphans.
MANY_ORPHANS = 10
MANY_ORPHANS_SHARE = 0.1


class Retention:
    """With `dry_run` nothing is changed, and what would be is returned."""

    def __init__(self, database: Database, store: ObjectStore, settings: Settings, *, dry_run: bool = False) -> None:
        self._database = database
        self._store = store
        self._settings = settings
        self._dry_run = dry_run

    def expire_uploads(self) -> list[UUID]:
        """Ends uploads that nobody went on with for UPLOAD_EXPIRE_HOURS; returns their ids. Jobs in `uploading` are
        those of earlier versions."""
        idle_seconds = self._settings.upload_expire_hours * 3600
        expired = self._changed("expire_uploads", idle_seconds=idle_seconds)
        for job_id in [] if self._dry_run else expired:
            emit(Event.UPLOAD_EXPIRED, job_id=str(job_id))
            self._delete_objects(job_id)
        return [*expired, *UploadSweep(self._database, self._store, dry_run=self._dry_run).expire()]

    def delete_expired(self) -> list[UUID]:
        """Jobs that ended RETENTION_DAYS ago (0 keeps them), and whatever an earlier run had marked; returns them."""
        marked = self._mark() if self._settings.retention_days > 0 else []
        if self._dry_run:
            return list(dict.fromkeys([*self._expired(), *marked]))
        deleted: list[UUID] = []
        for _ in range(MAX_BATCHES):
            batch = self._expired()
            gone = [job_id for job_id in batch if self._delete(job_id)]
            deleted += gone
            if not gone:
                break
            if self._settings.retention_days > 0:
                self._mark()
        return deleted

    def delete_orphans(self, *, even_many: bool = False) -> list[UUID]:
        """Objects below jobs/{id}/ whose job has no row, a day after the last of them was written; returns the ids.

        Very many of them are left alone, with a warning, unless `even_many`.
        """
        folders = [job_id for name in self._store.folders("jobs/") if (job_id := _job_id(name)) is not None]
        orphans = list(self._without_row(folders))
        most = max(MANY_ORPHANS, int(len(folders) * MANY_ORPHANS_SHARE))
        if orphans and not even_many and (len(orphans) > most or len(orphans) == len(folders)):
            warn(Event.ORPHANS_KEPT, orphans=len(orphans), folders=len(folders))
            return []
        return [job_id for job_id in orphans if self._delete_orphan(job_id)]

    def _mark(self) -> list[UUID]:
        return self._changed("mark_expired_jobs", retention_seconds=self._settings.retention_days * DAY_SEC)

    def _changed(self, name: str, **params: float) -> list[UUID]:
        with self._database.transaction(patience_sec=PATIENT_SEC) as connection:
            found = list(connection.execute(statement(name), {**params, "batch": BATCH}).scalars())
            if self._dry_run:
                connection.rollback()
        return found

    def _expired(self) -> list[UUID]:
        with self._database.transaction(patience_sec=PATIENT_SEC) as connection:
            return list(connection.execute(statement("expired_jobs"), {"batch": BATCH}).scalars())

    def _delete(self, job_id: UUID) -> bool:
        """Objects first: a row without objects says what it is, objects without a row are found by nobody's job."""
        try:
            self._delete_objects(job_id)
        except FramefleetError as failure:
            warn(Event.DUTY_FAILED, duty="retention", job_id=str(job_id), message=failure.message)
            self._execute(job_id, "postpone_expired_job")
            return False
        if self._execute(job_id, "delete_expired_chunks", "delete_expired_job") == 0:
            return False
        emit(Event.JOB_DELETED, job_id=str(job_id))
        return True

    def _delete_orphan(self, job_id: UUID) -> bool:
        untouched_sec = self._store.untouched_seconds(folder(job_id))
        if untouched_sec is None or untouched_sec < ORPHAN_AGE_SEC:
            return False
        if not list(self._without_row([job_id])):  # the row came meanwhile
            return False
        if not self._dry_run:
            self._delete_objects(job_id)
            emit(Event.ORPHAN_DELETED, job_id=str(job_id))
        return True

    def _without_row(self, job_ids: Sequence[UUID]) -> Iterator[UUID]:
        for start in range(0, len(job_ids), BATCH):
            some = list(job_ids[start : start + BATCH])
            with self._database.transaction(patience_sec=PATIENT_SEC) as connection:
                known = set(connection.execute(statement("known_jobs"), {"job_ids": some}).scalars())
            yield from (job_id for job_id in some if job_id not in known)

    def _delete_objects(self, job_id: UUID) -> None:
        for key in self._store.list(folder(job_id)):
            self._store.delete(key)

    def _execute(self, job_id: UUID, *names: str) -> int:
        """In one transaction; returns how many rows the last statement met."""
        with self._database.transaction(patience_sec=PATIENT_SEC) as connection:
            counts = [connection.execute(statement(name), {"job_id": job_id}).rowcount for name in names]
        return counts[-1]


def _job_id(name: str) -> UUID | None:
    try:
        job_id = UUID(name)
    except ValueError:
        return None
    return job_id if str(job_id) == name else None

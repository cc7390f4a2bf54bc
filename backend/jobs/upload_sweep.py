"""Ends uploads that nobody goes on with, and what an abort that was killed left. Any number may run at once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from backend.db.engine import PATIENT_SEC, Database
from backend.db.sql import statement
from backend.errors import FramefleetError
from backend.events import Event, emit, warn
from backend.jobs.layout import source_key
from backend.storage.base import ObjectStore

BATCH = 100


class UploadSweep:
    """Of all tenants. With `dry_run` nothing is changed, and what would be is returned."""

    def __init__(self, database: Database, store: ObjectStore, *, dry_run: bool = False) -> None:
        self._database = database
        self._parts = store.parts()
        self._dry_run = dry_run

    def expire(self) -> list[UUID]:
        """The uploads that were ended, which are those whose time was over."""
        expired = [row.id for row in self._rows("expire_parted_uploads", batch=BATCH)]
        if self._dry_run:
            return expired
        for row in self._rows("aborted_uploads", batch=BATCH):
            self._remove(row.id, row.handle)
        for upload_id in expired:
            emit(Event.UPLOAD_EXPIRED, upload_id=str(upload_id))
        self._execute("forget_used_uploads")
        return expired

    def _remove(self, upload_id: UUID, handle: str | None) -> None:
        """Bytes first: of a row without bytes nobody misses anything, bytes without a row are found by nobody."""
        try:
            self._parts.discard(source_key(upload_id), handle)
        except FramefleetError as failure:
            warn(Event.DUTY_FAILED, duty="uploads", upload_id=str(upload_id), message=failure.message)
            return
        self._execute("forget_upload", id=upload_id)

    def _rows(self, name: str, **params: Any) -> list[Any]:
        with self._database.transaction(patience_sec=PATIENT_SEC) as connection:
            found = list(connection.execute(statement(name), params))
            if self._dry_run:
                connection.rollback()
        return found

    def _execute(self, name: str, **params: Any) -> None:
        with self._database.transaction(patience_sec=PATIENT_SEC) as connection:
            connection.execute(statement(name), params)

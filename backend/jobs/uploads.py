"""Files that arrive in parts, until a job takes them over. No HTTP in here.

An upload's id is that of the job that it becomes the input of: its bytes lie below jobs/{id}/ once they are whole, are
never copied, and go with the job.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, BinaryIO, Literal
from uuid import UUID, uuid4

from sqlalchemy import Connection

from backend.db.engine import Database
from backend.db.sql import statement
from backend.errors import (
    InvalidState,
    InvalidValue,
    ObjectNotFound,
    StorageError,
    UploadIncomplete,
    UploadNotFound,
    UploadQuotaReached,
    UploadTooLarge,
    writable,
)
from backend.events import Event, emit
from backend.jobs.layout import source_key
from backend.settings import Settings
from backend.states import UploadState
from backend.storage.base import ObjectStore, SignedPut
from backend.storage.parts import Cut, Part

LINK_SECONDS = 300
SHOWN_MISSING = 20


@dataclass(frozen=True)
class NewUpload:
    """`name` is what the user calls the file: data, never a path. `sha256` is of the whole, in hex."""

    name: str
    size_bytes: int
    content_type: str | None = None
    sha256: str | None = None
    checks_parts: bool = False


@dataclass(frozen=True)
class Upload:
    id: UUID
    tenant: str
    name: str
    content_type: str | None
    size_bytes: int
    part_bytes: int
    sha256: str | None
    checks_parts: bool
    handle: str
    state: UploadState
    created_at: datetime
    expires_at: datetime

    @property
    def cut(self) -> Cut:
        return Cut(self.size_bytes, self.part_bytes)

    @property
    def key(self) -> str:
        return source_key(self.id)


@dataclass(frozen=True)
class Link:
    """How a part goes. `signed` is None where it is sent to the API."""

    number: int
    size_bytes: int
    signed: SignedPut | None


class Uploads:
    """Those of one tenant. Every method raises UploadNotFound for one that is not there, or somebody else's."""

    def __init__(self, database: Database, store: ObjectStore, settings: Settings, *, tenant: str = "default") -> None:
        self._database = database
        self._parts = store.parts()
        self._settings = settings
        self._tenant = tenant

    def check_room(self, size_bytes: int) -> None:
        """Raises StorageFull."""
        self._parts.check_room(size_bytes, self._settings.upload_free_bytes_min)

    def begin(self, new: NewUpload) -> Upload:
        """Raises UploadTooLarge, UploadQuotaReached, StorageFull, StorageError."""
        if new.size_bytes > self._settings.max_upload_bytes:
            raise UploadTooLarge(f"A file may have at most {self._settings.max_upload_bytes} bytes.")
        upload_id = uuid4()
        cut = Cut.of(new.size_bytes, max(self._settings.upload_part_bytes, self._parts.least_part_bytes))
        self._insert(upload_id, new, cut)
        try:
            floor_bytes = self._settings.upload_free_bytes_min
            begun = self._parts.begin(
                source_key(upload_id), cut, checks_parts=new.checks_parts, floor_bytes=floor_bytes
            )
        except StorageError:
            self._change("abort_upload", upload_id)
            self._change("forget_upload", upload_id)
            raise
        self._change("name_upload", upload_id, handle=begun.handle, checks_parts=begun.checks_parts)
        emit(Event.UPLOAD_BEGUN, upload_id=str(upload_id), size_bytes=new.size_bytes, parts=cut.parts)
        return self.get(upload_id)

    def get(self, upload_id: UUID) -> Upload:
        with self._database.transaction() as connection:
            row = connection.execute(statement("find_upload"), {"id": upload_id, "tenant": self._tenant}).one_or_none()
        if row is None:
            raise UploadNotFound("There is no such upload: it was aborted, or nobody went on with it. Begin a new one.")
        return replace(Upload(**row._mapping), state=UploadState(row.state))

    def what_is_checked(self, upload: Upload) -> Literal["sha256", "parts", "size"]:
        """How sure `complete` is that the bytes are those that were meant."""
        if upload.sha256 is not None and self._parts.verifies_whole():
            return "sha256"
        return "parts" if upload.checks_parts else "size"

    def received(self, upload: Upload) -> list[Part]:
        """The parts that are there, by number; none of an upload that is over."""
        if upload.state is not UploadState.OPEN:
            return []
        try:
            stored = self._parts.stored(upload.key, upload.handle)
        except ObjectNotFound:  # completed or aborted just now
            return []
        return self._noted(upload) if stored is None else stored

    def links(self, upload_id: UUID, wanted: Sequence[tuple[int, str | None]]) -> list[Link]:
        """For parts, each with its SHA-256 in hex where there is one. Raises InvalidValue, InvalidState."""
        upload = self._open(upload_id)
        links = [self._link(upload, number, sha256) for number, sha256 in wanted]
        self._change("touch_upload", upload_id, expire_seconds=self._expire_seconds)
        return links

    def put(self, upload_id: UUID, number: int, length: int, sha256: str | None, stream: BinaryIO) -> Part:
        """Stores a part, in place of what was sent of it before. Nothing is read of a stream that is refused.

        Raises InvalidValue, InvalidState, ChecksumMismatch, StorageFull, UploadBusy.
        """
        upload = self._open(upload_id)
        self._check_part(upload, number, sha256)
        if length != upload.cut.length_of(number):
            raise InvalidValue(f"Part {number} has {upload.cut.length_of(number)} bytes; this one has {length}.")
        place = (upload.key, upload.handle, upload.cut)
        floor_bytes = self._settings.upload_free_bytes_min
        try:
            with self._parts.alone(*place, number):
                if not self._change("begin_upload_part", upload_id, number=number):
                    raise self._over(upload_id)
                part = self._parts.write(*place, number, stream, sha256=sha256, floor_bytes=floor_bytes)
                if not self._change("put_upload_part", upload_id, **self._noted_as(part)):
                    raise self._over(upload_id)
        except ObjectNotFound:
            raise self._over(upload_id) from None
        return part

    def complete(self, upload_id: UUID) -> Upload:
        """The upload, whole and unchangeable; completing twice changes nothing.

        Raises UploadIncomplete, UploadBusy, ChecksumMismatch, InvalidState.
        """
        upload = self.get(upload_id)
        if upload.state is not UploadState.OPEN:
            return upload
        try:
            with self._parts.alone(upload.key, upload.handle, upload.cut):
                parts = self._complete_parts(upload)
                self._parts.finish(upload.key, upload.handle, upload.cut, parts, sha256=upload.sha256)
                moved = self._change("complete_upload", upload_id, expire_seconds=self._expire_seconds)
        except ObjectNotFound:
            raise self._over(upload_id) from None
        if not moved:
            return self._lost(upload)
        emit(Event.UPLOAD_COMPLETE, upload_id=str(upload_id), size_bytes=upload.size_bytes)
        return self.get(upload_id)

    def abort(self, upload_id: UUID) -> None:
        """Raises InvalidState for one that a job has taken over."""
        upload = self.get(upload_id)
        if not self._change("abort_upload", upload_id):
            raise self._over(upload_id)
        self._parts.discard(upload.key, upload.handle)
        self._change("forget_upload", upload_id)
        emit(Event.UPLOAD_ABORTED, upload_id=str(upload_id))

    @property
    def _expire_seconds(self) -> float:
        return self._settings.upload_expire_hours * 3600

    def _open(self, upload_id: UUID) -> Upload:
        upload = self.get(upload_id)
        if upload.state is not UploadState.OPEN:
            raise _closed(upload)
        return upload

    def _over(self, upload_id: UUID) -> Exception:
        """What to say of one that was open a moment ago."""
        try:
            return _closed(self.get(upload_id))
        except UploadNotFound as gone:
            return gone

    def _lost(self, upload: Upload) -> Upload:
        """Another request completed it, or somebody aborted it: then what was made of it goes too."""
        with suppress(UploadNotFound):
            return self.get(upload.id)
        self._parts.discard(upload.key, upload.handle)
        return self.get(upload.id)

    def _link(self, upload: Upload, number: int, sha256: str | None) -> Link:
        self._check_part(upload, number, sha256)
        signed = self._parts.sign(
            upload.key, upload.handle, upload.cut, number, sha256=sha256, expires_sec=LINK_SECONDS
        )
        return Link(number, upload.cut.length_of(number), signed)

    def _check_part(self, upload: Upload, number: int, sha256: str | None) -> None:
        if not 1 <= number <= upload.cut.parts:
            raise InvalidValue(f"The upload has parts 1 to {upload.cut.parts}.")
        if upload.checks_parts and sha256 is None:
            raise InvalidValue(f"Part {number} needs its SHA-256: the upload was begun with part_checksum.")

    def _complete_parts(self, upload: Upload) -> list[Part]:
        """All of them. Raises UploadIncomplete, ObjectNotFound."""
        stored = self._parts.stored(upload.key, upload.handle)
        parts = self._noted(upload) if stored is None else stored
        there = {part.number for part in parts if part.size_bytes == upload.cut.length_of(part.number)}
        missing = [number for number in range(1, upload.cut.parts + 1) if number not in there]
        if missing:
            shown = ", ".join(map(str, missing[:SHOWN_MISSING])) + (", …" if len(missing) > SHOWN_MISSING else "")
            raise UploadIncomplete(f"Parts are missing: {shown}. Send them, then complete the upload again.")
        return parts

    def _noted(self, upload: Upload) -> list[Part]:
        with self._database.transaction() as connection:
            params = {"id": upload.id, "tenant": self._tenant}
            rows = connection.execute(statement("list_upload_parts"), params).all()
        return [Part(row.number, upload.cut.length_of(row.number), row.sha256) for row in rows]

    def _insert(self, upload_id: UUID, new: NewUpload, cut: Cut) -> None:
        values = {
            "id": upload_id,
            "tenant": self._tenant,
            "name": writable(new.name),
            "content_type": None if new.content_type is None else writable(new.content_type),
            "size_bytes": new.size_bytes,
            "part_bytes": cut.part_bytes,
            "sha256": new.sha256,
            "checks_parts": new.checks_parts,
            "expire_seconds": self._expire_seconds,
            "open_max": self._settings.uploads_open_max,
            "open_bytes_max": self._settings.uploads_open_bytes_max,
        }
        with self._database.transaction() as connection:
            connection.execute(statement("uploads_turn"), {"tenant": self._tenant})
            if connection.execute(statement("begin_upload"), values).rowcount == 0:
                most, most_bytes = self._settings.uploads_open_max, self._settings.uploads_open_bytes_max
                raise UploadQuotaReached(
                    f"At most {most} uploads, of {most_bytes} bytes in all, may be open at once: make jobs of those "
                    "that are complete, or abort some."
                )

    def _noted_as(self, part: Part) -> dict[str, Any]:
        return {"number": part.number, "sha256": part.sha256, "expire_seconds": self._expire_seconds}

    def _change(self, name: str, upload_id: UUID, **params: Any) -> bool:
        """Whether the statement found the upload in the state that it is for."""
        with self._database.transaction() as connection:
            return _changed(connection, name, id=upload_id, tenant=self._tenant, **params)


def use_upload(connection: Connection, upload_id: UUID, tenant: str) -> None:
    """In the transaction that writes its job. Raises InvalidState."""
    if not _changed(connection, "use_upload", id=upload_id, tenant=tenant):
        raise InvalidState("The upload is not complete, or another job has it already.")


def check_usable(upload: Upload) -> None:
    """Raises InvalidState."""
    if upload.state is UploadState.OPEN:
        raise InvalidState("The upload is not complete: send the missing parts, then complete it.")
    if upload.state is UploadState.USED:
        raise _closed(upload)


def _changed(connection: Connection, name: str, **params: Any) -> bool:
    return connection.execute(statement(name), params).rowcount > 0


def _closed(upload: Upload) -> InvalidState:
    if upload.state is UploadState.USED:
        return InvalidState(f"The upload is the input of job {upload.id} already.")
    return InvalidState("The upload is complete: no part of it can be changed. Make a job of it, or begin a new one.")

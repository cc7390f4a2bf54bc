"""Jobs and chunks page by page. A cursor is a place in the order, so a page holds while rows come and go."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar
from uuid import UUID

from sqlalchemy import Select, bindparam, func, or_, select, tuple_

from backend.db.engine import Database
from backend.db.models import Chunk, Job
from backend.errors import InvalidValue
from backend.states import JobStatus

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_BEGINS_AN_ID = re.compile(r"[0-9a-fA-F]{8}[0-9a-fA-F-]{0,28}")
Query = TypeVar("Query", Select[Job], Select[str, int])
BAD_CURSOR = "cursor: must be what the page before gave as `next`."


@dataclass(frozen=True)
class JobCursor:
    """The last job of a page."""

    created_at: datetime
    id: UUID

    @classmethod
    def at(cls, job: Job) -> Self:
        return cls(job.created_at, job.id)

    def __str__(self) -> str:
        return _encoded(">q16s", (self.created_at - EPOCH) // MICROSECOND, self.id.bytes)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidValue."""
        microseconds, id_bytes = _decoded(">q16s", text)
        return cls(_moment(microseconds), UUID(bytes=id_bytes))


@dataclass(frozen=True)
class ChunkCursor:
    """The last chunk of a page."""

    created_at: datetime
    chunk_index: int
    id: int

    @classmethod
    def at(cls, chunk: Chunk) -> Self:
        return cls(chunk.created_at, chunk.chunk_index, chunk.id)

    def __str__(self) -> str:
        return _encoded(">qiq", (self.created_at - EPOCH) // MICROSECOND, self.chunk_index, self.id)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidValue."""
        microseconds, chunk_index, chunk_id = _decoded(">qiq", text)
        return cls(_moment(microseconds), chunk_index, chunk_id)


@dataclass(frozen=True)
class JobFilter:
    """Which jobs; all of what is said must hold. The times are exclusive."""

    statuses: Sequence[str] = ()
    kind: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    # In the input's name, in small or large letters; or how the job's id begins, from eight digits on.
    name_has: str | None = None


def list_jobs(database: Database, wanted: JobFilter, *, limit: int, after: JobCursor | None = None) -> Sequence[Job]:
    """Newest first, from behind `after`. One more than a page tells whether there is another."""
    query = jobs_query(database.tenant, wanted).limit(limit)
    if after is not None:
        query = query.where(tuple_(Job.created_at, Job.id) < tuple_(after.created_at, after.id))
    with database.session() as session:
        return session.execute(query).scalars().all()


def jobs_query(tenant: str | None, wanted: JobFilter) -> Select[Job]:
    """Newest first. The tenant's name stands in the statement itself: planned for all tenants alike, that of a small
    one would walk over everybody's newest jobs. Which rows there are to see is
    not decided here (backend/db/tenancy.py).
    """
    query = _filtered(select(Job), wanted).order_by(Job.created_at.desc(), Job.id.desc())
    if tenant is None:
        return query
    return query.where(Job.tenant == bindparam("tenant", tenant, literal_execute=True))


def count_jobs(database: Database, wanted: JobFilter) -> dict[str, int]:
    """How many there are in each status, zeros too; which statuses are wanted does not matter."""
    query = _filtered(select(Job.status, func.count()), replace(wanted, statuses=())).group_by(Job.status)
    if database.tenant is not None:
        query = query.where(Job.tenant == bindparam("tenant", database.tenant, literal_execute=True))
    with database.session() as session:
        found = {status: count for status, count in session.execute(query)}
    return {status: found.get(status, 0) for status in JobStatus}


def list_chunks(database: Database, job_id: UUID, *, limit: int, after: ChunkCursor | None = None) -> Sequence[Chunk]:
    """In order, from behind `after`."""
    place = (Chunk.created_at, Chunk.chunk_index, Chunk.id)
    query = select(Chunk).where(Chunk.job_id == job_id).order_by(*place).limit(limit)
    if after is not None:
        query = query.where(tuple_(*place) > tuple_(after.created_at, after.chunk_index, after.id))
    with database.session() as session:
        return session.execute(query).scalars().all()


def _filtered(query: Query, wanted: JobFilter) -> Query:
    if len(wanted.statuses) == 1:  # the index gives these in order
        query = query.where(Job.status == wanted.statuses[0])
    elif wanted.statuses:
        query = query.where(Job.status.in_(wanted.statuses))
    if wanted.kind is not None:
        query = query.where(Job.kind == wanted.kind)
    if wanted.created_after is not None:
        query = query.where(Job.created_at > wanted.created_after)
    if wanted.created_before is not None:
        query = query.where(Job.created_at < wanted.created_before)
    if wanted.name_has:
        is_named = func.strpos(func.lower(Job.input_name), wanted.name_has.lower()) > 0
        ids = _ids_that_begin(wanted.name_has)
        query = query.where(or_(is_named, Job.id.between(*ids)) if ids else is_named)
    return query


def _ids_that_begin(text: str) -> tuple[UUID, UUID] | None:
    """The first and the last of them; None where it is not how an id begins."""
    if not _BEGINS_AN_ID.fullmatch(text.strip()):
        return None
    digits = text.strip().replace("-", "")
    return (UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))) if len(digits) <= 32 else None


def _encoded(layout: str, *values: int | bytes) -> str:
    return base64.urlsafe_b64encode(struct.pack(layout, *values)).decode().rstrip("=")


def _decoded(layout: str, text: str) -> tuple[Any, ...]:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return struct.unpack(layout, data)
    except (ValueError, binascii.Error, struct.error):
        raise InvalidValue(BAD_CURSOR, [("cursor", BAD_CURSOR)]) from None


def _moment(microseconds: int) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise InvalidValue(BAD_CURSOR, [("cursor", BAD_CURSOR)]) from None

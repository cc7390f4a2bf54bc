"""Versions: jobs that go on from the finished chunks of another, with other parameters, and detect nothing.

A family has a first job, whose `version` is 1, and versions of it, numbered in order. Artifacts stay in the first job's
folder and are deleted with the last of the family (db/sql/nobody_rests_on.sql).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import or_, select

from backend.db.engine import PATIENT_SEC, Database
from backend.db.models import Chunk, Job
from backend.db.sql import statement
from backend.errors import InvalidParams, InvalidState, SourceExpired, StorageError
from backend.events import Event, emit
from backend.jobs import manifest
from backend.jobs.layout import manifest_key
from backend.jobs.quotas import Quotas
from backend.jobs.service import JobService
from backend.jobs.sources import is_copied
from backend.kinds import kind_named
from backend.kinds.base import JSON_TYPE
from backend.media.sound_facts import as_probed
from backend.states import LAST_WORDS, WebhookEvent
from backend.storage.base import ObjectStore
from backend.storage.post import check_callback_url
from backend.versions import SCHEMA_VERSION

FORGOTTEN = "The signed link of the input was forgotten when the job ended: run it again with a fresh link."
DELETED = "The job's time is over: it is being deleted. Submit the video again."


@dataclass(frozen=True)
class NewVersion:
    """`params` are all of them, not only those that change (`Kind.laid_over`)."""

    params: dict[str, Any]
    idempotency_key: str | None = None
    request_sha256: str | None = None
    trace_context: str | None = None
    webhook_url: str | None = field(default=None, repr=False)  # may hold a secret
    webhook_events: Sequence[WebhookEvent] = LAST_WORDS
    job_id: UUID = field(default_factory=uuid4)


class Versions:
    """On a tenant's view of the database all of it is about that tenant's jobs."""

    def __init__(self, database: Database, store: ObjectStore, quotas: Quotas | None = None) -> None:
        self._database = database
        self._store = store
        self._jobs = JobService(database, quotas)
        self._quotas = quotas

    def family(self, job_id: UUID) -> Sequence[Job]:
        """The first job and its versions, in order. Raises JobNotFound."""
        job = self._jobs.get(job_id)
        root = job.version_of or job.id
        query = select(Job).where(or_(Job.id == root, Job.version_of == root)).order_by(Job.version)
        with self._database.session() as session:
            return session.execute(query).scalars().all()

    def create(self, parent_id: UUID, request: NewVersion) -> Job:
        """The version's row, which an analysis worker can claim; the earlier one when the idempotency key was seen.

        Raises JobNotFound, InvalidState while the chunks are not complete, InvalidParams for a parameter that chunks
        are made of, SourceExpired where the input's link was forgotten, QuotaExceeded, StorageError.
        """
        parent = self._jobs.get(parent_id)
        chunks = shared_chunks(self._jobs, parent)
        check_same_chunks(parent, request.params)
        if is_forgotten(parent) and not is_copied(parent.input_uri, parent.source_etag):
            raise SourceExpired(FORGOTTEN)
        if request.webhook_url is not None:
            check_callback_url(request.webhook_url, "webhook_url")
        key = manifest_key(request.job_id)
        self._store.put(key, self._manifest(parent, request, chunks), content_type=JSON_TYPE)
        try:
            made = self._make(parent, request, len(chunks), chunks[0].phase)
        except BaseException:
            self._drop(key)
            raise
        if made is None:
            self._drop(key)
            return self._earlier(request)
        emit(Event.JOB_CREATED, job_id=str(made), kind=parent.kind, version_of=str(parent.version_of or parent.id))
        return self._jobs.get(made)

    def _make(self, parent: Job, request: NewVersion, chunks: int, phase: str) -> UUID | None:
        """The row and its chunks in one transaction. None where the idempotency key is another job's."""
        kind = kind_named(parent.kind)
        columns = {
            "id": request.job_id,
            "parent_id": parent.id,
            "params": json.dumps(kind.parse_params(request.params).model_dump(mode="json")),
            "output_ending": kind.output.ending(parent.input_name, None),
            "phase": phase,
            "chunks": chunks,
            "schema_version": SCHEMA_VERSION,
            "idempotency_key": request.idempotency_key,
            "request_sha256": request.request_sha256,
            "trace_context": request.trace_context,
            "webhook_url": request.webhook_url,
            "webhook_events": None if request.webhook_url is None else [str(each) for each in request.webhook_events],
        }
        with self._database.transaction(patience_sec=PATIENT_SEC) as connection:
            quotas = self._quotas and self._quotas.begin(connection, parent.tenant)
            root = {"job_id": parent.version_of or parent.id}
            if connection.execute(statement("lock_source"), root).one_or_none() is None:
                raise InvalidState(DELETED)
            made = connection.execute(statement("make_version"), columns).scalar_one_or_none()
            if made is None:
                return None
            taken = connection.execute(
                statement("take_chunks"), {"job_id": made, "parent_id": parent.id, "phase": phase, "chunks": chunks}
            ).rowcount
            if taken != chunks:
                raise InvalidState(DELETED)
            if quotas is not None:
                quotas.check_open_jobs(connection, parent.tenant)
                # It is decoded and rendered again.
                quotas.check_plan(connection, parent.tenant, made, parent.source_size or 0, as_probed(parent.probe))
        return UUID(str(made))

    def _manifest(self, parent: Job, request: NewVersion, chunks: Sequence[Chunk]) -> bytes:
        earlier = manifest.load(self._store.get(manifest_key(parent.id)))
        outcomes = [
            {"artifact_key": chunk.artifact_s3_key, "artifact_sha256": chunk.artifact_sha256, "attempts": 0}
            for chunk in chunks
        ]
        return manifest.to_bytes(manifest.finished(earlier, outcomes) | {"job_id": str(request.job_id)})

    def _earlier(self, request: NewVersion) -> Job:
        job = self._jobs.find(request.idempotency_key) if request.idempotency_key is not None else None
        if job is None:  # the parent was deleted between two looks
            raise InvalidState(DELETED)
        return job

    def _drop(self, key: str) -> None:
        with suppress(StorageError):  # an orphan: the janitor finds it
            self._store.delete(key)


def shared_chunks(jobs: JobService, job: Job) -> Sequence[Chunk]:
    """The chunks of the job's first phase, in order, all completed: what a version goes on from.

    Raises InvalidState where there are none yet, or never will be.
    """
    kind = kind_named(job.kind)
    if not kind.may_have_versions(job.params):
        raise InvalidState(f"Jobs of kind {job.kind} keep nothing that another could go on from: run it again.")
    chunks = jobs.chunks(job.id, kind.for_job(job.params).phases[0].name)
    done = sum(chunk.status == "completed" for chunk in chunks)
    if not chunks or done < len(chunks):
        raise InvalidState(
            f"{done} of {len(chunks)} chunks are analysed; there is something to change once all are."
            if chunks
            else "The job is not planned yet; there is something to change once its chunks are analysed."
        )
    return chunks


def is_forgotten(job: Job) -> bool:
    """Whether the row has no longer all of the input's link (db/sql/scrubbed.sql)."""
    if job.input_sha256 is None:  # of an earlier release, which forgot none
        return False
    return hashlib.sha256(os.fsencode(job.input_uri)).hexdigest() != job.input_sha256


def check_same_chunks(parent: Job, params: dict[str, Any]) -> None:
    """Raises InvalidParams, which names the parameters that need other chunks than the job has."""
    anew = kind_named(parent.kind).made_anew(parent.params, params)
    if anew:
        words = "that needs a new analysis: run the job again with it"
        raise InvalidParams(f"{anew[0]}: {words}.", [(f"params.{name}", words) for name in anew])

"""What a client may ask of jobs: create, look, cancel, retry, pause, resume. No HTTP and no command line in here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from backend.db.engine import PATIENT_SEC, Database
from backend.db.models import Chunk, Job
from backend.db.sql import statement
from backend.errors import InvalidState, InvalidValue, JobNotFound, writable
from backend.events import Event, emit
from backend.jobs.outputs import check_output_uri, check_put_url
from backend.jobs.quotas import Quotas
from backend.jobs.uploads import use_upload
from backend.kinds import kind_named
from backend.kinds.output_type import OutputType, name_in_url
from backend.queue import lanes
from backend.states import LAST_WORDS, DeepMode, JobStatus, Stage, WebhookEvent
from backend.storage.post import check_callback_url
from backend.versions import SCHEMA_VERSION

MAX_LIST = 200


@dataclass(frozen=True)
class NewJob:
    """A request for work. `input_name` is what the user calls the file: data, never a path."""

    kind: str
    input_uri: str
    input_name: str
    params: dict[str, Any] = field(default_factory=dict)
    deep_mode: DeepMode = DeepMode.GPU
    priority: int = 0
    output_uri: str | None = None
    output_put_url: str | None = field(default=None, repr=False)  # a secret
    output_name: str | None = None  # what it will be called where it is taken to later; its ending counts
    keeps_existing: bool = False  # no object but this job's own is overwritten: what a client asks for never is
    idempotency_key: str | None = None
    request_sha256: str | None = None  # of what the key was sent with
    tenant: str = "default"
    trace_context: str | None = None
    callback_url: str | None = None
    webhook_url: str | None = field(default=None, repr=False)  # may hold a secret
    webhook_events: Sequence[WebhookEvent] = LAST_WORDS
    job_id: UUID = field(default_factory=uuid4)
    upload_id: UUID | None = None  # that its input came by: the job's own id
    source_job: UUID | None = None  # in whose folder the input lies, where it was another job's upload


def check_output(request: NewJob, output: OutputType) -> None:
    """Raises UnsupportedInput, InvalidValue."""
    if request.output_put_url is not None and request.output_uri is not None:
        raise InvalidValue("output_put_url: give it or output_uri, not both.")
    if request.output_put_url is not None:
        check_put_url(request.output_put_url, output)
    if request.output_uri is not None:
        check_output_uri(request.input_uri, request.output_uri, output)


def _named_output(request: NewJob) -> str | None:
    if request.output_put_url is not None:
        return name_in_url(request.output_put_url)
    return request.output_uri or request.output_name


class JobService:
    """On a tenant's view of the database (`Database.as_tenant`) all of it is about that tenant's jobs; another's is not
    found."""

    def __init__(self, database: Database, quotas: Quotas | None = None) -> None:
        """`quotas`: what tenants without limits of their own may use; None: nobody has any limit."""
        self.database = database
        self._quotas = quotas

    def create(self, request: NewJob) -> Job:
        """The job's row; the earlier one when the idempotency key was seen before.

        Raises InvalidParams, InvalidValue for a place that the film cannot go to, QuotaExceeded, InvalidState for an
        upload that is another job's or is being deleted.
        """
        request = replace(request, tenant=self.database.tenant or request.tenant)
        kind = kind_named(request.kind)
        params = kind.parse_params(request.params)
        check_output(request, kind.output)
        if request.callback_url is not None:
            check_callback_url(request.callback_url)
        if request.webhook_url is not None:
            check_callback_url(request.webhook_url, "webhook_url")
        values = {
            "id": request.job_id,
            "tenant": request.tenant,
            "kind": request.kind,
            "status": JobStatus.QUEUED,
            "stage": Stage.PROBING,
            "deep_mode": request.deep_mode,
            "priority": request.priority,
            "params": params.model_dump(mode="json"),
            "input_uri": request.input_uri,
            "input_sha256": hashlib.sha256(os.fsencode(request.input_uri)).hexdigest(),
            "input_name": writable(request.input_name),
            "output_uri": request.output_uri,
            "output_put_url": request.output_put_url,
            "keeps_existing": request.keeps_existing,
            "output_ending": kind.output.ending(request.input_name, _named_output(request)),
            "idempotency_key": request.idempotency_key,
            "request_sha256": request.request_sha256,
            "trace_context": request.trace_context,
            "callback_url": request.callback_url,
            "callback_due_at": None if request.callback_url is None else func.now(),
            "webhook_url": request.webhook_url,
            "webhook_events": None if request.webhook_url is None else [str(each) for each in request.webhook_events],
            "schema_version": SCHEMA_VERSION,
            "source_job": request.source_job,
        }
        with self.database.session() as session:
            quotas = self._quotas and self._quotas.begin(session.connection(), request.tenant)
            _hold_source(session, request)
            inserted = session.execute(
                insert(Job).values(**values).on_conflict_do_nothing().returning(Job.id)
            ).scalar_one_or_none()
            if inserted is None:
                return _earlier(session, request)
            if request.upload_id is not None:
                use_upload(session.connection(), request.upload_id, request.tenant)
            if quotas is not None:
                quotas.check_open_jobs(session.connection(), request.tenant)
                quotas.check_left(session.connection(), request.tenant)
            job = session.execute(select(Job).where(Job.id == inserted)).scalar_one()
        emit(Event.JOB_CREATED, job_id=str(job.id), kind=job.kind)
        return job

    def get(self, job_id: UUID) -> Job:
        """Raises JobNotFound."""
        with self.database.session() as session:
            job = session.get(Job, job_id)
        if job is None:
            raise JobNotFound(f"There is no job {job_id}.")
        return job

    def find(self, idempotency_key: str, tenant: str = "default") -> Job | None:
        """The job that was created with this key."""
        same_key = (Job.tenant == (self.database.tenant or tenant), Job.idempotency_key == idempotency_key)
        with self.database.session() as session:
            return session.execute(select(Job).where(*same_key)).scalar_one_or_none()

    def list(self, *, limit: int = 50, before: UUID | None = None, status: str | None = None) -> Sequence[Job]:
        """Newest first; `before` continues after that job. One more than a page tells whether there is another."""
        query = select(Job).order_by(Job.created_at.desc(), Job.id.desc()).limit(min(limit, MAX_LIST + 1))
        if status is not None:
            query = query.where(Job.status == status)
        if before is not None:
            edge = self.get(before)
            query = query.where(tuple_(Job.created_at, Job.id) < tuple_(edge.created_at, edge.id))
        with self.database.session() as session:
            return session.execute(query).scalars().all()

    def chunks(self, job_id: UUID, phase: str | None = None) -> Sequence[Chunk]:
        """In order, of one phase or of all. Raises JobNotFound."""
        self.get(job_id)
        query = select(Chunk).where(Chunk.job_id == job_id).order_by(Chunk.created_at, Chunk.chunk_index)
        if phase is not None:
            query = query.where(Chunk.phase == phase)
        with self.database.session() as session:
            return session.execute(query).scalars().all()

    def cancel(self, job_id: UUID) -> Job:
        """No new claims from now on; running work stops at its next heartbeat. Cancelling twice changes nothing.

        Raises JobNotFound, InvalidState for a job that is done or failed.
        """
        with self.database.transaction(patience_sec=PATIENT_SEC) as connection:
            stopped = {"error_code": "job_cancelled", "error_message": "The job was cancelled."}
            # Chunks before the job's row, in the claim's order of locking. A job that is over has none queued.
            connection.execute(statement("stop_queued_chunks"), {"job_id": job_id, **stopped})
            moved = connection.execute(statement("cancel_job"), {"job_id": job_id}).rowcount == 1
            # And those of a plan that was made while this waited for the job.
            connection.execute(statement("stop_queued_chunks"), {"job_id": job_id, **stopped})
        job = self.get(job_id)
        if moved:
            emit(Event.JOB_CANCELLED, job_id=str(job_id))
        elif job.status != JobStatus.CANCELLED:
            raise InvalidState(f"The job is {job.status} and cannot be cancelled.")
        return job

    def retry(self, job_id: UUID) -> Job:
        """Puts a failed job's failed chunks back; completed ones stay.

        Raises JobNotFound, InvalidState, QuotaExceeded.
        """
        job = self.get(job_id)
        place = self._place(job)
        with self.database.transaction(patience_sec=PATIENT_SEC) as connection:
            quotas = self._quotas and self._quotas.begin(connection, job.tenant)
            # Chunks before the job's row, in the claim's order of locking; undone when another retry was first.
            queued = connection.execute(statement("requeue_failed_chunks"), {"job_id": job_id, **place}).all()
            moved = connection.execute(statement("retry_job"), {"job_id": job_id}).rowcount == 1
            if moved:
                lanes.lower_floors(connection, queued)
                if quotas is not None:
                    quotas.check_open_jobs(connection, job.tenant)
            else:
                connection.rollback()
        job = self.get(job_id)
        if not moved and job.status == JobStatus.FAILED:
            raise InvalidState("The job's time is over: it is being deleted. Submit the video again.")
        if not moved:
            raise InvalidState(f"The job is {job.status}; only a failed job can be retried.")
        emit(Event.JOB_RETRIED, job_id=str(job_id))
        return job

    def retry_failed(self, code: str | None = None) -> tuple[Sequence[UUID], dict[UUID, str]]:
        """`retry` for every failed job, or for those that failed with that error code, oldest first. Returns the jobs
        put back, and what was said of those that were not: retried by somebody else meanwhile, or being deleted.
        """
        query = select(Job.id).where(Job.status == JobStatus.FAILED).order_by(Job.created_at, Job.id)
        if code is not None:
            query = query.where(Job.error_code == code)
        with self.database.session() as session:
            found = session.execute(query).scalars().all()
        refused: dict[UUID, str] = {}
        for job_id in found:
            try:
                self.retry(job_id)
            except (InvalidState, JobNotFound) as failure:
                refused[job_id] = failure.message
        return [job_id for job_id in found if job_id not in refused], refused

    def pause(self, job_id: UUID) -> Job:
        """Nothing more of the job is claimed; work in hand goes on. Pausing twice changes nothing.

        Raises JobNotFound, InvalidState for a job that is over.
        """
        with self.database.transaction(patience_sec=PATIENT_SEC) as connection:
            moved = connection.execute(statement("pause_job"), {"job_id": job_id}).rowcount == 1
            if moved:
                connection.execute(statement("hold_chunks"), {"job_id": job_id})
        job = self.get(job_id)
        if not moved:
            raise InvalidState(f"The job is {job.status} and cannot be paused.")
        emit(Event.JOB_PAUSED, job_id=str(job_id))
        return job

    def resume(self, job_id: UUID) -> Job:
        """A paused job's chunks are claimed again. Resuming twice changes nothing. Raises JobNotFound, InvalidState."""
        job = self.get(job_id)
        place = self._place(job)
        with self.database.transaction(patience_sec=PATIENT_SEC) as connection:
            moved = connection.execute(statement("resume_job"), {"job_id": job_id}).rowcount == 1
            if moved:
                queued = connection.execute(statement("unhold_chunks"), {"job_id": job_id, **place}).all()
                lanes.lower_floors(connection, queued)
        job = self.get(job_id)
        if not moved:
            raise InvalidState(f"The job is {job.status} and cannot be resumed.")
        emit(Event.JOB_RESUMED, job_id=str(job_id))
        return job

    def _place(self, job: Job) -> dict[str, int]:
        """Where chunks that enter the job's lane now stand: an order among all tenants, which a tenant does not see."""
        with self.database.fleet.transaction() as connection:
            lane = lanes.entry(connection, job.id, deep_mode=job.deep_mode, tenant=job.tenant, priority=job.priority)
        return {"first_rank": lane.first_rank, "stride": lane.stride}


def _hold_source(session: Session, request: NewJob) -> None:
    """Until the new job is there, nobody deletes the upload that it reads. Raises InvalidState where somebody does."""
    if request.source_job is None:
        return
    if session.execute(statement("lock_source"), {"job_id": request.source_job}).one_or_none() is None:
        raise InvalidState("The job's file is being deleted: upload it again.")


def _earlier(session: Session, request: NewJob) -> Job:
    """The job of the same idempotency key. Raises InvalidState where it is the id that is taken, and so the upload."""
    if request.idempotency_key is not None:
        same_key = (Job.tenant == request.tenant, Job.idempotency_key == request.idempotency_key)
        earlier = session.execute(select(Job).where(*same_key)).scalar_one_or_none()
        if earlier is not None:
            return earlier
    raise InvalidState("The upload is the input of another job already.")

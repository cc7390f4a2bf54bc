"""The queue: claim, heartbeat, finish. Each is one guarded statement in backend/db/sql; zero rows mean ClaimLost."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from backend.db.engine import Database
from backend.db.sql import statement
from backend.errors import ClaimLost, DatabaseUnavailable, FramefleetError
from backend.events import Event, emit, warn
from backend.jobs import lanes
from backend.jobs.claims import ChunkClaim, JobClaim
from backend.media.facts import VideoFacts
from backend.settings import Settings
from backend.states import DeepMode, JobStatus, Stage

LOST = "The claim was lost: rescued from this worker, cancelled or finished."
# Jobs interleave: a worker meets a chunk of each, again and again. What is known of one is some kilobytes.
JOBS_REMEMBERED = 128
OF_CHUNK = ("chunk_id", "job_id", "attempts", "chunk_index", "start_pts", "end_pts")


class Queue:
    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._worker_id = settings.worker_id
        self._lease = {"lease_seconds": settings.lease_seconds}
        self._tenant_cap = settings.tenant_max_chunks_in_work
        self._job_of_chunks = lru_cache(JOBS_REMEMBERED)(self._ask_job_of_chunks)
        self._backoff = {
            "max_attempts": settings.max_attempts,
            "base_seconds": settings.retry_base_seconds,
            "cap_seconds": settings.retry_cap_seconds,
        }

    # Chunks

    def claim_chunk(self, deep_mode: DeepMode, job_id: UUID | None = None) -> ChunkClaim | None:
        """The next chunk, or None when nothing is due. The claim is committed when this returns.

        Raises DatabaseUnavailable; ClaimLost when the job is deleted meanwhile.
        """
        full: list[str] = []
        while (row := self._claim_chunk(deep_mode, job_id, full)) is not None:
            if row["is_stale"]:
                self._raise_floor(deep_mode, row["tenant"])
            if row["max_in_work"] is None or lanes.keep_within_cap(self._database, row):
                of_chunk = {name: row[name] for name in OF_CHUNK}
                return ChunkClaim(**of_chunk, **self._known_of_job(row))
            full.append(row["tenant"])
        return None

    def _known_of_job(self, claimed: dict[str, Any]) -> dict[str, Any]:
        """Gives the chunk back where the answer does not come: nobody else knows yet that it is claimed."""
        try:
            return self._job_of_chunks(claimed["job_id"])
        except DatabaseUnavailable:
            with suppress(DatabaseUnavailable, ClaimLost):
                self._release_chunk(claimed["chunk_id"], claimed["attempts"])
            raise

    def _ask_job_of_chunks(self, job_id: UUID) -> dict[str, Any]:
        """The fields of ChunkClaim that all chunks of a job share."""
        row = self._database.ask("job_of_chunks", job_id=job_id)
        if row is None:
            raise ClaimLost("The job was deleted.")
        probe = row.pop("probe")
        return row | {"facts": VideoFacts.model_validate(probe)}

    def _claim_chunk(self, deep_mode: DeepMode, job_id: UUID | None, full: list[str]) -> dict[str, Any] | None:
        return self._database.ask(
            "claim_chunk" if job_id is None else "claim_chunk+of_job",
            deep_mode=deep_mode,
            job_id=job_id,
            tenant_cap=self._tenant_cap,
            full=full,
            worker_id=self._worker_id,
            **self._lease,
        )

    def _raise_floor(self, deep_mode: DeepMode, tenant: str) -> None:
        try:
            lanes.raise_floor(self._database, deep_mode, tenant)
        except DatabaseUnavailable as failure:  # the claim is committed: it is worked on, the next one raises the floor
            warn(Event.WORKER_POLL_FAILED, error_code=failure.code, message=failure.message)

    def heartbeat_chunk(self, claim: ChunkClaim, progress: float, last_event: Event | None = None) -> None:
        """`last_event` is what would be known of the chunk, should this worker die. Raises ClaimLost."""
        beaten = self._database.ask(
            "heartbeat_chunk",
            chunk_id=claim.chunk_id,
            attempts=claim.attempts,
            progress=progress,
            last_event=last_event,
            **self._lease,
        )
        if beaten is None:
            raise ClaimLost(LOST)

    def complete_chunk(
        self,
        claim: ChunkClaim,
        artifact_key: str,
        sha256: str,
        detector: dict[str, Any],
        bytes_read: int | None = None,
    ) -> JobStatus:
        """Completes under the claim; returns AGGREGATING to the one who hands the job to the aggregator."""
        row = self._database.ask(
            "complete_chunk",
            chunk_id=claim.chunk_id,
            attempts=claim.attempts,
            artifact_key=artifact_key,
            artifact_sha256=sha256,
            bytes_read=bytes_read,
        )
        if row is None:
            raise ClaimLost(LOST)
        try:
            if row["detector_unknown"]:
                self._database.ask("name_detector", job_id=claim.job_id, detector=json.dumps(detector))
            if row["more_queued"]:
                return JobStatus.PROCESSING
            # After the commit, not before: see advance_job.sql.
            advanced = self._database.ask("advance_job", job_id=claim.job_id)
        except DatabaseUnavailable as failure:  # the chunk is completed all the same; the sweep moves its job on
            warn(Event.WORKER_POLL_FAILED, error_code=failure.code, message=failure.message)
            return JobStatus.PROCESSING
        return JobStatus.PROCESSING if advanced is None else JobStatus.AGGREGATING

    def fail_chunk(self, claim: ChunkClaim, error: FramefleetError) -> None:
        with self._database.transaction() as connection:
            row = connection.execute(
                statement("fail_chunk"),
                {
                    "chunk_id": claim.chunk_id,
                    "attempts": claim.attempts,
                    "permanent": not error.retryable,
                    "error_code": error.code,
                    "error_message": error.message,
                    **self._backoff,
                },
            ).one_or_none()
            if row is None:
                raise ClaimLost("The chunk was rescued from this worker.")
            if row.status == "failed":
                _fail_job(connection, claim.job_id, row.chunk_index, error.code, error.message, error.retryable)
            else:
                lanes.lower_floors(connection, [row])

    def release_chunk(self, claim: ChunkClaim) -> None:
        self._release_chunk(claim.chunk_id, claim.attempts)

    def _release_chunk(self, chunk_id: int, attempts: int) -> None:
        with self._database.transaction() as connection:
            guard = {"chunk_id": chunk_id, "attempts": attempts}
            row = connection.execute(statement("release_chunk"), guard).one_or_none()
            if row is None:
                raise ClaimLost("The chunk was rescued from this worker.")
            if row.status == "queued":
                lanes.lower_floors(connection, [row])

    def earlier_artifacts(self, claim: ChunkClaim) -> list[tuple[str, str]]:
        """(key, SHA-256) of what the tenant's other jobs found in the same piece of the same source, newest first."""
        where = {name: getattr(claim, name) for name in ("job_id", "chunk_index", "start_pts", "end_pts")}
        with self._database.transaction() as connection:
            rows = connection.execute(statement("earlier_artifacts"), where).all()
        return [(row.artifact_s3_key, row.artifact_sha256) for row in rows]

    def has_queued(self, deep_mode: DeepMode, job_id: UUID | None = None) -> bool:
        """Whether any chunk of that mode, or of that job, waits, due or not."""
        if job_id is not None:
            return self._database.ask("any_queued+of_job", deep_mode=deep_mode, job_id=job_id) is not None
        return self._database.ask("any_queued", deep_mode=deep_mode) is not None

    # Jobs: planning and aggregation

    def claim_job(self, status: JobStatus, job_id: UUID | None = None) -> JobClaim | None:
        """A job to plan (QUEUED, not yet cut) or to aggregate (AGGREGATING); None when there is none."""
        row = self._database.ask("claim_job", status=status, job_id=job_id, worker_id=self._worker_id, **self._lease)
        if row is None:
            return None
        fields = {name: row[name] for name in JobClaim.__dataclass_fields__}
        return JobClaim(**fields | {"status": JobStatus(row["status"]), "deep_mode": DeepMode(row["deep_mode"])})

    def heartbeat_job(self, claim: JobClaim, progress: float, stage: Stage | None = None) -> None:
        with self._database.transaction() as connection:
            _guarded(connection, "heartbeat_job", **_job_guard(claim), progress=progress, stage=stage, **self._lease)

    def finish_job(
        self,
        claim: JobClaim,
        *,
        output_uri: str,
        output_key: str | None,
        timings: dict[str, float],
        warnings: list[str],
    ) -> None:
        with self._database.transaction() as connection:
            _guarded(
                connection,
                "finish_job",
                job_id=claim.job_id,
                attempts=claim.attempts,
                output_uri=output_uri,
                output_key=output_key,
                timings=json.dumps(timings),
                warnings=json.dumps(warnings),
            )

    def fail_job(self, claim: JobClaim, error: FramefleetError) -> JobStatus:
        """Returns FAILED, or the unchanged status when the work will be tried again."""
        with self._database.transaction() as connection:
            row = connection.execute(
                statement("fail_job_claim"),
                {
                    **_job_guard(claim),
                    "permanent": not error.retryable,
                    "error_code": error.code,
                    "error_message": error.message,
                    **self._backoff,
                },
            ).one_or_none()
        if row is None:
            raise ClaimLost("The job was rescued from this worker, cancelled or finished.")
        return JobStatus(row.status)

    def release_job(self, claim: JobClaim) -> None:
        with self._database.transaction() as connection:
            _guarded(connection, "release_job", **_job_guard(claim))

    # Rescue

    def rescue_expired(self) -> int:
        """What every worker does now and then: takes back what dead workers held, starts aggregations that were lost,
        and raises the floors of the claim's search. Returns how many claims were taken back."""
        with self._database.transaction() as connection:
            chunks = connection.execute(statement("rescue_chunks"), {**self._backoff, **self._lease}).all()
            # In the jobs' order, so that two rescuers do not wait for each other.
            for row in sorted(chunks, key=lambda row: str(row.job_id)):
                if row.status == "failed" and row.job_status in (JobStatus.QUEUED, JobStatus.PROCESSING):
                    _fail_job(connection, row.job_id, row.chunk_index, row.error_code, row.error_message, True)
            jobs = connection.execute(statement("rescue_jobs"), self._backoff).all()
            lanes.lower_floors(connection, [row for row in chunks if row.status == "queued"])
        with self._database.transaction() as connection:
            stranded = connection.execute(statement("advance_finished")).scalars().all()
            connection.execute(statement("stop_stranded_chunks"))
        while lanes.raise_floor(self._database):
            continue
        for row in chunks:
            _warn_rescued(row, chunk_index=row.chunk_index)
        for row in jobs:
            _warn_rescued(row)
        for job_id in stranded:
            warn(Event.AGGREGATION_RETRIGGERED, job_id=str(job_id))
        return len(chunks) + len(jobs)


def _warn_rescued(row: Any, **ids: object) -> None:
    known = {"attempts": row.attempts, "failures": row.failures, "status": row.status}
    warn(Event.LEASE_RESCUED, job_id=str(row.job_id), **ids, **known)


def _job_guard(claim: JobClaim) -> dict[str, Any]:
    return {"job_id": claim.job_id, "status": claim.status, "attempts": claim.attempts}


def _guarded(connection: Connection, name: str, **params: Any) -> None:
    """Raises ClaimLost when the statement matched no row."""
    if connection.execute(statement(name), params).rowcount != 1:
        raise ClaimLost(LOST)


def _fail_job(connection: Connection, job_id: UUID, chunk_index: int, code: str, message: str, retryable: bool) -> None:
    # Queued chunks first, then the job's row: the claim locks in that order too, so neither waits for the other.
    connection.execute(
        statement("stop_queued_chunks"),
        {"job_id": job_id, "error_code": "job_failed", "error_message": f"Chunk {chunk_index} failed."},
    )
    failed = connection.execute(
        statement("fail_job"),
        {"job_id": job_id, "error_code": code, "error_message": message, "error_retryable": retryable},
    )
    if failed.rowcount == 1:  # else it was cancelled, or another chunk was first
        emit(Event.JOB_FAILED, job_id=str(job_id), chunk_index=chunk_index, error_code=code)

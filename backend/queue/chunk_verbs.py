"""The verbs of a chunk: claim, heartbeat, complete, fail, put back, release. Each is one guarded statement."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any
from uuid import UUID

from backend.db.engine import Database
from backend.db.sql import statement
from backend.errors import ClaimLost, DatabaseUnavailable, Fault, FramefleetError
from backend.events import Event
from backend.media.sound_facts import as_probed
from backend.queue import lanes, probation
from backend.queue.claims import ChunkClaim
from backend.queue.failure import fail_job_of_chunk
from backend.queue.verbs import LOST, PUT_BACK, Verbs, as_array, told
from backend.settings import Settings
from backend.states import DeepMode, JobStatus
from backend.telemetry import poll_failed

# Jobs interleave: a worker meets a chunk of each, in turn, and a memory smaller than their number would always miss.
# What is known of a job is a kilobyte or two.
JOBS_REMEMBERED = 1024
NOBODY = "{}"  # an empty array, as text: the driver takes longer over a list than over all other parameters together
OF_CHUNK = ("chunk_id", "job_id", "attempts", "phase", "chunk_index", "start_pts", "end_pts")


class ChunkVerbs(Verbs):
    def __init__(self, database: Database, settings: Settings, encoders: Iterable[str] = ()) -> None:
        """`encoders`: those of this worker's hardware, and what else not every worker has; it claims no chunk that
        needs another."""
        super().__init__(database, settings)
        self._tenant_cap = settings.tenant_max_chunks_in_work
        self._stale_lanes: set[tuple[str, str]] = set()  # claims found their floors so; see Queue.tend
        self._has = {"has": as_array(encoders)}
        self._job_of_chunks = lru_cache(JOBS_REMEMBERED)(self._ask_job_of_chunks)

    def claim_chunk(self, deep_mode: DeepMode, job_id: UUID | None = None) -> ChunkClaim | None:
        """The next chunk, or None when nothing is due. The claim is committed when this returns.

        Raises DatabaseUnavailable; ClaimLost when the job is deleted meanwhile.
        """
        full: list[str] = []
        name = "claim_chunk" if job_id is None else "claim_chunk+of_job"
        while (row := self._database.ask(name, **self._claiming(deep_mode, job_id, full))) is not None:
            if self._keeps(row):
                return self._chunk_claim(row)
            full.append(row["tenant"])
        return None

    def _claiming(self, deep_mode: DeepMode, job_id: UUID | None, full: list[str]) -> dict[str, Any]:
        """What claiming.sql asks for."""
        return {
            "deep_mode": deep_mode,
            "job_id": job_id,
            "tenant_cap": self._tenant_cap,
            "full": full or NOBODY,
            **self.known,
            **self._has,
            "worker_id": self._worker_id,
            "cap_seconds": self._backoff["cap_seconds"],
            **self._lease,
        }

    def _keeps(self, claimed: dict[str, Any]) -> bool:
        """Whether the chunk's lane had room for it; else it was given back."""
        if claimed["is_stale"]:
            self._stale_lanes.add((claimed["deep_mode"], claimed["tenant"]))
        return claimed["max_in_work"] is None or lanes.keep_within_cap(self._database, claimed)

    def _chunk_claim(self, claimed: dict[str, Any]) -> ChunkClaim:
        of_chunk = {name: claimed[name] for name in OF_CHUNK}
        of_job = dict(self._known_of_job(claimed))
        total_chunks = of_job.pop("total_chunks")
        return ChunkClaim(**of_chunk, **of_job, phase_chunks=claimed["phase_chunks"] or total_chunks)

    def _known_of_job(self, claimed: dict[str, Any]) -> dict[str, Any]:
        """Gives the chunk back where the answer does not come: nobody else knows yet that it is claimed."""
        try:
            return self._job_of_chunks(claimed["job_id"], claimed["phase"])
        except DatabaseUnavailable:
            with suppress(DatabaseUnavailable, ClaimLost):
                self._release_chunk(claimed["chunk_id"], claimed["attempts"])
            raise

    def _ask_job_of_chunks(self, job_id: UUID, phase: str) -> dict[str, Any]:
        """What ChunkClaim holds of a job that is in this phase: the same for all chunks of it."""
        row = self._database.ask("job_of_chunks", job_id=job_id)
        if row is None:
            raise ClaimLost("The job was deleted.")
        probe = row.pop("probe")
        return row | {"probed": as_probed(probe)}

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
        detector: dict[str, Any] | None,
        bytes_read: int | None = None,
    ) -> JobStatus:
        """Completes under the claim; returns AGGREGATING to the one who hands the job to the aggregator.

        Raises ClaimLost, DatabaseUnavailable.
        """
        row = self._database.insist("complete_chunk", **_finishing(claim, artifact_key, sha256, bytes_read))
        if row is None:
            raise ClaimLost(LOST)
        return self._advance(claim, row, detector)

    def complete_and_claim(
        self,
        claim: ChunkClaim,
        artifact_key: str,
        sha256: str,
        detector: dict[str, Any] | None,
        bytes_read: int | None = None,
        *,
        deep_mode: DeepMode,
        job_id: UUID | None = None,
    ) -> tuple[JobStatus, ChunkClaim | None]:
        """`complete_chunk` and `claim_chunk` in one statement, for a worker that goes on. Raises what the first does.

        None for the next chunk says less than from `claim_chunk`: others may have taken the tenant's last free place,
        or the database be gone in between.
        """
        name = "complete_and_claim" if job_id is None else "complete_and_claim+of_job"
        finishing = _finishing(claim, artifact_key, sha256, bytes_read)
        row = self._database.insist(name, **finishing, **self._claiming(deep_mode, job_id, []))
        if row is None:
            raise ClaimLost(LOST)
        status = self._advance(claim, row, detector)
        if row["chunk_id"] is None:
            return status, None
        try:
            return status, self._chunk_claim(row) if self._keeps(row) else None
        except Exception as failure:  # noqa: BLE001 - of the next chunk, left to its lease; the one in hand is completed
            poll_failed(failure)
        return status, None

    def _advance(self, claim: ChunkClaim, completed: dict[str, Any], detector: dict[str, Any] | None) -> JobStatus:
        try:
            if completed["detector_unknown"] and detector is not None:
                self._database.ask("name_detector", job_id=claim.job_id, detector=json.dumps(detector))
            if completed["on_probation"]:
                probation.end(self._database, claim.job_id)
            if completed["more_queued"]:
                return JobStatus.PROCESSING
            # After the commit, not before: see advance_job.sql.
            advanced = self._database.ask("advance_job", job_id=claim.job_id)
        except DatabaseUnavailable as failure:  # the chunk is completed all the same; the sweep moves its job on
            poll_failed(failure)
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
                    "final_when_repeated": error.final_when_repeated,
                    **told(error),
                    **self._backoff,
                },
            ).one_or_none()
            if row is None:
                raise ClaimLost("The chunk was rescued from this worker.")
            if row.status == "failed":
                fail_job_of_chunk(connection, claim.job_id, row.chunk_index, error.code, error.message, error.retryable)
                return
            # Others may be in work on the same source: they find out for themselves.
            source_failed = error.fault is Fault.PLACE
            queued = probation.begin(connection, claim.job_id) if source_failed else ()
            lanes.lower_floors(connection, queued or [row])

    def put_back_chunk(self, claim: ChunkClaim, error: FramefleetError) -> str:
        """Back to the queue for a moment, with no failure counted; returns the status that the chunk is left in."""
        with self._database.transaction() as connection:
            guard = {"chunk_id": claim.chunk_id, "attempts": claim.attempts}
            row = connection.execute(statement("put_back_chunk"), guard | told(error) | PUT_BACK).one_or_none()
            if row is None:
                raise ClaimLost("The chunk was rescued from this worker.")
            if row.status == "failed":
                fail_job_of_chunk(connection, claim.job_id, row.chunk_index, error.code, error.message, True)
            else:
                lanes.lower_floors(connection, [row])
        return str(row.status)

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
        names = ("job_id", "phase", "phase_chunks", "chunk_index", "start_pts", "end_pts")
        where = {name: getattr(claim, name) for name in names}
        with self._database.transaction() as connection:
            rows = connection.execute(statement("earlier_artifacts"), where).all()
        return [(row.artifact_s3_key, row.artifact_sha256) for row in rows]

    def has_queued(self, deep_mode: DeepMode, job_id: UUID | None = None) -> bool:
        """Whether any chunk of that mode, or of that job, waits, due or not."""
        if job_id is not None:
            found = self._database.ask(
                "any_queued+of_job", deep_mode=deep_mode, job_id=job_id, **self.known, **self._has
            )
        else:
            found = self._database.ask("any_queued", deep_mode=deep_mode, **self.known, **self._has)
        return found is not None


def _finishing(claim: ChunkClaim, artifact_key: str, sha256: str, bytes_read: int | None) -> dict[str, Any]:
    """What complete_chunk.sql asks for."""
    return {
        "chunk_id": claim.chunk_id,
        "attempts": claim.attempts,
        "artifact_key": artifact_key,
        "artifact_sha256": sha256,
        "bytes_read": bytes_read,
    }

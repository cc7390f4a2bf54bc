"""The verbs of a job that is planned or aggregated. Each is one guarded statement."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from backend.db.sql import statement
from backend.errors import ClaimLost, Fault, FramefleetError
from backend.queue.claims import JobClaim
from backend.queue.verbs import LOST, PUT_BACK, Verbs, told
from backend.states import DeepMode, JobStatus, Stage
from backend.versions import SCHEMA_VERSION

# How many plans behind URLs may take long at the same time, in all processes. Sooner than a planner gives its turn away
# (jobs/planners.py), so that whoever gets the turn knows of it.
SLOW_PLANS = {"slow_seconds": 3.0, "slow_of_host": 2, "slow_of_tenant": 4}


class JobVerbs(Verbs):
    def claim_job(self, status: JobStatus, job_id: UUID | None = None) -> JobClaim | None:
        """A job to plan (QUEUED, not yet cut) or to aggregate (AGGREGATING); None when there is none."""
        asked = {"status": status, "job_id": job_id, "worker_id": self._worker_id}
        cap = {"cap_seconds": self._backoff["cap_seconds"]}
        row = self._database.ask("claim_job", **asked, **cap, **SLOW_PLANS, **self.known, **self._lease)
        if row is None:
            return None
        fields = {name: row[name] for name in JobClaim.__dataclass_fields__}
        return JobClaim(**fields | {"status": JobStatus(row["status"]), "deep_mode": DeepMode(row["deep_mode"])})

    def heartbeat_job(self, claim: JobClaim, progress: float, stage: Stage | None = None) -> None:
        beat = {**_job_guard(claim), "progress": progress, "stage": stage, **self._lease}
        if self._database.ask("heartbeat_job", **beat) is None:
            raise ClaimLost(LOST)

    def finish_job(
        self,
        claim: JobClaim,
        *,
        output_uri: str,
        output_key: str | None,
        output_size: int | None = None,
        encoder: str | None = None,
        timings: dict[str, float],
        warnings: list[str],
    ) -> None:
        """Raises ClaimLost, DatabaseUnavailable."""
        finished = self._database.insist(
            "finish_job",
            job_id=claim.job_id,
            attempts=claim.attempts,
            output_uri=output_uri,
            output_key=output_key,
            output_size=output_size,
            encoder=encoder,
            timings=json.dumps(timings),
            warnings=json.dumps(warnings),
        )
        if finished is None:
            raise ClaimLost(LOST)

    def fail_job(self, claim: JobClaim, error: FramefleetError) -> JobStatus:
        """Returns FAILED, or the unchanged status when the work will be tried again."""
        with self._database.transaction() as connection:
            row = connection.execute(
                statement("fail_job_claim"),
                {
                    **_job_guard(claim),
                    "permanent": not error.retryable,
                    "final_when_repeated": error.final_when_repeated,
                    **told(error),
                    **self._backoff,
                },
            ).one_or_none()
        if row is None:
            raise ClaimLost("The job was rescued from this worker, cancelled or finished.")
        return JobStatus(row.status)

    def put_back_job(self, claim: JobClaim, error: FramefleetError) -> JobStatus:
        """As `put_back_chunk`. Where this version knows too little of the job, it is left to a newer one."""
        needed = SCHEMA_VERSION + 1 if error.fault is Fault.VERSION else 0
        with self._database.transaction() as connection:
            row = connection.execute(
                statement("put_back_job"), _job_guard(claim) | told(error) | PUT_BACK | {"schema_version": needed}
            ).one_or_none()
        if row is None:
            raise ClaimLost(LOST)
        return JobStatus(row.status)

    def release_job(self, claim: JobClaim) -> None:
        if self._database.ask("release_job", **_job_guard(claim)) is None:
            raise ClaimLost(LOST)


def _job_guard(claim: JobClaim) -> dict[str, Any]:
    return {"job_id": claim.job_id, "status": claim.status, "attempts": claim.attempts}

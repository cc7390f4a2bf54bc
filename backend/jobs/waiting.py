"""Why nothing happens to a job that is neither over nor being worked on, in words for its owner.

Nothing of it tells of other tenants' work, or which machines there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from backend.db.models import Job
from backend.queue.figures import GPU_WORKER
from backend.queue.fleet_now import ANALYSIS_WORKER, FleetNow
from backend.states import DeepMode, JobStatus

WAITING_STATUSES = frozenset({JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.AGGREGATING})


class Reason(StrEnum):
    PAUSED = "paused"
    FLEET_PAUSED = "fleet_paused"
    NO_WORKER = "no_worker"
    RETRYING = "retrying"
    BUSY = "busy"
    PLANNING = "planning"


@dataclass(frozen=True)
class Waiting:
    reason: Reason
    message: str
    since: datetime | None = None
    until: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "reason": self.reason,
            "message": self.message,
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
        }


def waiting(
    job: Job, chunks_in_work: int, due_at: datetime | None, needs: str | None, fleet: FleetNow, now: datetime
) -> Waiting | None:
    """None for a job that is over, whose file still comes, or that is worked on. `due_at`: when the first of its
    phase's queued chunks may be claimed; None: none is queued. `needs`: the encoder that all of these want."""
    if job.status not in WAITING_STATUSES or chunks_in_work or job.lease_expires_at is not None:
        return None
    if job.paused_at is not None:
        return Waiting(Reason.PAUSED, "The job is paused. Resume it to go on.", job.paused_at)
    if fleet.paused_at is not None:
        return Waiting(Reason.FLEET_PAUSED, _paused_words(fleet), fleet.paused_at)
    if job.status == JobStatus.QUEUED and job.total_chunks is None:
        return _retrying(job.available_at, now) or Waiting(
            Reason.PLANNING, "The file is looked at next.", job.available_at
        )
    if job.status == JobStatus.AGGREGATING:
        return _for_worker(job, ANALYSIS_WORKER, job.available_at, None, fleet, now)
    if due_at is None:  # all are done: somebody is about to move it on
        return None
    worker = GPU_WORKER if job.deep_mode == DeepMode.GPU else ANALYSIS_WORKER
    return _for_worker(job, worker, due_at, needs, fleet, now)


def _for_worker(job: Job, worker: str, due_at: datetime, needs: str | None, fleet: FleetNow, now: datetime) -> Waiting:
    crews = fleet.able(worker, job.kind, job.schema_version)
    if not crews:
        return Waiting(Reason.NO_WORKER, _nobody_words(worker, fleet))
    crews = [crew for crew in crews if needs is None or needs in crew.hardware]
    if not crews:
        message = f"No running worker has the encoder {needs} that the film was begun with. It goes on once one has."
        return Waiting(Reason.NO_WORKER, message)
    if not any(crew.is_well for crew in crews):
        message = "The workers that could go on cannot reach their store, or have no room. It goes on when they can."
        return Waiting(Reason.NO_WORKER, message)
    retrying = _retrying(due_at, now)
    if retrying is not None:
        return retrying
    if job.source_trouble_at is not None:
        message = "The source could not be read. It is tried a piece at a time until it can be."
        return Waiting(Reason.RETRYING, message, job.source_trouble_at)
    return Waiting(Reason.BUSY, "It is next in line: the workers finish other work first.", due_at)


def _retrying(due_at: datetime, now: datetime) -> Waiting | None:
    if due_at <= now:
        return None
    return Waiting(Reason.RETRYING, "The last try did not succeed. It is tried again by itself.", until=due_at)


def _nobody_words(worker: str, fleet: FleetNow) -> str:
    if not fleet.living(worker):
        what = "detects people" if worker == GPU_WORKER else "puts films together"
        return f"No worker that {what} is running. It goes on by itself once one is."
    return "No running worker knows this kind of job. It goes on by itself once a newer one runs."


def _paused_words(fleet: FleetNow) -> str:
    whom = f" by {person(fleet.paused_by)}" if fleet.paused_by else ""
    return f"All work is paused{whom}{': ' + fleet.reason if fleet.reason else '.'}"


def person(name: str) -> str:
    """Who ran a command, without the machine it ran on."""
    return name.partition("@")[0]

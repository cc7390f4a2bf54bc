"""Progress and time left, derived from rows. Progress never falls: its parts only rise, whoever works on them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text

from backend.db.engine import Database
from backend.db.models import Job
from backend.db.sql import statement
from backend.errors import InvalidParams, JobNotFound
from backend.jobs.waiting import Waiting, waiting
from backend.kinds import KINDS
from backend.kinds.base import Weights
from backend.queue.fleet_now import FleetNow, recent_fleet
from backend.queue.verbs import as_array
from backend.states import FINAL_JOB_STATUSES, JobStatus

PLANNED_PCT = 2.0  # the rest is divided by the weights of the kind's steps
# A sum of the same numbers in another order differs in its last bits; a percent must not fall for it.
ROUNDING = 1e-9
# A film that nobody has begun for so long waits for a worker, and nobody knows when one comes.
PATIENCE_SEC = 30.0
MIN_SHARE_TO_MEASURE = 0.1
POLL_SOON_SEC, POLL_LATER_SEC = 1, 5
RECENT_SEC = 5.0
ETA_STEPS_SEC = ((20, 1), (120, 5), (900, 15), (3600, 60), (math.inf, 300))  # below which length, told in which steps
POLLS_TO_GO = 20  # about as many answers as a progress bar needs

_JOB_COLUMNS = tuple(Job.__table__.columns.keys())
_recent: dict[tuple[str, str], tuple[float | None, float]] = {}  # paces of films by database and kind, and since when


@dataclass(frozen=True)
class Progress:
    pct: int
    eta_seconds: int | None  # None: unknown, or over
    completed_chunks: int
    failed_chunks: int
    poll_after_seconds: int | None  # when to ask again; None: nothing changes any more
    waiting: Waiting | None = None  # why nothing happens to it


@dataclass(frozen=True)
class _Chunks:
    """What a job's chunks tell; zeros for a job that has none."""

    progress: float = 0.0  # the mean, in the phase that the job is in
    completed: int = 0
    failed: int = 0
    in_work: int = 0
    left_sec: float | None = None  # of one worker's time; None: no chunk has shown yet how long one takes
    longest_left_sec: float | None = None
    pace: float | None = None  # seconds of work for a second of video
    since_last_chunk_sec: float | None = None
    due_at: datetime | None = None  # when the first queued one may be claimed
    needs: str | None = None  # the encoder without which none of the queued ones can be claimed


def progress_of(database: Database, jobs: Sequence[Job]) -> list[Progress]:
    """In the jobs' order, with one query for the chunks of all of them. Raises DatabaseUnavailable."""
    live = [job for job in jobs if job.status not in FINAL_JOB_STATUSES]
    ids = {"job_ids": [job.id for job in jobs], "live_ids": [job.id for job in live]}
    with database.transaction() as connection:
        rows = connection.execute(statement("job_progress"), ids).mappings().all()
        now = connection.execute(text("SELECT now()")).scalar_one()
    film_paces = {kind: _film_pace(database, kind) for kind in {job.kind for job in live}}
    fleet = recent_fleet(database) if live else None
    chunks: Mapping[UUID, _Chunks] = {row["job_id"]: _chunks(row) for row in rows}
    return [_progress(job, chunks.get(job.id, _Chunks()), film_paces.get(job.kind), now, fleet) for job in jobs]


def shown_job(database: Database, job_id: UUID) -> tuple[Job, Progress]:
    """One job and how far it is, for those who ask again and again: one statement, and what was asked in the last
    seconds for all of them (the films' pace, who is there to work). Raises JobNotFound, DatabaseUnavailable."""
    row = database.ask("shown_job", job_id=job_id, job_ids=[job_id], live_ids=[job_id])
    if row is None:
        raise JobNotFound(f"There is no job {job_id}.")
    job = Job(**{name: row[name] for name in _JOB_COLUMNS})
    names = _Chunks.__dataclass_fields__
    chunks = _Chunks(**{name: row[f"chunks_{name}"] for name in names}) if row["has_chunks"] else _Chunks()
    is_live = job.status not in FINAL_JOB_STATUSES
    pace, fleet = (_recent_film_pace(database, job.kind), recent_fleet(database)) if is_live else (None, None)
    return job, _progress(job, chunks, pace, row["asked_at"], fleet)


def _recent_film_pace(database: Database, kind: str) -> float | None:
    """Films end seldom, and a job is asked about often."""
    now = time.monotonic()
    pace, asked_at = _recent.get((database.url, kind), (None, -math.inf))
    if now - asked_at > RECENT_SEC:
        pace = _film_pace(database, kind)
        _recent[database.url, kind] = pace, now
    return pace


def _chunks(row: RowMapping) -> _Chunks:
    return _Chunks(**{name: row[name] for name in _Chunks.__dataclass_fields__})


def _progress(job: Job, chunks: _Chunks, film_pace: float | None, now: datetime, fleet: FleetNow | None) -> Progress:
    waited_sec = (now - job.available_at).total_seconds()
    eta_sec = _eta_sec(job, chunks, film_pace, waited_sec)
    return Progress(
        pct=_pct(job, chunks),
        eta_seconds=0 if job.status == JobStatus.DONE else _rounded(eta_sec),
        completed_chunks=chunks.completed,
        failed_chunks=chunks.failed,
        poll_after_seconds=_poll_after(job, chunks, eta_sec),
        waiting=None if fleet is None else waiting(job, chunks.in_work, chunks.due_at, chunks.needs, fleet, now),
    )


def _pct(job: Job, chunks: _Chunks) -> int:
    if job.status == JobStatus.DONE:
        return 100
    if job.total_chunks is None:
        return 0
    weights = _weights(job)
    share = weights.before + weights.chunks * chunks.progress + weights.rest * job.progress
    return min(99, math.floor(PLANNED_PCT + (100 - PLANNED_PCT) * share / weights.all + ROUNDING))


def _eta_sec(job: Job, chunks: _Chunks, film_pace: float | None, waited_sec: float) -> float | None:
    """From this job's own chunk times and the workers at it now; for the film, from the last films of its kind."""
    film_sec = _film_sec(job, chunks, film_pace)
    if film_sec is None:
        return None
    if job.status == JobStatus.AGGREGATING:
        nobody_comes = job.lease_expires_at is None and waited_sec > PATIENCE_SEC
        return None if nobody_comes else _film_left_sec(job, chunks, film_sec)
    if job.status != JobStatus.PROCESSING or chunks.left_sec is None or chunks.longest_left_sec is None:
        return None
    if chunks.left_sec > 0 and not chunks.in_work:
        return None
    # Work is shared out by whole chunks: many workers do not make the last one shorter.
    return max(chunks.left_sec / max(chunks.in_work, 1), chunks.longest_left_sec) + film_sec


def _film_sec(job: Job, chunks: _Chunks, film_pace: float | None) -> float | None:
    """After the chunks of the phase, for the whole video. None when neither earlier films nor the chunks can tell."""
    if job.duration_seconds is None:
        return None
    if film_pace is not None:
        return film_pace * job.duration_seconds
    weights = _weights(job)
    if chunks.pace is not None:
        return chunks.pace * job.duration_seconds * weights.rest / weights.chunks if weights.chunks else None
    return None


def _film_pace(database: Database, kind: str) -> float | None:
    """How fast the fleet is at films of that kind, whoever's they were."""
    known = KINDS.get(kind)
    first_phases = as_array(known.first_phases if known else ())
    row = database.fleet.ask("film_pace", kind=kind, first_phases=first_phases)
    return None if row is None else row["pace"]


def _weights(job: Job) -> Weights:
    """A job of a kind that only newer workers know is shown as one that has chunks and little else."""
    kind = KINDS.get(job.kind)
    with suppress(InvalidParams):  # those of a newer version
        kind = kind.for_job(job.params) if kind else None
    return kind.weights(job.phase) if kind else Weights(0.0, 2.0, 1.0)


def _film_left_sec(job: Job, chunks: _Chunks, film_sec: float) -> float:
    """Expected at first, and more and more what this film itself shows."""
    share = job.progress
    if share < MIN_SHARE_TO_MEASURE or job.failures or chunks.since_last_chunk_sec is None:
        return film_sec * (1 - (0 if job.failures else share))
    measured_sec = chunks.since_last_chunk_sec * (1 - share) / share
    return share * measured_sec + (1 - share) * film_sec * (1 - share)


def _rounded(eta_sec: float | None) -> int | None:
    """Whole seconds, at least one, coarser the more there are: nobody believes the seconds of an hour."""
    if eta_sec is None:
        return None
    step = next(step for below, step in ETA_STEPS_SEC if eta_sec < below)
    return max(1, step * round(eta_sec / step))


def _poll_after(job: Job, chunks: _Chunks, eta_sec: float | None) -> int | None:
    if job.status in FINAL_JOB_STATUSES:
        return None
    if eta_sec is not None:
        return round(min(POLL_LATER_SEC, max(POLL_SOON_SEC, eta_sec / POLLS_TO_GO)))
    is_moving = chunks.in_work or job.lease_expires_at is not None or job.total_chunks is None
    return 2 * POLL_SOON_SEC if is_moving else POLL_LATER_SEC

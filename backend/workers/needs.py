"""What a worker loads before it claims anything: what its work may ask for, as far as it is set up for it."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain
from uuid import UUID

from backend.db.engine import Database
from backend.errors import DatabaseUnavailable, JobNotFound
from backend.jobs.service import JobService
from backend.kinds import KINDS, kind_named
from backend.kinds.tools import Need, Tools


def needs_ahead(database: Database, tools: Tools, only_job: UUID | None) -> frozenset[Need]:
    """Of the kind of its one job, or of all kinds but for what this worker is not set up for, and so does not claim.

    `framefleet run` starts workers before the job's row is there, and the database.
    """
    if only_job is not None:
        with suppress(JobNotFound, DatabaseUnavailable):
            job = JobService(database).get(only_job)
            return kind_named(job.kind).for_job(job.params).needs
    return needs_of_all(tools)


def needs_of_all(tools: Tools) -> frozenset[Need]:
    every = frozenset(chain.from_iterable(kind.needs for kind in KINDS.values()))
    return every & (tools.special | {Need.DETECTOR})

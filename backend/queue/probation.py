"""A job whose source fails holds one worker at a time, until a chunk of it is completed.

A source that is dead or dead slow keeps a worker until its reads are given up. Without this, every worker would be with
such a job's chunks while other jobs wait. The others are on hold, as those of a paused job are: no claim meets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from backend.db.engine import Database
from backend.db.sql import statement
from backend.queue import lanes


def begin(connection: Connection, job_id: UUID) -> Sequence[Any]:
    """In the transaction that put a chunk back because its source failed.

    Returns what may be claimed of the job now and was not before (rows for `lanes.lower_floors`): nothing while another
    of its chunks is in work.
    """
    job = {"job_id": job_id}
    if connection.execute(statement("begin_probation"), job).one_or_none() is None:
        return ()
    connection.execute(statement("hold_chunks"), job)
    return connection.execute(statement("let_one_out"), job).all()


def end(database: Database, job_id: UUID) -> None:
    """A chunk was completed: the others enter their lane anew, in their order. Raises DatabaseUnavailable."""
    with database.transaction() as connection:
        job = connection.execute(statement("end_probation"), {"job_id": job_id}).one_or_none()
        if job is None or job.is_paused:
            return
        entry = lanes.entry(connection, job_id, deep_mode=job.deep_mode, tenant=job.tenant, priority=job.priority)
        place = {"job_id": job_id, "first_rank": entry.first_rank, "stride": entry.stride}
        lanes.lower_floors(connection, connection.execute(statement("unhold_chunks"), place).all())


def wake(database: Database) -> None:
    """The sweep behind `begin`: lets a chunk out where none is. Raises DatabaseUnavailable.

    Race: the last chunk in work completes just while another one's failure begins the probation; they do not meet.
    """
    with database.transaction() as connection:
        idle = connection.execute(statement("idle_probations")).scalars().all()
    for job_id in sorted(idle):
        with database.transaction() as connection:
            lanes.lower_floors(connection, begin(connection, job_id))

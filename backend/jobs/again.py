"""A job that is run again, from the start: on the source of the one before."""

from __future__ import annotations

from typing import Any

from backend.db.models import Job
from backend.errors import InvalidState, SourceExpired
from backend.jobs.layout import source_key
from backend.jobs.versions import FORGOTTEN, is_forgotten
from backend.states import JobStatus
from backend.storage.base import ObjectStore


def source_again(job: Job, store: ObjectStore) -> dict[str, Any]:
    """What a NewJob on the same source says of it. Raises InvalidState where no file came, SourceExpired where the row
    has forgotten a part of the link."""
    if job.status == JobStatus.UPLOADING:
        raise InvalidState("The job's file has not arrived: upload it again.")
    if is_forgotten(job):
        raise SourceExpired(FORGOTTEN)
    owner = job.source_job or job.id
    named = {"input_uri": job.input_uri, "input_name": job.input_name}
    return named | {"source_job": owner} if job.input_uri == store.uri(source_key(owner)) else named

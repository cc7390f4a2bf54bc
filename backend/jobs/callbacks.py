"""Tells whoever asked for it how a job goes: POST {callback_url}/progress, /complete, /error.

What is told is read from the job's row, so it survives a restart and any worker can tell it; each word on a job is told
by one of them. Nothing here holds up a job: it runs in a thread of its own, outside of any claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from backend.db.engine import Database
from backend.db.models import Job
from backend.db.sql import statement
from backend.errors import FramefleetError, UnsupportedInput
from backend.events import Event, warn
from backend.jobs.progress import Progress, progress_of
from backend.settings import Settings
from backend.states import FINAL_JOB_STATUSES, JobStatus
from backend.storage.guard import OwnHosts
from backend.storage.names import is_object_uri, split_object_uri
from backend.storage.post import below, host_of, post_json

TELL_EVERY_SEC = 2.0
TIMEOUT_SEC = 5.0
BATCH = 64  # in one look
AT_ONCE = 16  # those that hang hold up few of the others
# A process that died while it told is replaced by another after so long; longer than it takes where all of them hang.
HOLD_SEC = 30.0
MOST_TRIES = 12  # of the last word, for about an hour in all
PAUSES = {"base_seconds": 2.0, "cap_seconds": 600.0}


@dataclass(frozen=True)
class Word:
    """What is told: the last part of the address, and the body."""

    name: str
    body: dict[str, Any]
    status: str  # the job's

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_JOB_STATUSES

    @property
    def text(self) -> str:
        """What it says, short: the same text is not told twice."""
        return f"{self.name} {self.body['progress']} {self.body['message']}" if self.name == "progress" else self.name


def word_on(job: Job, progress: Progress) -> Word:
    """What there is to tell of a job now."""
    match job.status:
        case JobStatus.DONE:
            return Word("complete", {"output_video_key": output_key_of(job)}, job.status)
        case JobStatus.FAILED:
            said = {"error": job.error_message or job.error_code, "should_retry": bool(job.error_retryable)}
            return Word("error", said, job.status)
        case JobStatus.CANCELLED:
            return Word("error", {"error": "The job was cancelled.", "should_retry": False}, job.status)
    return Word("progress", {"progress": progress.pct, "message": job.stage}, job.status)


def output_key_of(job: Job) -> str | None:
    """The key of a done job's film in its bucket, whosever bucket that is."""
    if job.output_key is not None or job.output_uri is None:
        return job.output_key
    return split_object_uri(job.output_uri)[1] if is_object_uri(job.output_uri) else None


class Callbacks:
    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._allow_private = settings.http_allow_private
        self._own_hosts = OwnHosts(settings.http_allowed_hosts)

    def tell_due(self) -> None:
        """The jobs whose turn it is. Raises DatabaseUnavailable."""
        with self._database.transaction() as connection:
            taken = connection.execute(statement("take_callbacks"), {"batch": BATCH, "hold_seconds": HOLD_SEC})
            job_ids = taken.scalars().all()
        if job_ids:
            self._tell(job_ids)

    def tell(self, job_id: UUID) -> None:
        """The job as it is now, whoever's turn it is: a process that is about to end says its last word."""
        self._tell([job_id])

    def _tell(self, job_ids: Sequence[UUID]) -> None:
        with self._database.session() as session:
            due = (Job.id.in_(job_ids), Job.callback_due_at.is_not(None))
            jobs = session.execute(select(Job).where(*due)).scalars().all()
        words = [word_on(*each) for each in zip(jobs, progress_of(self._database, jobs), strict=True)]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="callback") as pool:
            failures = list(pool.map(self._sent, jobs, words))
        for job, word, failure in zip(jobs, words, failures, strict=True):  # here, with one connection for all
            if failure is None:
                self._note_told(job, word)
            else:
                self._note_missed(job, word, failure)

    def _sent(self, job: Job, word: Word) -> FramefleetError | None:
        """What kept it from being delivered, if anything."""
        if job.callback_url is None or (word.text == job.callback_told and not word.is_final):
            return None
        url = below(job.callback_url, word.name)
        try:
            post_json(
                url,
                word.body,
                allow_private=self._allow_private,
                timeout_sec=TIMEOUT_SEC,
                own_hosts=self._own_hosts,
            )
        except FramefleetError as failure:
            return failure
        return None

    def _note_told(self, job: Job, word: Word) -> None:
        told = {"told": word.text, "status": word.status, "is_final": word.is_final, "again_seconds": TELL_EVERY_SEC}
        with self._database.transaction() as connection:
            connection.execute(statement("callback_told"), {"job_id": job.id, **told})

    def _note_missed(self, job: Job, word: Word, failure: FramefleetError) -> None:
        most = 0 if isinstance(failure, UnsupportedInput) else MOST_TRIES  # nobody may be told there
        missed = {"status": word.status, "is_final": word.is_final, "most": most, **PAUSES}
        with self._database.transaction() as connection:
            row = connection.execute(statement("callback_failed"), {"job_id": job.id, **missed}).one_or_none()
        event = Event.CALLBACK_GIVEN_UP if row is not None and row.is_given_up else Event.CALLBACK_FAILED
        host = host_of(job.callback_url or "")
        warn(event, job_id=str(job.id), callback=host, told=word.name, message=failure.message)

"""Rescues, expires, deletes and reports: `python -m backend.workers.janitor`, and in every analysis worker.

Any number of them may run at once. Everything here is a guarded statement, or can be done twice.
"""

from __future__ import annotations

import random
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from backend.db.engine import Database
from backend.db.sql import statement
from backend.events import Event, emit, warn
from backend.jobs.retention import Retention
from backend.queue.figures import SILENT_SECONDS
from backend.queue.health import OpenTransaction, oldest_transaction
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.storage.base import ObjectStore
from backend.workers import command
from backend.workers.duties import Duty
from backend.workers.leftovers import remove_leftovers
from backend.workers.loop import WorkerLoop
from backend.workers.samples import delete_old_samples

REPORT_EVERY_SEC = 60.0
RETENTION_EVERY_SEC = 600.0
LEFTOVERS_EVERY_SEC = 3600.0
ORPHANS_EVERY_SEC = 6 * 3600.0


@dataclass
class Swept:
    """What one round removed, or would remove. Ids and paths as text."""

    rescued_claims: int = 0
    expired_uploads: list[str] = field(default_factory=list)
    deleted_jobs: list[str] = field(default_factory=list)
    deleted_orphans: list[str] = field(default_factory=list)
    removed_folders: list[str] = field(default_factory=list)
    oldest_transaction_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Janitor:
    def __init__(
        self, database: Database, queue: Queue, store: ObjectStore, settings: Settings, *, dry_run: bool = False
    ) -> None:
        self._database = database
        self._queue = queue
        self._settings = settings
        self._dry_run = dry_run
        self._retention = Retention(database, store, settings, dry_run=dry_run)

    def duties(self) -> list[Duty]:
        """The slow ones begin at a random time: a fleet that starts at once does not list the bucket at once."""
        retention = self._retention
        lists_bucket = Duty("orphans", _spread(ORPHANS_EVERY_SEC), retention.delete_orphans)
        lists_bucket.delay(random.uniform(0.1, 1.0) * ORPHANS_EVERY_SEC)
        return [
            Duty("oldest_transaction", REPORT_EVERY_SEC, self.report_oldest_transaction),
            Duty("unknown_work", REPORT_EVERY_SEC, self.report_unknown_work),
            Duty("uploads", _spread(RETENTION_EVERY_SEC), retention.expire_uploads),
            Duty("retention", _spread(RETENTION_EVERY_SEC), retention.delete_expired),
            Duty("samples", _spread(RETENTION_EVERY_SEC), lambda: delete_old_samples(self._database)),
            Duty("leftovers", _spread(LEFTOVERS_EVERY_SEC), remove_leftovers),
            lists_bucket,
        ]

    def sweep(self, *, orphans_even_many: bool = False) -> Swept:
        """Everything once. Raises DatabaseUnavailable, StorageError."""
        oldest = self.report_oldest_transaction()
        return Swept(
            rescued_claims=0 if self._dry_run else self._queue.rescue_expired(),
            expired_uploads=[str(job_id) for job_id in self._retention.expire_uploads()],
            deleted_jobs=[str(job_id) for job_id in self._retention.delete_expired()],
            deleted_orphans=[str(i) for i in self._retention.delete_orphans(even_many=orphans_even_many)],
            removed_folders=[str(path) for path in remove_leftovers(dry_run=self._dry_run)],
            oldest_transaction_seconds=round(oldest.seconds, 1) if oldest else 0.0,
        )

    def report_unknown_work(self) -> None:
        """Warns of jobs that wait for a version of the workers that is not there. Raises DatabaseUnavailable."""
        with self._database.transaction() as connection:
            found = connection.execute(statement("unknown_work"), {"silent_seconds": SILENT_SECONDS}).all()
        for row in found:
            warn(Event.WORK_UNKNOWN, kind=row.kind, schema_version=row.schema_version, jobs=row.jobs)

    def report_oldest_transaction(self) -> OpenTransaction | None:
        """Warns above OLDEST_TRANSACTION_WARN_SECONDS: claims slow down while dead rows cannot be swept."""
        oldest = oldest_transaction(self._database)
        seconds = round(oldest.seconds, 1) if oldest else 0.0
        if oldest is not None and seconds >= self._settings.oldest_transaction_warn_seconds:
            who = {"pid": oldest.pid, "state": oldest.state, "application": oldest.application}
            warn(Event.OLDEST_TRANSACTION, seconds=seconds, **who)
        else:
            emit(Event.OLDEST_TRANSACTION, seconds=seconds)
        return oldest


def _spread(seconds: float) -> float:
    return seconds * random.uniform(0.9, 1.1)


@command.worker("janitor")
def main(place: command.Workplace) -> int:
    """Rescues expired leases, expires uploads, deletes by RETENTION_DAYS; with --once, one round."""
    settings, options = place.settings, place.options
    queue = Queue(place.database, settings)
    janitor = Janitor(place.database, queue, place.store, settings)
    if options.once:
        janitor.sweep()
        return 0
    loop = WorkerLoop("janitor", lambda: False, queue.tend, settings, claims=False, duties=janitor.duties())
    return loop.run(idle_exit_sec=options.idle_exit_sec)


if __name__ == "__main__":
    sys.exit(main())

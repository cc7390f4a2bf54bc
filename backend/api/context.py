"""What a request needs of the application: database, store, settings, planner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast
from uuid import UUID

from flask import current_app

from backend.api.access import caller
from backend.api.editing import Editing
from backend.api.keys import KeyRing
from backend.api.own_worker import OwnWorker
from backend.api.rates import Rates
from backend.api.streams import Streams
from backend.api.turns import Turns
from backend.db.engine import Database
from backend.jobs.plan import Planner
from backend.jobs.planners import Planners
from backend.jobs.quotas import Quotas
from backend.jobs.service import JobService
from backend.jobs.uploads import Uploads
from backend.jobs.versions import Versions
from backend.media.hardware import hardware_here
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage.base import ObjectStore
from backend.telemetry import poll_failed

if TYPE_CHECKING:
    from backend.api.oidc import Bearer

EXTENSION = "framefleet"


@dataclass
class Context:
    settings: Settings
    database: Database
    store: ObjectStore
    planners: Planners
    bearer: Bearer | None  # checks OIDC tokens, where they are asked for
    own_worker: OwnWorker
    keys: KeyRing
    rates: Rates
    streams: Streams
    editing: Editing
    drawing: Turns

    @property
    def database_of_caller(self) -> Database:
        """For what is done on a caller's behalf: the rows of its tenant alone."""
        return self.database.as_tenant(caller().tenant)

    @property
    def jobs(self) -> JobService:
        """Of the caller's tenant; another's are not found."""
        return JobService(self.database_of_caller, Quotas.of(self.settings))

    @property
    def all_jobs(self) -> JobService:
        """Of every tenant, for callers that work for the fleet."""
        return JobService(self.database)

    @property
    def versions(self) -> Versions:
        return Versions(self.database_of_caller, self.store, Quotas.of(self.settings))

    @property
    def uploads(self) -> Uploads:
        return Uploads(self.database_of_caller, self.store, self.settings, tenant=caller().tenant)

    @cached_property
    def hardware(self) -> list[str]:
        """Encoders and decoders of this machine; tried once."""
        return hardware_here(self.settings)

    def plan_soon(self, job_id: UUID) -> None:
        """Plans behind the request's back. Should this process die first, the analysis worker's sweep plans the job."""
        self.planners.submit(lambda: self._plan(job_id))

    def _plan(self, job_id: UUID) -> None:
        try:
            queue = Queue(self.database, self.settings)
            claim = queue.claim_job(JobStatus.QUEUED, job_id)
            if claim is not None:
                Planner(self.database, queue, self.store, self.settings).plan(claim)
        except Exception as failure:  # noqa: BLE001 - a thread's error would vanish; the sweep plans the job later
            poll_failed(failure, job_id=str(job_id))


def context() -> Context:
    return cast(Context, current_app.extensions[EXTENSION])

"""What a tenant may use: jobs that are open at once; and in 24 hours bytes, frames and workers' time.

A job that is created needs room for one more open job, and something left of the rest. What it takes of the rest is
known when it is planned; then it fails where that is too much. Jobs that come at once pass no quota either.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from sqlalchemy import Connection

from backend.db.sql import statement
from backend.errors import QuotaExceeded
from backend.media.facts import VideoFacts
from backend.media.sound_facts import Probed
from backend.settings import Settings


@dataclass(frozen=True)
class Quotas:
    """None: as much as it likes."""

    open_jobs: int | None = None
    bytes: int | None = None
    frames: int | None = None
    cpu_seconds: float | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Of a tenant that has none of its own."""
        return cls(
            settings.tenant_max_open_jobs,
            settings.tenant_max_bytes_a_day,
            settings.tenant_max_frames_a_day,
            settings.tenant_max_cpu_seconds_a_day,
        )

    def for_tenant(self, connection: Connection, tenant: str) -> Quotas:
        """Those of the tenant, else these."""
        row = connection.execute(statement("quotas_of"), {**asdict(self), "tenant": tenant}).one()
        return Quotas(**row._mapping)

    def begin(self, connection: Connection, tenant: str) -> Quotas:
        """The tenant's, after whoever else takes of them now; the transaction's end lets the next one look."""
        own = self.for_tenant(connection, tenant)
        if own != Quotas():
            connection.execute(statement("lock_quota"), {"tenant": tenant})
        return own

    def check_open_jobs(self, connection: Connection, tenant: str) -> None:
        """With the job that this transaction made or opened again. Raises QuotaExceeded."""
        if self.open_jobs is None:
            return
        found = connection.execute(statement("open_jobs"), {"tenant": tenant}).scalar_one()
        if found > self.open_jobs:
            raise QuotaExceeded(
                f"open_jobs: {self.open_jobs} jobs may be open at once. There is room for one more when one is over."
            )

    def check_left(self, connection: Connection, tenant: str) -> None:
        """Whether anything is left for one more job. Raises QuotaExceeded."""
        self._check(connection, tenant, None, least={"bytes": 1, "frames": 1, "cpu_seconds": 0.001})

    def check_plan(self, connection: Connection, tenant: str, job_id: UUID, size_bytes: int, probed: Probed) -> None:
        """Whether a job on this source still has room. Raises QuotaExceeded."""
        self._check(connection, tenant, job_id, least={"bytes": size_bytes, "frames": _frames_in(probed)})

    def _check(self, connection: Connection, tenant: str, job_id: UUID | None, least: dict[str, float]) -> None:
        limits = {name: limit for name in least if (limit := getattr(self, name)) is not None}
        if not limits:
            return
        asked = {"tenant": tenant, "job_id": job_id, "counts_cpu": "cpu_seconds" in limits}
        used = connection.execute(statement("used_lately"), asked).one()._mapping
        for name, limit in limits.items():
            if used[name] + least[name] > limit:
                raise QuotaExceeded(_words(name, limit, used[name], least[name], used["frees_at"]))


def _frames_in(probed: Probed) -> int:
    if not isinstance(probed, VideoFacts):
        return 0
    if probed.frame_count is not None or not probed.fps:
        return probed.frame_count or 0
    return round((probed.duration_seconds or 0) * probed.fps[0] / probed.fps[1])


def _words(name: str, limit: float, used: float, wanted: float, frees_at: datetime | None) -> str:
    said = f"{name}: {limit:g} in 24 hours, of which {used:g} are used"
    if frees_at is None or wanted > limit:
        return f"{said}; this job needs {wanted:g}. A smaller one has room."
    return f"{said}. The first of them are free again at {frees_at.isoformat(timespec='seconds')}."

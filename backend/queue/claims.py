"""What a worker holds: a claimed chunk or job, and what it needs to know to do the work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from backend.media.sound_facts import Probed, as_probed
from backend.states import DeepMode, JobStatus


@dataclass(frozen=True)
class ChunkClaim:
    """A claimed chunk and what is needed to work on it. (chunk_id, attempts) is the claim."""

    chunk_id: int
    attempts: int
    job_id: UUID
    phase: str
    chunk_index: int
    phase_chunks: int
    start_pts: int
    end_pts: int
    kind: str
    params: dict[str, Any]
    input_uri: str
    source_etag: str
    source_size: int
    trace_context: str | None
    plan: dict[str, Any]  # what the step before wrote down for this phase
    probed: Probed
    source_job: UUID | None = None

    @property
    def source_owner(self) -> UUID:
        """In whose folder the source lies, if it is an upload or a copy."""
        return self.source_job or self.job_id

    @property
    def ids(self) -> dict[str, Any]:
        """What events say of it."""
        return {
            "job_id": str(self.job_id),
            "phase": self.phase,
            "chunk_index": self.chunk_index,
            "attempt": self.attempts,
        }

    @property
    def is_first(self) -> bool:
        return self.chunk_index == 0

    @property
    def is_last(self) -> bool:
        return self.chunk_index == self.phase_chunks - 1


@dataclass(frozen=True)
class JobClaim:
    """A job claimed for planning (status queued), or for the step that takes up a phase's chunks. (job_id, attempts) is
    the claim."""

    job_id: UUID
    attempts: int
    status: JobStatus
    kind: str
    params: dict[str, Any]
    input_uri: str
    input_name: str
    deep_mode: DeepMode
    tenant: str
    priority: int
    source_etag: str | None
    source_size: int | None
    probe: dict[str, Any] | None
    output_uri: str | None
    total_chunks: int | None
    trace_context: str | None
    phase: str
    phase_plan: dict[str, Any]
    output_put_url: str | None = field(default=None, repr=False)  # a secret
    output_ending: str | None = None
    keeps_existing: bool = False  # see NewJob
    failures: int = 0
    version_of: UUID | None = None
    source_job: UUID | None = None

    @property
    def source_owner(self) -> UUID:
        """In whose folder the source lies, if it is an upload or a copy."""
        return self.source_job or self.job_id

    @property
    def ids(self) -> dict[str, Any]:
        return {"job_id": str(self.job_id), "attempt": self.attempts}

    @property
    def probed(self) -> Probed:
        return as_probed(self.probe)

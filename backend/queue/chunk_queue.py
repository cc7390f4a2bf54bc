"""What a chunk worker needs of the queue, wherever that is: the verbs of a chunk, each guarded by the claim."""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from backend.errors import FramefleetError
from backend.events import Event
from backend.queue.claims import ChunkClaim
from backend.states import DeepMode, JobStatus


class ChunkQueue(Protocol):
    """Queue, on a database; or RemoteQueue, on a server that has one. Zero rows under a claim raise ClaimLost; every
    method raises DatabaseUnavailable when no answer comes."""

    def claim_chunk(self, deep_mode: DeepMode, job_id: UUID | None = None) -> ChunkClaim | None: ...

    def heartbeat_chunk(self, claim: ChunkClaim, progress: float, last_event: Event | None = None) -> None: ...

    def complete_chunk(
        self,
        claim: ChunkClaim,
        artifact_key: str,
        sha256: str,
        detector: dict[str, Any] | None,
        bytes_read: int | None = None,
    ) -> JobStatus: ...

    def complete_and_claim(
        self,
        claim: ChunkClaim,
        artifact_key: str,
        sha256: str,
        detector: dict[str, Any] | None,
        bytes_read: int | None = None,
        *,
        deep_mode: DeepMode,
        job_id: UUID | None = None,
    ) -> tuple[JobStatus, ChunkClaim | None]: ...

    def fail_chunk(self, claim: ChunkClaim, error: FramefleetError) -> None: ...

    def put_back_chunk(self, claim: ChunkClaim, error: FramefleetError) -> str: ...

    def release_chunk(self, claim: ChunkClaim) -> None: ...

    def has_queued(self, deep_mode: DeepMode, job_id: UUID | None = None) -> bool: ...

    def tend(self) -> None: ...

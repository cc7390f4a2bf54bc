"""The queue's verbs for a chunk worker, asked of a server."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from backend.errors import ClaimLost, FramefleetError
from backend.events import Event
from backend.queue import messages as m
from backend.queue.claims import ChunkClaim
from backend.states import DeepMode, JobStatus
from backend.workers.remote.server import TRIES, Server, claim_path


class RemoteQueue:
    """A ChunkQueue, for one thread that claims and others that beat. All times are the server's database's.

    Where the answer to a claim is lost on the way, a chunk may be held that nobody works on: with the next claim this
    worker says which ones it knows of, and the server puts the others back.
    """

    def __init__(self, server: Server, has: Iterable[str] = ()) -> None:
        self._server = server
        self._known = server.known(tuple(sorted(has))).model_dump()
        self._lock = threading.Lock()
        self._held: set[tuple[int, int]] = set()
        self._is_unsure = False

    def claim_chunk(self, deep_mode: DeepMode, job_id: UUID | None = None) -> ChunkClaim | None:
        was_unsure, self._is_unsure = self._is_unsure, True
        held = self._known_claims() if was_unsure else None
        given = self._server.ask("/claim", self._asked(deep_mode, job_id, held), m.Given)
        self._is_unsure = False
        return self._taken(given.claim)

    def heartbeat_chunk(self, claim: ChunkClaim, progress: float, last_event: Event | None = None) -> None:
        try:
            self._server.tell(claim_path(claim, "beat"), m.Beat(progress=progress, last_event=last_event))
        except ClaimLost:
            self._forget(claim)
            raise

    def complete_chunk(
        self,
        claim: ChunkClaim,
        artifact_key: str,
        sha256: str,
        detector: dict[str, Any] | None,
        bytes_read: int | None = None,
    ) -> JobStatus:
        return self._complete(claim, m.Completion(sha256=sha256, detector=detector, bytes_read=bytes_read)).job_status

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
    ) -> tuple[JobStatus, ChunkClaim | None]:
        following = self._asked(deep_mode, job_id)
        said = m.Completion(sha256=sha256, detector=detector, bytes_read=bytes_read, following=following)
        self._is_unsure = True  # the next chunk may be lost with the answer
        completed = self._complete(claim, said)
        self._is_unsure = False
        return completed.job_status, self._taken(completed.claim)

    def fail_chunk(self, claim: ChunkClaim, error: FramefleetError) -> None:
        with self._ending(claim):
            self._server.tell(claim_path(claim, "fail"), m.Failure.of(error), tries=TRIES)

    def put_back_chunk(self, claim: ChunkClaim, error: FramefleetError) -> str:
        with self._ending(claim):
            return self._server.ask(claim_path(claim, "put-back"), m.Failure.of(error), m.PutBack, tries=TRIES).status

    def release_chunk(self, claim: ChunkClaim) -> None:
        with self._ending(claim):
            self._server.tell(claim_path(claim, "release"), tries=TRIES)

    def has_queued(self, deep_mode: DeepMode, job_id: UUID | None = None) -> bool:
        return self._server.ask("/queued", self._asked(deep_mode, job_id), m.Queued).queued

    def tend(self) -> None:
        """Sweeping is for workers that reach the database."""

    def _complete(self, claim: ChunkClaim, said: m.Completion) -> m.Completed:
        with self._ending(claim):
            return self._server.ask(claim_path(claim, "complete"), said, m.Completed, tries=TRIES)

    def _asked(self, deep_mode: DeepMode, job_id: UUID | None, held: list[tuple[int, int]] | None = None) -> m.Asked:
        return m.Asked.model_validate({**self._known, "deep_mode": deep_mode, "job_id": job_id, "held": held})

    def _taken(self, claimed: m.Claimed | None) -> ChunkClaim | None:
        if claimed is None:
            return None
        with self._lock:
            self._held.add((claimed.chunk_id, claimed.attempts))
        return claimed.as_claim()

    def _known_claims(self) -> list[tuple[int, int]]:
        with self._lock:
            return sorted(self._held)

    @contextmanager
    def _ending(self, claim: ChunkClaim) -> Iterator[None]:
        """Where no answer came, the claim may still be ours, and its end owed."""
        try:
            yield
        except ClaimLost:
            self._forget(claim)
            raise
        self._forget(claim)

    def _forget(self, claim: ChunkClaim) -> None:
        with self._lock:
            self._held.discard((claim.chunk_id, claim.attempts))

"""The artifacts of chunks in the store: written once, adopted where one that fits is there already."""

from __future__ import annotations

from typing import Generic

from backend.errors import ArtifactCorrupt, NewerVersion, ObjectExists, ObjectNotFound
from backend.events import Event, emit, warn
from backend.jobs.layout import artifact_key
from backend.kinds.base import Chunks
from backend.kinds.context import ChunkContext
from backend.kinds.params import P
from backend.queue.claims import ChunkClaim
from backend.queue.queue import Queue
from backend.storage.base import ObjectStore
from backend.vision.artifacts import sha256_hex


class ChunkArtifact(Generic[P]):
    """Of one claimed chunk. Checksums are those of the stored bytes."""

    def __init__(
        self, queue: Queue, store: ObjectStore, claim: ChunkClaim, step: Chunks[P], context: ChunkContext[P]
    ) -> None:
        self._queue = queue
        self._store = store
        self._claim = claim
        self._step = step
        self._context = context
        self.key = artifact_key(claim.job_id, step.pattern, claim.chunk_index)

    def adopted(self) -> str | None:
        """The checksum of what an earlier attempt, or an earlier job on the same source, left for this chunk."""
        own = self._own()
        if own is not None or not (self._step.is_shared and self._context.settings.reuse_chunks):
            return own
        earlier = self._of_earlier_job()
        return self.store(earlier) if earlier is not None else None

    def store(self, data: bytes) -> str:
        """Written once: where another attempt was faster, its artifact stays and is taken if it is sound."""
        try:
            self._store.put_if_absent(self.key, data, content_type=self._step.content_type)
        except ObjectExists:
            own = self._own()
            if own is not None:
                return own
            self._store.put(self.key, data, content_type=self._step.content_type)
        return sha256_hex(data)

    def _own(self) -> str | None:
        data = self._read(self.key)
        if data is None:
            return None
        if self._made_alike(self.key, data) != data:
            warn(Event.ARTIFACT_REPLACED, key=self.key, message="It was made from another source or in another way.")
            return None
        emit(Event.CHUNK_ADOPTED, **self._claim.ids)
        return sha256_hex(data)

    def _of_earlier_job(self) -> bytes | None:
        """A copy for this job. The earlier job may be deleted at any time; then there is nothing to adopt."""
        for key, sha256 in self._queue.earlier_artifacts(self._claim):
            data = self._read(key)
            if data is None or sha256_hex(data) != sha256:
                continue
            copy = self._made_alike(key, data)
            if copy is not None:
                emit(Event.CHUNK_ADOPTED, **self._claim.ids, from_key=key)
                return copy
        return None

    def _read(self, key: str) -> bytes | None:
        try:
            return self._store.get(key)
        except ObjectNotFound:
            return None

    def _made_alike(self, key: str, data: bytes) -> bytes | None:
        try:
            return self._step.adopted(data, self._context)
        except (ArtifactCorrupt, NewerVersion) as corrupt:
            warn(Event.ARTIFACT_REPLACED, key=key, message=corrupt.message)
            return None

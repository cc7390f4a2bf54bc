"""The artifacts of chunks: written once, adopted where one that fits is there already."""

from __future__ import annotations

from typing import Generic

from backend.errors import ArtifactCorrupt, NewerVersion, ObjectExists
from backend.events import Event, emit, warn
from backend.jobs.chunk_place import key_of
from backend.kinds.base import Chunks
from backend.kinds.context import ChunkContext
from backend.kinds.params import P
from backend.queue.claims import ChunkClaim
from backend.vision.artifacts import sha256_hex
from backend.workers.chunk_files import ChunkFiles
from backend.workers.chunk_previews import bring_preview


class ChunkArtifact(Generic[P]):
    """Of one claimed chunk. Checksums are those of the stored bytes."""

    def __init__(self, files: ChunkFiles, claim: ChunkClaim, step: Chunks[P], context: ChunkContext[P]) -> None:
        self._files = files
        self._claim = claim
        self._step = step
        self._context = context
        self.key = key_of(claim)

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
            self._files.put_if_absent(data)
        except ObjectExists:
            own = self._own()
            if own is not None:
                return own
            self._files.put(data)
        return sha256_hex(data)

    def _own(self) -> str | None:
        data = self._files.artifact()
        if data is None:
            return None
        if self._made_alike(self.key, data) != data:
            warn(Event.ARTIFACT_REPLACED, key=self.key, message="It was made from another source or in another way.")
            return None
        emit(Event.CHUNK_ADOPTED, **self._claim.ids)
        return sha256_hex(data)

    def _of_earlier_job(self) -> bytes | None:
        """A copy for this job."""
        for key, data in self._files.found_earlier():
            copy = self._made_alike(key, data)
            if copy is not None:
                emit(Event.CHUNK_ADOPTED, **self._claim.ids, from_key=key)
                bring_preview(self._files, self._claim, key)
                return copy
        return None

    def _made_alike(self, key: str, data: bytes) -> bytes | None:
        try:
            return self._step.adopted(data, self._context)
        except (ArtifactCorrupt, NewerVersion) as corrupt:
            warn(Event.ARTIFACT_REPLACED, key=key, message=corrupt.message)
            return None

"""The artifacts of chunks in the store: written once, adopted where one that fits is there already."""

from __future__ import annotations

from backend.errors import ArtifactCorrupt, NewerVersion, ObjectExists, ObjectNotFound
from backend.events import Event, emit, warn
from backend.jobs.claims import ChunkClaim
from backend.jobs.manifest import artifact_key
from backend.jobs.queue import Queue
from backend.kinds import kind_named
from backend.settings import Settings
from backend.storage.base import ObjectStore
from backend.vision.artifacts import ChunkArtifact, load_artifact, sha256_hex, to_json_bytes
from backend.vision.detector import Detector

JSON_TYPE = "application/json"


class ChunkArtifacts:
    """What one worker, with its detector and its settings, may adopt. Checksums are those of the stored bytes."""

    def __init__(self, queue: Queue, store: ObjectStore, detector: Detector, settings: Settings) -> None:
        self._queue = queue
        self._store = store
        self._detector = detector
        self._settings = settings

    def adopted(self, claim: ChunkClaim) -> str | None:
        """The checksum of what an earlier attempt, or an earlier job on the same source, left for this chunk."""
        own = self._own(claim)
        if own is not None:
            return own
        earlier = self._of_earlier_job(claim) if self._settings.reuse_chunks else None
        return self.store(claim, earlier) if earlier is not None else None

    def store(self, claim: ChunkClaim, artifact: ChunkArtifact) -> str:
        """Written once: where another attempt was faster, its artifact stays and is taken if it is sound."""
        key, data = artifact_key(claim.job_id, claim.chunk_index), to_json_bytes(artifact)
        try:
            self._store.put_if_absent(key, data, content_type=JSON_TYPE)
        except ObjectExists:
            own = self._own(claim)
            if own is not None:
                return own
            self._store.put(key, data, content_type=JSON_TYPE)
        return sha256_hex(data)

    def _own(self, claim: ChunkClaim) -> str | None:
        key = artifact_key(claim.job_id, claim.chunk_index)
        found = self._read(key, None)
        if found is None:
            return None
        artifact, sha256 = found
        same_place = (artifact.job_id, artifact.chunk_index) == (str(claim.job_id), claim.chunk_index)
        if not (same_place and self._fits(artifact, claim)):
            warn(Event.ARTIFACT_REPLACED, key=key, message="It was made from another source or with other parameters.")
            return None
        emit(Event.CHUNK_ADOPTED, job_id=str(claim.job_id), chunk_index=claim.chunk_index)
        return sha256

    def _of_earlier_job(self, claim: ChunkClaim) -> ChunkArtifact | None:
        """A copy for this job. The earlier job may be deleted at any time; then there is nothing to adopt."""
        for key, sha256 in self._queue.earlier_artifacts(claim):
            found = self._read(key, sha256)
            if found is not None and self._fits(found[0], claim):
                ids = {"job_id": str(claim.job_id), "chunk_index": claim.chunk_index}
                emit(Event.CHUNK_ADOPTED, **ids, from_job_id=found[0].job_id)
                return found[0].model_copy(update=ids)
        return None

    def _read(self, key: str, sha256: str | None) -> tuple[ChunkArtifact, str] | None:
        try:
            data = self._store.get(key)
        except ObjectNotFound:
            return None
        try:
            return load_artifact(data, expected_sha256=sha256), sha256_hex(data)
        except (ArtifactCorrupt, NewerVersion) as corrupt:
            warn(Event.ARTIFACT_REPLACED, key=key, message=corrupt.message)
            return None

    def _fits(self, artifact: ChunkArtifact, claim: ChunkClaim) -> bool:
        kind = kind_named(claim.kind)
        identity = kind.chunk_identity(kind.parse_params(claim.params), self._detector, self._settings)
        same_source = (artifact.source.etag, artifact.source.size) == (claim.source_etag, claim.source_size)
        return same_source and artifact.params_sha256 == identity

"""The bytes that a worker may touch under one claim, and where they lie when it reaches the store itself."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from backend.errors import ObjectNotFound
from backend.jobs.chunk_place import key_of, step_of
from backend.jobs.further_inputs import open_input
from backend.jobs.layout import MAX_PREVIEW_BYTES, PREVIEW_TYPE, plan_key, preview_key
from backend.jobs.sources import open_job_source
from backend.kinds.params import Params
from backend.queue.claims import ChunkClaim
from backend.queue.executor import Hold
from backend.queue.queue import Queue
from backend.settings import Settings
from backend.storage.base import ObjectStore, Source
from backend.storage.pace import Cutoff
from backend.vision.artifacts import sha256_hex


class ChunkFiles(Protocol):
    """Of one claimed chunk. Every method raises StorageError where the store, or the way to it, is away."""

    def source(self) -> Source:
        """In the version that was planned. Raises what `open_source` raises."""
        ...

    def further_input(self, params: Params, uri: str) -> Source:
        """One that the parameters name. Raises what `open_input` raises."""
        ...

    def object(self, name: str) -> bytes:
        """What the step before wrote for this phase. Raises ObjectNotFound."""
        ...

    def artifact(self) -> bytes | None:
        """What an earlier try left for this chunk."""
        ...

    def found_earlier(self) -> Iterator[tuple[str, bytes]]:
        """(where from, bytes) of what other jobs found in the same piece of the same source; each as it was written."""
        ...

    def put_if_absent(self, data: bytes) -> None:
        """Writes the artifact. Raises ObjectExists where there is one."""
        ...

    def put(self, data: bytes) -> None:
        """Writes the artifact over what is there."""
        ...

    def put_preview(self, file: Path) -> None:
        """Writes the small film beside the artifact, once. Raises ObjectExists, UploadTooLarge."""
        ...

    def bring_preview(self, artifact_key: str) -> None:
        """Writes a copy of the one beside another chunk's artifact. Raises ObjectNotFound, ObjectExists."""
        ...


# Told the claim, and its hold, which hears of bytes that are on their way.
FilesOf = Callable[[ChunkClaim, Hold], ChunkFiles]


class StoredFiles:
    """For a worker that has the store's credentials."""

    def __init__(self, claim: ChunkClaim, queue: Queue, store: ObjectStore, settings: Settings, cutoff: Cutoff) -> None:
        self._claim = claim
        self._cutoff = cutoff
        self._queue = queue
        self._store = store
        self._settings = settings
        self._key = key_of(claim)
        self._content_type = step_of(claim).content_type

    def source(self) -> Source:
        claim = self._claim
        return open_job_source(
            claim.source_owner, claim.input_uri, claim.source_etag, self._store, self._settings, self._cutoff
        )

    def further_input(self, params: Params, uri: str) -> Source:
        return open_input(params, uri, self._settings, self._cutoff)

    def object(self, name: str) -> bytes:
        plan = self._claim.plan
        return self._store.get(plan_key(self._claim.job_id, plan["phase"], plan["attempt"], name))

    def artifact(self) -> bytes | None:
        return self._read(self._key)

    def found_earlier(self) -> Iterator[tuple[str, bytes]]:
        """The other job may be deleted at any time; then there is nothing to adopt."""
        for key, sha256 in self._queue.earlier_artifacts(self._claim):
            data = self._read(key)
            if data is not None and sha256_hex(data) == sha256:
                yield key, data

    def put_if_absent(self, data: bytes) -> None:
        self._store.put_if_absent(self._key, data, content_type=self._content_type)

    def put(self, data: bytes) -> None:
        self._store.put(self._key, data, content_type=self._content_type)

    def put_preview(self, file: Path) -> None:
        with file.open("rb") as film:
            self._put_preview(film)

    def bring_preview(self, artifact_key: str) -> None:
        self._put_preview(io.BytesIO(self._store.get(preview_key(artifact_key))))

    def _put_preview(self, film: BinaryIO) -> None:
        key = preview_key(self._key)
        self._store.put_stream(key, film, max_bytes=MAX_PREVIEW_BYTES, content_type=PREVIEW_TYPE, if_absent=True)

    def _read(self, key: str) -> bytes | None:
        try:
            return self._store.get(key)
        except ObjectNotFound:
            return None


def stored_files(queue: Queue, store: ObjectStore, settings: Settings) -> FilesOf:
    return lambda claim, hold: StoredFiles(claim, queue, store, settings, hold.cutoff)

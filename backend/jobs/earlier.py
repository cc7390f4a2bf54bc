"""What the steps before have left of a job, read from the store when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from backend.db.models import Chunk
from backend.errors import ArtifactCorrupt
from backend.jobs.layout import MAX_PREVIEW_BYTES, plan_key, preview_key
from backend.storage.base import ObjectStore
from backend.vision.artifacts import sha256_hex


class StoredEarlier:
    """For the step that takes up a phase's chunks. `phase_plan` is the job row's; `chunks` gives the rows of the
    phase, all completed. `tell` is called before each is read."""

    def __init__(
        self,
        store: ObjectStore,
        job_id: UUID,
        phase_plan: Mapping[str, Any],
        chunks: Callable[[], Sequence[Chunk]],
        tell: Callable[[], None],
    ) -> None:
        self.plan: Mapping[str, Any] = phase_plan.get("told", {})
        self._phase_plan = phase_plan
        self._store = store
        self._job_id = job_id
        self._chunks = chunks
        self._tell = tell

    def artifacts(self) -> Iterator[tuple[bytes, str]]:
        for chunk in self._chunks():
            self._tell()
            data, expected = self._store.get(chunk.artifact_s3_key or ""), chunk.artifact_sha256 or ""
            if sha256_hex(data) != expected.lower():
                raise ArtifactCorrupt("A chunk's stored result differs from its checksum; submit the video again.")
            yield data, expected

    def previews(self, folder: Path) -> Iterator[Path | None]:
        for chunk in self._chunks():
            self._tell()
            path = folder / f"preview_{chunk.chunk_index:04d}.mp4"
            key = preview_key(chunk.artifact_s3_key or "")
            info = self._store.head(key)
            if info is None or info.size_bytes > MAX_PREVIEW_BYTES:
                yield None
                continue
            self._store.get_file(key, path)
            yield path

    def files(self, folder: Path) -> Iterator[tuple[Path, str]]:
        for chunk in self._chunks():
            self._tell()
            path = folder / f"chunk_{chunk.chunk_index:04d}"
            self._store.get_file(chunk.artifact_s3_key or "", path)
            yield path, chunk.artifact_sha256 or ""

    def object(self, name: str) -> bytes:
        return self._store.get(plan_key(self._job_id, self._phase_plan["phase"], self._phase_plan["attempt"], name))

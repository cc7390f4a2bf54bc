"""What a step in chunks is given of the steps before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backend.workers.chunk_files import ChunkFiles


class EarlierOfChunk:
    """For a step in chunks, which takes up nobody's: only what was written down for its phase."""

    def __init__(self, files: ChunkFiles, phase_plan: Mapping[str, Any]) -> None:
        self.plan: Mapping[str, Any] = phase_plan.get("told", {})
        self._files = files

    def artifacts(self) -> Iterator[tuple[bytes, str]]:
        return iter(())

    def previews(self, folder: Path) -> Iterator[Path | None]:
        return iter(())

    def files(self, folder: Path) -> Iterator[tuple[Path, str]]:
        return iter(())

    def object(self, name: str) -> bytes:
        return self._files.object(name)

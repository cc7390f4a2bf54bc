"""Previews of chunks on their way to the store. They are for people to look at: one that is lost is told of, and the
chunk goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backend.errors import (
    DatabaseUnavailable,
    FramefleetError,
    InvalidRequest,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    UploadTooLarge,
)
from backend.events import Event, warn
from backend.queue.claims import ChunkClaim
from backend.workers.chunk_files import ChunkFiles

# DatabaseUnavailable: the server of a remote worker is away. InvalidRequest: it is of a version without previews.
LOST = (StorageError, UploadTooLarge, DatabaseUnavailable, InvalidRequest)


def keep_preview(files: ChunkFiles, claim: ChunkClaim, file: Path) -> None:
    """Raises ClaimLost."""
    _tried(claim, lambda: files.put_preview(file))


def bring_preview(files: ChunkFiles, claim: ChunkClaim, artifact_key: str) -> None:
    """Of a chunk that is adopted. Raises ClaimLost."""
    _tried(claim, lambda: files.bring_preview(artifact_key))


def _tried(claim: ChunkClaim, do: Callable[[], None]) -> None:
    try:
        do()
    except (ObjectExists, ObjectNotFound):  # of an earlier try; of a job that had none
        return
    except LOST as failure:
        assert isinstance(failure, FramefleetError)
        warn(Event.PREVIEW_LOST, **claim.ids, error_code=failure.code, message=failure.message)

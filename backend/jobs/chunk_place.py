"""What a claimed chunk is worked on in, and where its artifact lies."""

from __future__ import annotations

from typing import Any

from backend.jobs.layout import artifact_key
from backend.kinds import kind_named
from backend.kinds.base import Chunks
from backend.queue.claims import ChunkClaim


def step_of(claim: ChunkClaim) -> Chunks[Any]:
    step = kind_named(claim.kind).phase(claim.phase).chunks
    assert step is not None, "only phases with chunks have rows"
    return step


def key_of(claim: ChunkClaim) -> str:
    """Of the chunk's artifact in the store."""
    return artifact_key(claim.job_id, step_of(claim).pattern, claim.chunk_index)

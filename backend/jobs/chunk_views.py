"""What people see of one chunk before its job is done."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select

from backend.db.engine import Database
from backend.db.models import Chunk, Job
from backend.errors import ObjectNotFound
from backend.kinds import KINDS
from backend.media.facts import VideoFacts
from backend.media.sound_facts import as_probed
from backend.vision.artifacts import ChunkArtifact

# By phase: steps whose workers see pictures, follow what is in them and keep a preview.
SAMPLED_PHASES = {
    phase.name: phase.chunks
    for kind in KINDS.values()
    for phase in kind.phases
    if phase.chunks is not None and phase.chunks.is_sampled
}


def find_chunk(database: Database, job_id: UUID, phase: str, chunk_index: int) -> Chunk | None:
    query = select(Chunk).where(Chunk.job_id == job_id, Chunk.phase == phase, Chunk.chunk_index == chunk_index)
    with database.session() as session:
        return session.execute(query).scalar_one_or_none()


def people_of(job: Job, chunk: Chunk, data: bytes) -> dict[str, Any]:
    """Who was followed in a chunk of a sampled phase, whose artifact is `data`: times in seconds from the film's first
    frame, boxes in pixels of the upright source. Raises ArtifactCorrupt, NewerVersion, ObjectNotFound."""
    artifact = SAMPLED_PHASES[chunk.phase].tracked(data, chunk.artifact_sha256)
    facts = as_probed(job.probe)
    if not isinstance(facts, VideoFacts) or not artifact.frame_pts:
        raise ObjectNotFound("There is nothing to show of this chunk.")
    tick_sec = float(facts.time_base_fraction)

    def sec(pts: int) -> float:
        return round((pts - facts.start_pts) * tick_sec, 6)

    return {
        "start_sec": sec(artifact.frame_pts[0]),
        "frame_size": artifact.frame_size,
        "people": [each for each in (_person(artifact, number, sec) for number in range(len(artifact.tracks))) if each],
    }


def _person(artifact: ChunkArtifact, number: int, sec: Any) -> dict[str, Any] | None:
    """Inside the chunk; None for somebody who comes only after its end."""
    track = artifact.tracks[number]
    inside = sum(pts < artifact.end_pts for pts in track.pts)
    if not inside:
        return None
    return {
        "id": track.id,
        "class": track.class_name,
        "times_sec": [sec(pts) for pts in track.pts[:inside]],
        "boxes": [[round(side, 1) for side in box] for box in track.boxes[:inside]],
    }

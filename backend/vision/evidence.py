"""What the chunks tell beside tracks of who is who: how people look, and how the camera moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backend.vision.artifacts import ChunkArtifact
from backend.vision.ground import Ground, Move
from backend.vision.looks_record import LOOKS_BYTES, unpacked
from backend.vision.stitch import Track


def with_looks(tracks: Sequence[Track], artifacts: Sequence[ChunkArtifact]) -> list[Track]:
    """The tracks as they were stitched, each sample with how its detection looks; as they are where older workers told
    nothing of it."""
    rows: dict[tuple[int, bytes], bytes] = {}
    for artifact in artifacts:
        for found in artifact.detections:
            if found.looks:
                boxes = np.array(found.boxes, np.float64).reshape(-1, 4)
                looks = unpacked(found.looks)
                rows.update(((found.pts, box.tobytes()), row.tobytes()) for box, row in zip(boxes, looks, strict=True))
    return [_with_looks(track, rows) for track in tracks] if rows else list(tracks)


def ground_of(artifacts: Sequence[ChunkArtifact]) -> Ground:
    """At a seam the earlier chunk's samples tell: it saw the picture before."""
    pts: list[int] = []
    moves: list[Move] = []
    for artifact in artifacts:
        for at, move in zip(artifact.sampled_pts, artifact.camera or [], strict=False):
            if not pts or at > pts[-1]:
                pts.append(at)
                moves.append(move)
    return Ground(pts, moves, artifacts[0].frame_size[0] if artifacts else 1)


def _with_looks(track: Track, rows: dict[tuple[int, bytes], bytes]) -> Track:
    unknown = bytes(LOOKS_BYTES)
    keys = ((int(pts), box.tobytes()) for pts, box in zip(track.pts, track.boxes, strict=True))
    data = b"".join(rows.get(key, unknown) for key in keys)
    return replace(track, looks=np.frombuffer(data, np.uint8).reshape(-1, LOOKS_BYTES))

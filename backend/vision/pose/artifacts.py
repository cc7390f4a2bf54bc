"""The chunk artifact of pose jobs: a chunk's people as in every artifact, and their landmarks
(`framefleet.pose_chunk/1`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend.errors import ArtifactCorrupt
from backend.vision.artifacts import (
    MAX_COORD_PX,
    MAX_ROWS,
    ChunkArtifact,
    read_checked,
    to_json_bytes,
)
from backend.vision.pose.skeleton import LANDMARKS
from backend.vision.stitch import Track

POSE_CHUNK_SCHEMA: Literal["framefleet.pose_chunk/1"] = "framefleet.pose_chunk/1"
_DECIMALS = (2, 2, 4)  # of x, y and visibility
_NUMBERS = 3 * len(LANDMARKS)

Number = Annotated[float, Field(ge=-MAX_COORD_PX, le=MAX_COORD_PX)]
Row = Annotated[list[Number], Field(min_length=_NUMBERS, max_length=_NUMBERS)]
Landmarks = NDArray[np.float64]
"""(n, 17, 3): x and y in pixels of the upright source, and visibility from 0 to 1."""


class TrackLandmarks(BaseModel):
    """Of one track of the chunk, by its id: a row (x, y, visibility of each landmark, in turn) for each of its pts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    id: int
    rows: Annotated[list[Row], Field(max_length=MAX_ROWS)]


class PoseArtifact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    schema_name: Literal["framefleet.pose_chunk/1"] = Field(default=POSE_CHUNK_SCHEMA, alias="schema")
    chunk: ChunkArtifact
    landmarks: list[TrackLandmarks]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        held = [(each.id, len(each.rows)) for each in self.landmarks]
        if held != [(track.id, len(track.pts)) for track in self.chunk.tracks]:
            raise ValueError("tracks and landmarks do not belong together")
        return self


def pose_artifact(chunk: ChunkArtifact, found: Mapping[int, tuple[NDArray[np.float64], Landmarks]]) -> PoseArtifact:
    """`found`: the boxes (n, 4) and landmarks of everybody on each sampled frame, by its PTS. A track's boxes are some
    of these."""
    by_box = {
        (pts, *box): row for pts, (boxes, rows) in found.items() for box, row in zip(boxes.tolist(), rows, strict=True)
    }
    landmarks = [
        TrackLandmarks(
            id=track.id,
            rows=[by_box[pts, *box].reshape(-1).tolist() for pts, box in zip(track.pts, track.boxes, strict=True)],
        )
        for track in chunk.tracks
    ]
    return PoseArtifact(chunk=chunk, landmarks=landmarks)


def to_bytes(artifact: PoseArtifact) -> bytes:
    """Compact, deterministic JSON, the chunk in the precision of every chunk artifact."""
    head = json.dumps({"schema": artifact.schema_name}).encode()
    rows = [{"id": each.id, "rows": rounded_rows(each.rows)} for each in artifact.landmarks]
    tail = json.dumps(rows, separators=(",", ":"), allow_nan=False).encode("ascii")
    return head[:-1] + b',"chunk":' + to_json_bytes(artifact.chunk) + b',"landmarks":' + tail + b"}"


def rounded_rows(rows: Any) -> list[list[float]]:
    """Landmarks (n, 51) or (n, 17, 3) as lists of 51 in the precision of the JSON files."""
    numbers = np.asarray(rows, np.float64).reshape(-1, len(LANDMARKS), 3)
    # Adding 0.0 turns -0.0 into 0.0, which would otherwise be other bytes for the same place.
    sides = [np.round(numbers[..., index], decimals) + 0.0 for index, decimals in enumerate(_DECIMALS)]
    lists: list[list[float]] = np.stack(sides, axis=-1).reshape(-1, _NUMBERS).tolist()
    return lists


def load_pose_artifact(data: bytes, *, expected_sha256: str | None) -> PoseArtifact:
    """What chunks of landmarks leave. Raises as `read_checked` does."""
    return read_checked(PoseArtifact, data, expected_sha256)


class LandmarkIndex:
    """All landmarks of a film by frame and box: two people of one frame never have the same box."""

    def __init__(self, artifacts: Iterable[PoseArtifact]) -> None:
        self._rows: dict[tuple[int, bytes], list[float]] = {}
        for artifact in artifacts:
            for track, landmarks in zip(artifact.chunk.tracks, artifact.landmarks, strict=True):
                keys = zip(track.pts, np.array(track.boxes, np.float64).reshape(-1, 4), strict=True)
                for (pts, box), row in zip(keys, landmarks.rows, strict=True):
                    self._rows[pts, box.tobytes()] = row

    def of(self, track: Track) -> Landmarks:
        """Of each of the track's samples, as they stand in the chunks: stitched and linked, not smoothed. Raises
        ArtifactCorrupt."""
        try:
            rows = [self._rows[int(pts), box.tobytes()] for pts, box in zip(track.pts, track.boxes, strict=True)]
        except KeyError:
            raise ArtifactCorrupt("A chunk artifact lacks landmarks of a track; submit the video again.") from None
        return np.array(rows, np.float64).reshape(-1, len(LANDMARKS), 3)

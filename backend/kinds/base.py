"""What a job kind is: its parameters, what a chunk computes, what the aggregator makes of the chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from backend.media.facts import VideoFacts
from backend.media.sandbox import ByteReader
from backend.settings import Settings
from backend.vision.artifacts import ChunkArtifact
from backend.vision.detector import Detector


@dataclass(frozen=True)
class ChunkWork:
    """One chunk to analyse. `report` takes the share done (0 to 1) and raises ClaimLost when the work must stop.

    `start_pts` or `end_pts` None: from the first frame, to the last one, whatever the container promised.
    """

    job_id: str
    chunk_index: int
    interval: tuple[int, int]  # PTS, half-open, as planned
    start_pts: int | None
    end_pts: int | None
    source: Mapping[str, Any]  # etag, size
    facts: VideoFacts
    params: BaseModel
    reader: ByteReader
    detector: Detector
    settings: Settings
    report: Callable[[float], None]


@dataclass(frozen=True)
class AggregateWork:
    """All chunks of a job, to be made into its result. `report` takes the share done and raises ClaimLost."""

    job_id: str
    facts: VideoFacts
    params: BaseModel
    artifacts: Sequence[ChunkArtifact]
    reader: ByteReader
    folder: Path  # for temporary files; gone afterwards
    settings: Settings
    report: Callable[[float], None]


@dataclass(frozen=True)
class Result:
    """What the aggregator stores: the film, small files by name, what to tell, seconds by stage."""

    output: Path
    files: Mapping[str, bytes]
    warnings: list[str]
    seconds: dict[str, float]


class JobKind(Protocol):
    name: str
    suffix: str  # of the output's name

    def parse_params(self, params: Mapping[str, Any]) -> BaseModel:
        """Raises InvalidParams, naming the parameter and what it must be."""
        ...

    def chunk_identity(self, params: BaseModel, detector: Detector, settings: Settings) -> str:
        """SHA-256 of whatever changes a chunk's artifact: equal means the artifact can be adopted."""
        ...

    def analyse_chunk(self, work: ChunkWork) -> ChunkArtifact: ...

    def aggregate(self, work: AggregateWork) -> Result: ...

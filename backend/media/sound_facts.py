"""What a probe learns of a file's sound, and what a job knows of its source, whatever that is. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from backend.media.facts import VideoFacts


class SoundFacts(BaseModel):
    """Of the sound that a player would choose. Where it begins and ends, only decoding knows for sure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sort: Literal["sound"] = "sound"
    container: str = Field(max_length=100)
    codec: str = Field(max_length=100)
    sample_rate: Annotated[int, Field(gt=0, le=10_000_000)]
    channels: Annotated[int, Field(gt=0, le=1024)]
    duration_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None  # as the container promises


Probed: TypeAlias = VideoFacts | SoundFacts | None
"""None: of a source whose bytes nobody has looked at."""


def as_probed(row: Mapping[str, Any] | None) -> Probed:
    """What was written of a probe."""
    if row is None:
        return None
    return SoundFacts.model_validate(row) if row.get("sort") == "sound" else VideoFacts.model_validate(row)

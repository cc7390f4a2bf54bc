"""What a chunk tells of speech, in its artifact: how the mouths move, and the sound under the pictures."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Names how all of this is measured: chunks measured in another way are not taken over.
SPEECH = "mouths/1"
MAX_VALUES = 10_000_000
MAX_PEOPLE = 100_000
NO_FACE = -1
MOTION_UNITS = 10_000  # in a face width
MOST_MOTION = MOTION_UNITS

Pts = Annotated[int, Field(ge=-(2**62), le=2**62)]
Motion = Annotated[int, Field(ge=NO_FACE, le=MOST_MOTION)]
Level = Annotated[int, Field(ge=0, le=255)]
Percent = Annotated[int, Field(ge=0, le=100)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MouthRecord(_Record):
    """Of each person detected on a sampled frame, in that order: how far the mouth has moved since the sample before,
    in ten-thousandths of the face's width; NO_FACE where none is seen."""

    pts: Pts
    motion: Annotated[list[Motion], Field(min_length=1, max_length=MAX_PEOPLE)]


class VoiceRecord(_Record):
    """The sound from `start_pts` on: how loud it is every 16 ms, in half decibels above -120 dBFS, and how probably it
    is speech every 32 ms, in percent."""

    start_pts: Pts
    level: Annotated[list[Level], Field(max_length=MAX_VALUES)]
    speech: Annotated[list[Percent], Field(max_length=MAX_VALUES)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.level) != 2 * len(self.speech):
            raise ValueError("there are not two levels for each value of speech")
        return self

"""The parameters of job kind `annotate`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from backend.errors import InvalidParams
from backend.kinds.people import WithPosesParams
from backend.media.paint.marks_order import Mark
from backend.settings import Settings
from backend.vision.classes import PEOPLE, class_name, require_known
from backend.vision.detector import known_classes
from backend.vision.object_summary import Zone

MAX_CLASSES, MAX_ZONES, MAX_CORNERS = 1000, 50, 200
MARKS: tuple[Mark, ...] = get_args(Mark)
Coordinate = Annotated[float, Field(ge=-100_000, le=100_000)]
Corner = tuple[Coordinate, Coordinate]


def _one_line(name: str) -> str:
    """PostgreSQL holds no NUL, and the rest of them changes what a line of a file says."""
    if any(char < " " or "\x7f" <= char < "\xa0" for char in name):
        raise ValueError("must not have control characters")
    return name


Name = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_one_line)]


class ZoneParams(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Name
    polygon: list[Corner] = Field(
        min_length=3, max_length=MAX_CORNERS, fail_fast=True, description="its corners, in order"
    )
    unit: Literal["px", "share"] = Field("px", description="pixels of the upright source, or shares of its sides")

    def zone(self, frame_size: tuple[int, int]) -> Zone:
        corners = np.array(self.polygon, np.float64)
        return Zone(self.name, corners * frame_size if self.unit == "share" else corners)


class AnnotateParams(WithPosesParams):
    classes: tuple[Name, ...] = Field(
        PEOPLE, min_length=1, max_length=MAX_CLASSES, fail_fast=True, description="what is followed, as in person,car"
    )
    draw: tuple[Mark, ...] = Field(
        MARKS, fail_fast=True, description="any of boxes, ids, labels, confidence, trails; may be empty"
    )
    trail_seconds: float = Field(2.0, ge=0, le=30)
    zones: tuple[ZoneParams, ...] = Field(
        (), max_length=MAX_ZONES, fail_fast=True, description="places whose dwell times are counted"
    )
    crf: float = Field(20, ge=0, le=51)
    hdr: Literal["sdr", "keep"] = Field("sdr", description="`keep`: 10-bit and HDR sources stay so, as HEVC")
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = "veryfast"

    @field_validator("classes", "draw", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        """Lists, or text with commas, which is all that a command line has."""
        if isinstance(given, str):
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return tuple(given) if isinstance(given, list) else given  # else strict JSON would take no list

    @field_validator("classes")
    @classmethod
    def _classes_by_name(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        """In one order, so that those who ask for the same share what was found."""
        return tuple(sorted({class_name(name) for name in classes}))

    @model_validator(mode="after")
    def _one_name_a_zone(self) -> AnnotateParams:
        names = [zone.name for zone in self.zones]
        if len(set(names)) < len(names):
            raise ValueError("zones: two have the same name")
        return self

    @property
    def followed(self) -> tuple[str, ...]:
        return self.classes

    def check_here(self, settings: Settings) -> None:
        known = known_classes(settings) if self.classes != PEOPLE else None
        if known is not None:
            require_known(self.classes, known)

    def check(self) -> None:
        if not all(self.classes):
            raise InvalidParams("classes: a class has no name.")

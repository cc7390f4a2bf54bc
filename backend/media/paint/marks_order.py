"""What is to be marked on which frame; drawn by marks.py, which takes a second to load."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Mark = Literal["boxes", "ids", "labels", "confidence", "trails"]


class MarksOrder(BaseModel):
    """`data_file` has a row for each object on each frame: `id`, `class` (its number in `classes`), `confidence`, and
    its box x1, y1, x2, y2 in pixels of the upright source. A trail reaches `trail_pts` back."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["marks"] = "marks"
    data_file: str
    draw: list[Mark]
    classes: list[str]
    trail_pts: Annotated[int, Field(ge=0, lt=2**62)]

"""Job kind `framing`: the window goes where keyframes say."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field

from backend.kinds import output_type
from backend.kinds.base import FileType, Kind, Phase
from backend.kinds.context import WholeContext
from backend.kinds.every_frame import Design, PlanFilm
from backend.kinds.film import JoinFilm, RenderPieces
from backend.kinds.shape_params import ShapeParams
from backend.kinds.window_keys import MAX_KEYS, WindowKey, windows_on
from backend.vision.timeline import Timeline


class FramingParams(ShapeParams):
    keyframes: Annotated[list[WindowKey], Field(min_length=1, max_length=MAX_KEYS, fail_fast=True)] = Field(
        validation_alias=AliasChoices("keyframes", "crop_keyframes"),  # as kind overlay calls them
        description="windows in upright source pixels; held before the first and after the last",
    )


def framed(context: WholeContext[FramingParams], timeline: Timeline) -> Design:
    """Raises InvalidParams, naming the keyframe."""
    params = context.params
    windows, warnings = windows_on("keyframes", params.keyframes, timeline, params.interpolation)
    output_size = params.output_size((float(windows[0, 2]), float(windows[0, 3])))
    return Design(params.shaped(windows, output_size), output_size, params.look(), warnings=warnings)


FRAMING = Kind[FramingParams](
    name="framing",
    output=output_type.film("_framed"),
    params=FramingParams,
    phases=(
        Phase[FramingParams]("list", None, PlanFilm(framed)),
        Phase[FramingParams]("render", RenderPieces(), JoinFilm()),
    ),
    files={"contact_sheet": FileType("contact_sheet.png", "image/png")},
)

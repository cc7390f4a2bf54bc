"""Job kind `downsample`: the whole picture, smaller."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from backend.kinds.base import Kind, Phase
from backend.kinds.context import WholeContext
from backend.kinds.every_frame import Design, PlanFilm
from backend.kinds.film import JoinFilm, RenderPieces
from backend.kinds.output_type import film
from backend.kinds.params import Params
from backend.vision.timeline import Timeline


def _lines(given: object) -> object:
    """`360p` and `"360"` are 360."""
    text = given.removesuffix("p") if isinstance(given, str) else None
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 6 else given


Resolution = Annotated[
    int, BeforeValidator(_lines, json_schema_input_type=int | str), Field(ge=16, le=8192, strict=True)
]


class DownsampleParams(Params):
    resolution: Resolution = Field(description="the picture's shorter side in pixels: `360p`, or 240, 360, 480 …")
    enlarge: bool = Field(False, description="true: a smaller picture is enlarged to it")
    crf: float = Field(23, ge=0, le=51)
    hdr: Literal["sdr", "keep"] = Field("sdr", description="`keep`: 10-bit and HDR sources stay so, as HEVC")
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = "veryfast"


def smaller(size: tuple[int, int], shorter: int, *, enlarge: bool) -> tuple[int, int]:
    """Width and height, both even, with the source's aspect as near as whole pairs of pixels come to it."""
    if shorter >= min(size) and not enlarge:
        shorter = min(size)
    width, height = (max(2, 2 * round(side * shorter / min(size) / 2)) for side in size)
    return width, height


def _design(context: WholeContext[DownsampleParams], timeline: Timeline) -> Design:
    params, facts = context.params, context.facts
    size = smaller((facts.width, facts.height), params.resolution, enlarge=params.enlarge)
    return Design(
        windows=np.tile(np.array([0.0, 0.0, facts.width, facts.height]), (len(timeline), 1)),
        output_size=size,
        look=params.model_dump(include={"crf", "preset", "hdr"}) | {"draw_timestamp": False},
        has_sheet=False,
    )


DOWNSAMPLE = Kind[DownsampleParams](
    name="downsample",
    output=film("_downsampled"),
    params=DownsampleParams,
    phases=(
        Phase[DownsampleParams]("list", None, PlanFilm(_design)),
        Phase[DownsampleParams]("render", RenderPieces(), JoinFilm()),
    ),
    files={},
)

"""Parameters of kinds whose window a user sets: the output's size and how it is encoded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from backend.errors import InvalidParams
from backend.kinds.params import Params
from backend.vision.keyed_windows import Interpolation, trimmed
from backend.vision.window import Fill, Floats

_MAX_OUTPUT_PX, _LEAST_OUTPUT_PX = 8192, 16
Side = Annotated[int, Field(ge=_LEAST_OUTPUT_PX, le=_MAX_OUTPUT_PX, strict=True)]


class LookParams(Params):
    """How a film is encoded; of every kind that renders one."""

    crf: float = Field(20, ge=0, le=51)
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = "veryfast"
    hdr: Literal["sdr", "keep"] = Field("sdr", description="`keep`: 10-bit and HDR sources stay so, as HEVC")
    draw_timestamp: bool = False


class ShapeParams(LookParams):
    """The output's size, and what becomes of a window of another shape."""

    output_width: Side | None = None
    output_height: Side | None = None
    fill: Fill = Field("crop", description="a window of another shape: trimmed, or shown whole between bars")
    interpolation: Interpolation = Field("linear", description="between keyframes; `smooth`: a Catmull-Rom spline")

    def look(self) -> dict[str, Any]:
        return self.model_dump(include={"crf", "preset", "hdr", "draw_timestamp", "fill"})

    def output_size(self, shape: tuple[float, float]) -> tuple[int, int]:
        """Even; what is not given follows from `shape`, (width, height). Raises InvalidParams for what none encodes."""
        width, height = self.output_width, self.output_height
        aspect = shape[0] / shape[1]
        if width is None:
            width = _even(height * aspect if height is not None else shape[0])
        if height is None:
            height = _even(width / aspect if self.output_width is not None else shape[1])
        for name, side in (("output_width", width), ("output_height", height)):
            if not _LEAST_OUTPUT_PX <= side <= _MAX_OUTPUT_PX:
                raise InvalidParams(
                    f"{name}: would be {side} for a window of {shape[0]:g}x{shape[1]:g}; name a size from "
                    f"{_LEAST_OUTPUT_PX} to {_MAX_OUTPUT_PX}."
                )
        return _even(width), _even(height)

    def shaped(self, windows: Floats, output_size: tuple[int, int]) -> Floats:
        """As the renderer wants them: it stretches nothing."""
        return trimmed(windows, output_size[0] / output_size[1]) if self.fill == "crop" else windows


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)

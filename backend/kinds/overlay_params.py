"""The parameters of job kind `overlay`."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend.errors import InvalidParams
from backend.kinds.people import DetectionParams
from backend.kinds.shape_params import ShapeParams
from backend.kinds.window_keys import MAX_FRAME, MAX_KEYS, Frame, Key, WindowKey

MAX_REGIONS = 1000
# Each of them is worked out at every sample of a frame.
MAX_AT_ONCE = 100
Place = Annotated[float, Field(ge=-100_000, le=100_000)]
Radius = Annotated[float, Field(gt=0, le=100_000)]
Opacity = Annotated[float, Field(ge=0, le=1)]


class RegionKey(Key):
    x: Place
    y: Place
    radius_x: Radius
    radius_y: Radius
    opacity: Opacity = 1.0

    @property
    def values(self) -> tuple[float, ...]:
        return self.x, self.y, self.radius_x, self.radius_y, self.opacity


class Region(BaseModel):
    """An ellipse: one place, several with their times, or wherever a track is."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    start_frame: Frame = 0
    end_frame: Frame | None = None  # with it; None: the film's last
    x: Place | None = None
    y: Place | None = None
    radius_x: Radius | None = None
    radius_y: Radius | None = None
    opacity: Opacity = 1.0
    keyframes: Annotated[list[RegionKey], Field(max_length=MAX_KEYS, fail_fast=True)] = []
    track_id: Annotated[int, Field(ge=0, lt=2**31, strict=True)] | None = None
    room: Annotated[float, Field(ge=0, le=4)] = 0.25  # around a track's box, as a share of it

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        numbers = [self.x, self.y, self.radius_x, self.radius_y]
        fixed = any(number is not None for number in numbers)
        if fixed and any(number is None for number in numbers):
            raise ValueError("name all of x, y, radius_x and radius_y")
        if [fixed, bool(self.keyframes), self.track_id is not None].count(True) != 1:
            raise ValueError("name x, y, radius_x and radius_y, or keyframes, or track_id")
        if self.end_frame is not None and self.end_frame < self.start_frame:
            raise ValueError("end_frame must not be before start_frame")
        return self

    @property
    def fixed(self) -> tuple[float, ...]:
        """As RegionKey.values, of a region that stands still."""
        assert self.x is not None and self.y is not None and self.radius_x is not None and self.radius_y is not None
        return self.x, self.y, self.radius_x, self.radius_y, self.opacity


class OverlayParams(ShapeParams, DetectionParams):
    highlight_regions: Annotated[list[Region], Field(min_length=1, max_length=MAX_REGIONS, fail_fast=True)] = Field(
        description="ellipses in upright source pixels that stay as they are, from start_frame to end_frame inclusive"
    )
    effect_type: Literal["blur", "spotlight"] = Field("blur", description="what all else becomes: blurred, or darker")
    darken_strength: float = Field(0.3, ge=0, le=1, description="spotlight: how much of its light is left outside")
    blur_strength: float = Field(0.02, gt=0, le=0.25, description="blur: how far, as a share of the shorter side")
    feather: float = Field(0.2, ge=0, le=4, description="a soft edge outside of the ellipse, as a share of its radii")
    crop_keyframes: Annotated[list[WindowKey], Field(max_length=MAX_KEYS, fail_fast=True)] = Field(
        default_factory=list, description="windows, as the keyframes of kind framing; none: the whole picture"
    )

    def check(self) -> None:
        """Raises InvalidParams for more regions on one frame than can be drawn in time."""
        super().check()
        ends: list[int] = []  # of the regions that are shown, the earliest first
        for number, region in sorted(enumerate(self.highlight_regions), key=lambda each: each[1].start_frame):
            while ends and ends[0] < region.start_frame:
                heappop(ends)
            heappush(ends, MAX_FRAME if region.end_frame is None else region.end_frame)
            if len(ends) > MAX_AT_ONCE:
                raise InvalidParams(
                    f"highlight_regions.{number}: more than {MAX_AT_ONCE} regions are on frame {region.start_frame}; "
                    "give them start_frame and end_frame."
                )

    @property
    def follows(self) -> bool:
        """Whether somebody has to be looked for."""
        return any(region.track_id is not None for region in self.highlight_regions)

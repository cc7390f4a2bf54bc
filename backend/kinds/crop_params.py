"""The parameters of job kind `crop`."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from backend.kinds.people import WithPosesParams
from backend.vision.keyframes import Keyframe
from backend.vision.subject_modes import SPEAKER
from backend.vision.window import CropSpec, Fill, Laying

ASPECT = re.compile(r"^(\d{1,5}):(\d{1,5})$")
SubjectMode = Annotated[str, Field(pattern=r"^(all|main|track:[0-9]{1,9}(,track:[0-9]{1,9}){0,49})$")]
SubjectOfFilm = Annotated[str, Field(pattern=r"^(all|main|speaker|track:[0-9]{1,9}(,track:[0-9]{1,9}){0,49})$")]
MAX_SHOTS, MAX_SHOTS_NAMED = 1_000_000, 10_000
MAX_KEYFRAMES = 10_000


def _index(name: Any) -> Any:
    """Names in JSON are texts, also where all types are strict."""
    return int(name) if isinstance(name, str) and re.fullmatch("[0-9]{1,9}", name) else name


ShotIndex = Annotated[int, BeforeValidator(_index), Field(ge=0, le=MAX_SHOTS)]


class KeyframeParams(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    time_sec: float = Field(ge=0, description="from the first frame")
    x: float = Field(ge=0, le=100_000)
    y: float = Field(ge=0, le=100_000)
    width: float | None = Field(None, gt=0, le=100_000, description="of the window, throughout the shot")


class CropParams(WithPosesParams):
    aspect: str = Field("source", description="`source`, or width:height as in 9:16, 1:1, 4:5")
    subject: SubjectOfFilm = Field(
        "main", description="main, all, speaker, track:<id>, or several as in track:1,track:4"
    )
    shots: dict[ShotIndex, SubjectMode] = Field(
        default_factory=dict, description="another subject for single shots, by their index from 0"
    )
    keyframes: Annotated[list[KeyframeParams], Field(max_length=MAX_KEYFRAMES, fail_fast=True)] = Field(
        default_factory=list, description="where the window's centre must be at given times, in source pixels"
    )
    padding_ratio: float = Field(0.12, ge=0, le=5, description="room around the subject, as a share of its box")
    min_crop_ratio: float = Field(0.35, gt=0, le=1, description="the smallest window, as a share of the largest")
    keep_aspect: bool = Field(True, description="false: with aspect=source, the window takes the subject's own shape")
    max_upscale: float = Field(2.0, ge=1, le=8, description="how much the window may be enlarged")
    output_width: Annotated[int, Field(ge=16, le=8192, strict=True)] | None = None
    output_height: Annotated[int, Field(ge=16, le=8192, strict=True)] | None = None
    fill: Fill | Laying = Field(
        "crop",
        description="where no window holds the subject: `pad` or `blur` shows it between bars, `split` shows several "
        "people in panels, `auto` (what subject=all has of itself) takes whichever shows them best",
    )
    zoom: bool = Field(True, description="false: the window keeps its size within a shot")
    smoothing: Literal["optimal", "ema"] = "optimal"
    smooth_alpha: float = Field(0.85, ge=0, lt=1)
    draw_timestamp: bool = False
    crf: float = Field(20, ge=0, le=51)
    hdr: Literal["sdr", "keep"] = Field("sdr", description="`keep`: 10-bit and HDR sources stay so, as HEVC")
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = "veryfast"

    @model_validator(mode="before")
    @classmethod
    def _everybody_is_shown(cls, given: Any) -> Any:
        """Who asks for all of them and not for a fill has them laid out."""
        if isinstance(given, dict) and given.get("subject") == "all" and "fill" not in given:
            return given | {"fill": "auto"}
        return given

    @field_validator("shots", mode="before")
    @classmethod
    def _not_too_many(cls, given: Any) -> Any:
        """Before each of them is looked at: a complaint about every one would take gigabytes."""
        if isinstance(given, dict) and len(given) > MAX_SHOTS_NAMED:
            raise ValueError(f"at most {MAX_SHOTS_NAMED} shots can be named")
        return given

    @field_validator("aspect")
    @classmethod
    def _known_aspect(cls, aspect: str) -> str:
        if aspect == "source":
            return aspect
        sides = ASPECT.match(aspect)
        if not sides or not (int(sides[1]) and int(sides[2])):
            raise ValueError("must be 'source' or width:height, as in 9:16")
        return aspect

    @property
    def with_speech(self) -> bool:
        return self.subject == SPEAKER

    def check(self) -> None:
        self.spec()

    @property
    def bars(self) -> Fill:
        """What is beside a window of another shape."""
        return "blur" if self.fill == "auto" or self.fill == "split" else self.fill

    def pins(self) -> list[Keyframe]:
        return [Keyframe(**keyframe.model_dump()) for keyframe in self.keyframes]

    def spec(self) -> CropSpec:
        """Raises InvalidParams for sizes that contradict one another."""
        return CropSpec(
            aspect=None if self.aspect == "source" else Fraction(*map(int, self.aspect.split(":"))),
            padding_ratio=self.padding_ratio,
            min_crop_ratio=self.min_crop_ratio,
            keep_aspect=self.keep_aspect,
            max_upscale=self.max_upscale,
            output_size=(self.output_width, self.output_height),
            fill=self.bars,
            zoom=self.zoom,
        )

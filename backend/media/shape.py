"""The shape that all frames of a film have, and where a frame of another shape lies in it. Child process only.

A stream may change the size of its picture and of its pixels as it goes on. Nobody is stretched by it: what has another
shape than the film is shown whole between bars.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from av.video.frame import VideoFrame
from pydantic import BaseModel, ConfigDict

from backend.media.facts import Clock

_SAME_SHAPE = Fraction(1, 50)


@dataclass(frozen=True)
class Area:
    """A part of a picture, in even pixels so that chroma's samples begin with luma's."""

    x: int
    y: int
    size: tuple[int, int]


@dataclass(frozen=True)
class CodedShape:
    """The film's picture as it is coded: pixels and their aspect; upright once mirrored and then turned by `rotation`
    degrees counter-clockwise."""

    width: int
    height: int
    pixel_aspect: Fraction
    rotation: int
    mirrored: bool

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def area_of(self, frame: VideoFrame, within: tuple[int, int] | None = None) -> Area | None:
        """Where the frame lies in the coded picture, or in a scaled copy of the size `within`; None: it fills it."""
        own = pixel_aspect_of(frame) or self.pixel_aspect
        ratio = (frame.width * own / frame.height) / (self.width * self.pixel_aspect / self.height)
        if abs(ratio - 1) <= _SAME_SHAPE:
            return None
        width, height = within or self.size
        inner = (_even(width * min(Fraction(1), ratio)), _even(height * min(Fraction(1), 1 / ratio)))
        return Area(_even((width - inner[0]) / 2, 0), _even((height - inner[1]) / 2, 0), inner)


class PictureOrder(BaseModel):
    """What every order to read a video says of its frames: facts.VideoFacts of the probe."""

    model_config = ConfigDict(extra="forbid")

    coded_width: int
    coded_height: int
    sample_aspect_ratio: tuple[int, int] = (1, 1)
    rotation: int
    mirrored: bool = False
    clock: Clock = "pts"
    max_pixels: int
    threads: int
    in_hardware: bool = False  # decoded on the GPU: see hardware_decoder.py

    @property
    def coded_shape(self) -> CodedShape:
        aspect = Fraction(*self.sample_aspect_ratio)
        return CodedShape(self.coded_width, self.coded_height, aspect, self.rotation, self.mirrored)


def note_pixel_aspect(frame: VideoFrame, aspect: Fraction | None) -> None:
    """A frame does not know the shape of its pixels by itself, its decoder does at the moment when it hands it over."""
    frame.opaque = aspect


def pixel_aspect_of(frame: VideoFrame) -> Fraction | None:
    """What was noted; None where nothing is known."""
    return frame.opaque if isinstance(frame.opaque, Fraction) else None


def _even(side: Fraction | float, least: int = 2) -> int:
    return max(least, 2 * math.floor(side / 2))

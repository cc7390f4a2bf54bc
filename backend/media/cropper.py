"""Crops the window of a frame and gives it the film's look; takes stills on the way. Child process only."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any, Literal

import cv2
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from pydantic import Field

from backend.errors import FrameMismatch
from backend.media.colour import SDR, Tags, note_tags
from backend.media.facts import Appearance
from backend.media.fill import Fill, filled, place, placement
from backend.media.look import Look, appearance_of, look_of
from backend.media.paint.layers import LayerOrder, painters_of
from backend.media.resample import Geometry, Window, crop, plane
from backend.media.shape import Area, PictureOrder
from backend.media.stills import StillOrder, Stills

# Threads beside those that decode and encode: a plane that several of them share takes a fifth more time of cores, so
# a small machine has none to give.
CORES_A_THREAD = 4
# A frame; what creeps less is, over a second, a hundredth of a pixel.
_STILL_PX = 1e-4


class CropOrder(PictureOrder):
    """`path_file` is an .npy of float64 rows (pts, x, y, width, height), one for every frame that is read; pts counts
    from `origin_pts`, since a float holds whole numbers only up to 2^53. Where a row goes on with the same four numbers
    of more windows, the picture is split into as many panels, whose `panel_areas` (x, y, width, height in the output)
    are even. Without an `appearance` the first frame that
    is cropped decides; without an `encoder` the best that works here is taken."""

    path_file: str
    origin_pts: int = 0
    output_file: str
    output_width: int
    output_height: int
    upright_width: int
    upright_height: int
    fps: tuple[int, int]
    crf: float
    preset: str
    draw_timestamp: bool
    hdr: Literal["sdr", "keep"] = "sdr"
    appearance: Appearance | None = None
    encoder: str | None = None
    fill: Fill = "crop"  # what is beside a window that has not the output's shape; `crop` stretches it
    panel_areas: dict[int, list[tuple[int, int, int, int]]] = Field(default_factory=dict)
    stills: StillOrder | None = None
    layers: list[LayerOrder] = Field(default_factory=list)

    @property
    def output_size(self) -> tuple[int, int]:
        return self.output_width, self.output_height


class Cropper:
    """Takes the frames of the path, one after another."""

    def __init__(self, order: CropOrder, time_base: Fraction, stills: Stills | None) -> None:
        cv2.setNumThreads(max(1, len(os.sched_getaffinity(0)) // CORES_A_THREAD))
        self._order = order
        self._time_base = time_base
        self._shape = order.coded_shape
        upright = (order.upright_width, order.upright_height)
        self._geometry = Geometry(*self._shape.size, *upright, order.rotation, order.mirrored)
        self._stills = stills
        self._path = _path_of(order.path_file)
        self._still = _still(self._path)
        self._look: Look | None = None
        self._painters = painters_of(order.layers)

    @property
    def path_pts(self) -> list[int]:
        """Of every row, on the source's clock."""
        return [int(ticks) + self._order.origin_pts for ticks in self._path[:, 0]]

    def crop(self, frame: VideoFrame, number: int) -> VideoFrame:
        """The picture for row `number` of the path, with its PTS on the source's clock. Raises FrameMismatch."""
        assert frame.pts is not None  # the reader gives no other
        if number >= len(self._path) or frame.pts - self._order.origin_pts != int(self._path[number, 0]):
            raise FrameMismatch(f"Rendering met frame {number} at PTS {frame.pts}; the analysis saw another one there.")
        if self._stills:
            self._stills.look_at(frame)
        window = Window(*(float(v) for v in self._path[number, 1:5]))
        panels = _panels_of(self._path[number])
        if panels:
            picture, shown = self._split(frame, [window, *panels]), window
        else:
            picture, shown = self._shown(frame, window, self._still[number])
        for painter in self._painters:
            painter.paint(picture, shown, number, frame.pts)
        if self._order.draw_timestamp:
            _draw_timestamp(picture, frame)
        picture.pts, picture.time_base, picture.duration = frame.pts, self._time_base, frame.duration
        return picture

    def add_stream(self, output: OutputContainer) -> VideoStream:
        """The picture's stream, once the first picture is cropped. Raises EncoderUnavailable."""
        assert self._look is not None  # the first picture is cut
        order = self._order
        encoder = self._look.encoder(order.output_size, order.crf, order.preset, order.encoder)
        return encoder.add_stream(output, order.output_size, Fraction(*order.fps), self._time_base)

    def _shown(self, frame: VideoFrame, window: Window, still: tuple[bool, bool]) -> tuple[VideoFrame, Window]:
        """What the window shows, of the output's size, as the encoder wants it; and the window of all of the picture,
        bars too."""
        order, size = self._order, self._order.output_size
        planar, tags, look = self._seen(frame)
        inner = None if order.fill == "crop" else placement(window, size)
        if inner is None:
            picture = look.finished(crop(planar, window, size, self._geometry, still=still), tags)
            note_tags(picture, _tags_in(picture, tags))
            return picture, window
        picture = look.finished(crop(planar, inner.window, inner.size, self._geometry, halves=True), tags)
        tags = _tags_in(picture, tags)
        picture = filled(picture, inner, size, order.fill, full=tags.full_range)
        note_tags(picture, tags)
        return picture, inner.whole(size)

    def _split(self, frame: VideoFrame, windows: list[Window]) -> VideoFrame:
        """The output's picture, a window in each panel."""
        planar, tags, look = self._seen(frame)
        whole: VideoFrame | None = None
        for window, (x, y, width, height) in zip(windows, self._order.panel_areas[len(windows)], strict=True):
            picture = look.finished(crop(planar, window, (width, height), self._geometry), tags)
            if whole is None:
                area = Area(x, y, (width, height))
                whole = filled(picture, area, self._order.output_size, "pad", full=_tags_in(picture, tags).full_range)
            else:
                place(picture, whole, x, y)
        assert whole is not None  # a row has one window at least
        note_tags(whole, _tags_in(whole, tags))
        return whole

    def _seen(self, frame: VideoFrame) -> tuple[VideoFrame, Tags, Look]:
        """The whole frame in the film's coded size, what its samples mean, and the look of the film."""
        if self._look is None:
            order = self._order
            self._look = look_of(order.appearance or appearance_of(frame), keep_hdr=order.hdr == "keep")
        return *self._in_shape(frame, self._look), self._look

    def _in_shape(self, frame: VideoFrame, look: Look) -> tuple[VideoFrame, Tags]:
        """The whole frame in the film's coded size, between bars where it has another shape."""
        area = self._shape.area_of(frame)
        if area is None:
            return look.planar(frame, self._shape.size)
        inner, tags = look.planar(frame, area.size)
        return filled(inner, area, self._shape.size, "pad", full=tags.full_range), tags


def _tags_in(finished: VideoFrame, tags: Tags) -> Tags:
    """What is not kept in ten bits is SDR of limited range by now."""
    return tags if finished.format.name.endswith("10le") else SDR


def _path_of(file: str) -> NDArray[np.float64]:
    path: NDArray[Any] = np.load(file, allow_pickle=False)
    return path


def _panels_of(row: NDArray[np.float64]) -> list[Window]:
    """The windows behind the first one."""
    further = row[5:].reshape(-1, 4)
    return [Window(*(float(v) for v in each)) for each in further if np.isfinite(each[0])]


def _still(path: NDArray[np.float64]) -> list[tuple[bool, bool]]:
    """Of each row: whether the window is where it was a frame before, or will be a frame later, along x and along y."""
    moves = np.abs(np.diff(path[:, 1:5], axis=0, prepend=np.nan, append=np.nan))
    still = np.maximum(moves[:, :2], moves[:, 2:]) < _STILL_PX
    return [(bool(x), bool(y)) for x, y in still[:-1] | still[1:]]


def _draw_timestamp(picture: VideoFrame, source: VideoFrame) -> None:
    milliseconds = round(float(source.time or 0) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{minutes // 60:02}:{minutes % 60:02}:{rest / 1000:06.3f}"
    luma = plane(picture, 0)
    canvas = np.ascontiguousarray(luma)
    scale = picture.height / 720
    unit = 1 if canvas.dtype == np.uint8 else 4  # ten bits hold four times the levels
    for shade, thickness in ((16 * unit, 4), (235 * unit, 1)):
        origin = (round(12 * scale), round(30 * scale))
        cv2.putText(
            canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale * 0.8, (shade,), max(1, round(thickness * scale))
        )
    luma[:] = canvas

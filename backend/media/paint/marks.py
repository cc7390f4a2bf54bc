"""Boxes, names, confidence and trails of tracked objects, drawn by supervision's annotators. Child process only.

They draw in one colour a track, so that somebody keeps theirs through the film.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import supervision as sv
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from backend.media.colour import tags_of
from backend.media.paint.marks_order import MarksOrder
from backend.media.paint.opaque import lay_opaque
from backend.media.paint.rows import LayerRows, load_rows
from backend.media.resample import Window

# A line is this share of the picture's shorter side wide; the text is as high as four lines.
_LINE_SHARE, _THINNEST_PX = 1 / 360, 2
_FONT, _FONT_PX = cv2.FONT_HERSHEY_SIMPLEX, 22  # the height of its capitals at scale 1
_TEXT_LINES = 4
_DARK, _LIGHT = sv.Color(16, 16, 16), sv.Color(255, 255, 255)  # black itself is what nothing is drawn on
_LIGHT_LUMA = 140

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class _Pens:
    """The annotators for one size of picture, and their sizes in pixels."""

    line_px: int
    text_scale: float
    text_px: int
    padding_px: int
    boxes: sv.BoxAnnotator
    labels: sv.LabelAnnotator
    trails: sv.TraceAnnotator

    @classmethod
    def of(cls, size: tuple[int, int]) -> _Pens:
        line_px = max(_THINNEST_PX, round(min(size) * _LINE_SHARE))
        text_scale = _TEXT_LINES * line_px / _FONT_PX
        text_px = max(1, line_px // 2)
        below_px = cv2.getTextSize("g", _FONT, text_scale, text_px)[1]  # what letters have below their line
        padding_px = max(line_px, below_px)
        colours: dict[str, Any] = {"color": sv.ColorPalette.DEFAULT, "color_lookup": sv.ColorLookup.TRACK}
        text = [_DARK if _luma(each) > _LIGHT_LUMA else _LIGHT for each in sv.ColorPalette.DEFAULT.colors]
        return cls(
            line_px=line_px,
            text_scale=text_scale,
            text_px=text_px,
            padding_px=padding_px,
            boxes=sv.BoxAnnotator(thickness=line_px, **colours),
            labels=sv.LabelAnnotator(
                text_color=sv.ColorPalette(text),
                text_scale=text_scale,
                text_thickness=text_px,
                text_padding=padding_px,
                **colours,
            ),
            trails=sv.TraceAnnotator(thickness=line_px, trace_length=0, **colours),
        )

    def label_size(self, text: str) -> tuple[int, int]:
        """Width and height of its background."""
        (width, height), _ = cv2.getTextSize(text, _FONT, self.text_scale, self.text_px)
        return width + 2 * self.padding_px, height + 2 * self.padding_px


class Marks:
    def __init__(self, order: MarksOrder) -> None:
        self._order = order
        self._rows = load_rows(order.data_file)
        self._pens: _Pens | None = None
        self._canvas = np.zeros((0, 0, 3), np.uint8)

    def paint(self, picture: VideoFrame, window: Window, number: int, pts: int) -> None:
        rows = self._rows.on(pts)
        if not len(rows):
            return
        size = (picture.width, picture.height)
        if self._pens is None or self._canvas.shape[:2] != size[::-1]:
            self._pens = _Pens.of(size)
            self._canvas = np.zeros((size[1], size[0], 3), np.uint8)
        self._canvas.fill(0)
        self._draw(self._pens, rows, _Place.of(window, size), pts)
        lay_opaque(picture, self._canvas, tags_of(picture))

    def _draw(self, pens: _Pens, rows: LayerRows, place: _Place, pts: int) -> None:
        canvas, draw = self._canvas, self._order.draw
        found = _detections(rows, place)
        if "trails" in draw:
            self._draw_trails(pens, found, place, pts)
        if "boxes" in draw:
            pens.boxes.annotate(canvas, found)
        texts = self._texts(rows)
        if any(texts):
            found.xyxy = _with_room([pens.label_size(text) for text in texts], found.xyxy, place.size)
            pens.labels.annotate(canvas, found, texts)

    def _draw_trails(self, pens: _Pens, found: sv.Detections, place: _Place, pts: int) -> None:
        """supervision's trails count frames, ours seconds, and a piece of a film begins with trails from before it: so
        what came before is told anew for each frame."""
        before = self._rows.between(pts - self._order.trail_pts, pts)
        trace = pens.trails.trace
        trace.reset()
        trace.xy = ((place.boxes(before)[:, :2] + place.boxes(before)[:, 2:]) / 2).astype(np.float32)
        trace.tracker_id = before.columns["id"].astype(int)
        trace.frame_id = np.zeros(len(before), int)
        pens.trails.annotate(self._canvas, found)

    def _texts(self, rows: LayerRows) -> list[str]:
        draw, classes = self._order.draw, self._order.classes
        texts = []
        for track_id, class_number, confidence in zip(
            *(rows.columns[name].tolist() for name in ("id", "class", "confidence")), strict=True
        ):
            parts = {"labels": classes[class_number], "ids": str(track_id), "confidence": f"{confidence:.2f}"}
            texts.append(" ".join(text for name, text in parts.items() if name in draw))
        return texts


@dataclass(frozen=True)
class _Place:
    """From pixels of the upright source to those of the picture."""

    size: tuple[int, int]
    corner: tuple[float, float]
    scale: tuple[float, float]

    @classmethod
    def of(cls, window: Window, size: tuple[int, int]) -> _Place:
        return cls(size, (window.x, window.y), (size[0] / window.width, size[1] / window.height))

    def boxes(self, rows: LayerRows) -> Boxes:
        """Whole pixels inside the picture."""
        corners = np.column_stack([rows.columns[name] for name in ("x1", "y1", "x2", "y2")]).astype(np.float64)
        inside = np.rint((corners - np.array(self.corner * 2)) * np.array(self.scale * 2))
        return np.asarray(np.clip(inside, 0, np.array(self.size * 2) - 1.0))


def _detections(rows: LayerRows, place: _Place) -> sv.Detections:
    return sv.Detections(
        xyxy=place.boxes(rows).astype(np.float32),
        class_id=rows.columns["class"].astype(int),
        tracker_id=rows.columns["id"].astype(int),
    )


def _with_room(labels: list[tuple[int, int]], boxes: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """The boxes moved, where their labels, which lie on their upper left corner, would leave the picture."""
    width, height = np.array(labels).T
    left = np.clip(boxes[:, 0], 0, np.maximum(size[0] - width, 0))
    top = np.maximum(boxes[:, 1], height)
    return np.column_stack([left, top, left + width, top + height]).astype(np.float32)


def _luma(colour: sv.Color) -> float:
    return 0.2126 * colour.r + 0.7152 * colour.g + 0.0722 * colour.b

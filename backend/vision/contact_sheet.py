"""A sheet of a film's frames: the window, the subject's box and the tracks drawn over them, time and shot below."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from backend.vision.window import Shot

Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels of the upright source

MAX_CELLS = 12
CELL_PX = 480
_COLUMNS_LANDSCAPE, _COLUMNS_PORTRAIT = 3, 6
_MIN_CELL_WIDTH_PX = 200
_GAP_PX, _CAPTION_PX, _TEXT_PX, _LABEL_PX = 12, 26, 16, 14
_OUTSIDE_LIGHT = 0.45
_PAPER, _INK = "#ffffff", "#1f2937"
_WINDOW, _SUBJECT, _TRACK = "#14b8a6", "#ef4444", "#facc15"


@dataclass(frozen=True, eq=False)
class Cell:
    """One frame: its picture (height, width, 3) BGR, when, in which shot (from 0), and what is drawn over it."""

    picture: NDArray[np.uint8]
    time_sec: float
    shot: int
    window: Box
    subject: Box | None
    tracks: Sequence[tuple[int, Box]]
    panels: Sequence[Box] = ()


def frames_to_show(shots: Sequence[Shot], limit: int = MAX_CELLS) -> list[int]:
    """Up to `limit` frame numbers, rising: the first of each shot, and more of them the longer the shot is."""
    if len(shots) > limit:
        chosen = np.linspace(0, len(shots) - 1, limit).round().astype(int)
        return [shots[index][0] for index in chosen]
    places = [1] * len(shots)
    lengths = np.array([stop - start for start, stop in shots])
    for _ in range(min(limit, int(lengths.sum())) - len(shots)):
        gaps = lengths / np.array(places)
        places[int(gaps.argmax())] += 1
    return [
        start + step * (stop - start) // count
        for (start, stop), count in zip(shots, places, strict=True)
        for step in range(count)
    ]


def cell_size(frame_size: tuple[int, int]) -> tuple[int, int]:
    """Width and height in pixels of a frame on the sheet: the longer side is CELL_PX."""
    scale = CELL_PX / max(frame_size)
    return max(1, round(frame_size[0] * scale)), max(1, round(frame_size[1] * scale))


def contact_sheet(cells: Sequence[Cell], frame_size: tuple[int, int]) -> bytes:
    """A PNG of the cells in rows; `frame_size` is that of the source, in which the boxes are."""
    width, height = cell_size(frame_size)
    columns = min(len(cells), _COLUMNS_LANDSCAPE if width >= height else _COLUMNS_PORTRAIT) or 1
    step = (max(width, _MIN_CELL_WIDTH_PX) + _GAP_PX, height + _CAPTION_PX + _GAP_PX)
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * step[0] + _GAP_PX, _CAPTION_PX + rows * step[1] + _GAP_PX), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_legend(draw)
    for number, cell in enumerate(cells):
        x, y = _GAP_PX + number % columns * step[0], _GAP_PX + _CAPTION_PX + number // columns * step[1]
        sheet.paste(_drawn(cell, (width, height), frame_size), (x, y))
        draw.text((x, y + height + 4), _caption(cell), _INK, _font(_TEXT_PX))
    png = io.BytesIO()
    sheet.save(png, format="png", compress_level=4)
    return png.getvalue()


def _drawn(cell: Cell, size: tuple[int, int], frame_size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(cell.picture[:, :, ::-1])).resize(size, Image.Resampling.BICUBIC)
    windows = [_scaled(each, size, frame_size) for each in (cell.window, *cell.panels)]
    inside = [picture.crop((left, top, right + 1, bottom + 1)) for left, top, right, bottom in windows]
    picture = ImageEnhance.Brightness(picture).enhance(_OUTSIDE_LIGHT)
    for part, window in zip(inside, windows, strict=True):
        picture.paste(part, window[:2])
    draw = ImageDraw.Draw(picture)
    for track_id, box in cell.tracks:
        corners = _scaled(box, size, frame_size)
        draw.rectangle(corners, outline=_TRACK, width=1)
        _draw_label(draw, (corners[0], corners[1]), str(track_id))
    if cell.subject is not None:
        draw.rectangle(_scaled(cell.subject, size, frame_size), outline=_SUBJECT, width=2)
    for window in windows:
        draw.rectangle(window, outline=_WINDOW, width=3)
    return picture


def _scaled(box: Box, size: tuple[int, int], frame_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Whole pixels inside the picture, the right corner not before the left one."""
    left, right = (_clipped(side * size[0] / frame_size[0], size[0]) for side in (box[0], box[2]))
    top, bottom = (_clipped(side * size[1] / frame_size[1], size[1]) for side in (box[1], box[3]))
    return left, top, max(left, right), max(top, bottom)


def _clipped(at: float, side: int) -> int:
    return min(max(0, round(at)), side - 1)


def _draw_label(draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str) -> None:
    font = _font(_LABEL_PX)
    place = (corner[0] + 3, corner[1] + 1)
    left, top, right, bottom = draw.textbbox(place, text, font=font)
    draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=_INK)
    draw.text(place, text, _TRACK, font)


def _draw_legend(draw: ImageDraw.ImageDraw) -> None:
    x = float(_GAP_PX)
    for colour, text in ((_WINDOW, "window"), (_SUBJECT, "subject"), (_TRACK, "tracks")):
        draw.rectangle((x, 12, x + 14, 26), fill=colour)
        draw.text((x + 20, 10), text, _INK, _font(_TEXT_PX))
        x += 32 + draw.textlength(text, _font(_TEXT_PX))


def _caption(cell: Cell) -> str:
    hundredths = round(cell.time_sec * 100)
    minutes, rest = divmod(hundredths, 6000)
    clock = (
        f"{minutes // 60}:{minutes % 60:02}:{rest / 100:05.2f}" if minutes >= 60 else f"{minutes}:{rest / 100:05.2f}"
    )
    return f"{clock}   shot {cell.shot}"


def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)

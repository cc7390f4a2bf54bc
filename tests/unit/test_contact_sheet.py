"""Which frames are on the sheet, and where things are drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.vision.contact_sheet import Box, Cell, contact_sheet, frames_to_show

FRAME = (960, 540)  # on the sheet at half this size
CAPTION, GAP = 26, 12
TEAL, RED, YELLOW = (0xA6, 0xB8, 0x14), (0x44, 0x44, 0xEF), (0x15, 0xCC, 0xFA)  # BGR


@pytest.mark.parametrize(
    ("shots", "wanted"),
    [
        ([(0, 120)], list(range(0, 120, 10))),
        ([(0, 5)], [0, 1, 2, 3, 4]),
        ([(0, 1), (1, 12)], list(range(12))),
        ([], []),
    ],
)
def test_frames_are_spread_evenly(shots: list[tuple[int, int]], wanted: list[int]) -> None:
    assert frames_to_show(shots) == wanted


def test_every_shots_first_frame_is_shown_and_long_shots_get_more() -> None:
    shots = [(0, 20), (20, 82), (82, 211), (211, 250)]
    frames = frames_to_show(shots)
    assert len(frames) == 12 and frames == sorted(set(frames))
    assert {0, 20, 82, 211} <= set(frames)
    counts = [sum(start <= frame < stop for frame in frames) for start, stop in shots]
    assert counts[2] == max(counts) and counts[0] == min(counts)


def test_of_many_shots_twelve_first_frames_are_shown_from_first_to_last() -> None:
    shots = [(n * 7, n * 7 + 7) for n in range(1000)]
    frames = frames_to_show(shots)
    assert len(frames) == 12 and (frames[0], frames[-1]) == (0, 999 * 7)
    assert all(frame % 7 == 0 for frame in frames)


def cell(grey: int, window: Box = (0, 0, 960, 540), subject: Box | None = None, *tracks: tuple[int, Box]) -> Cell:
    return Cell(np.full((135, 240, 3), grey, np.uint8), 1.5, 0, window, subject, tracks)


def drawn(cells: list[Cell], frame_size: tuple[int, int] = FRAME) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(contact_sheet(cells, frame_size), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def at(picture: NDArray[np.uint8], x: float, y: float) -> tuple[int, ...]:
    """The colour at a point of the first cell's frame, in pixels of the source."""
    return tuple(int(v) for v in picture[GAP + CAPTION + round(y / 2), GAP + round(x / 2)])


def test_window_subject_and_tracks_are_drawn_where_they_are() -> None:
    sheet = drawn([cell(200, (300, 0, 600, 540), (400, 100, 500, 400), (7, (700, 200, 800, 300)))])
    assert at(sheet, 300, 270) == at(sheet, 600, 270) == TEAL
    assert at(sheet, 400, 250) == at(sheet, 450, 400) == RED
    assert at(sheet, 800, 250) == at(sheet, 750, 300) == YELLOW
    assert at(sheet, 450, 250) == (200, 200, 200)
    assert max(at(sheet, 100, 270)) < 110  # outside the window it is darker


def test_boxes_that_reach_past_the_picture_are_cut_at_its_edge() -> None:
    sheet = drawn([cell(90, (-50, -50, 2000, 2000), (-9, -9, 5000, 20), (1, (950, 530, 940, 520)))])
    assert at(sheet, 0, 270) == TEAL
    assert (sheet[:GAP, -GAP:] == 255).all()


@pytest.mark.parametrize(
    ("frame_size", "count", "wanted"),
    [
        ((1920, 1080), 12, (3 * 492 + 12, 26 + 4 * 308 + 12)),
        ((1080, 1920), 12, (6 * 282 + 12, 26 + 2 * 518 + 12)),
        ((1920, 1080), 2, (2 * 492 + 12, 26 + 308 + 12)),
        ((10_000, 10), 1, (492 + 12, 26 + 39 + 12)),
        ((10, 10_000), 1, (212 + 12, 26 + 518 + 12)),
    ],
)
def test_the_sheet_is_as_large_as_its_cells(frame_size: tuple[int, int], count: int, wanted: tuple[int, int]) -> None:
    sheet = drawn([cell(100)] * count, frame_size)
    width, height = sheet.shape[1], sheet.shape[0]
    assert (width, height) == pytest.approx(wanted, abs=1)


def test_a_sheet_of_nothing_is_a_picture_still() -> None:
    assert drawn([]).size > 0

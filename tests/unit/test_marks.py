"""What is drawn over a frame: in the track's colour, at its place, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import supervision as sv
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from backend.media.colour import SDR, Tags, note_tags
from backend.media.paint.marks import Marks
from backend.media.paint.marks_order import MarksOrder
from backend.media.paint.rows import LayerRows
from backend.media.resample import Window, plane

WIDTH, HEIGHT = 320, 180
WHOLE = Window(0, 0, WIDTH, HEIGHT)
HLG = Tags(9, False, 18, 9)


def noise(pix_fmt: str = "yuv420p", tags: Tags = SDR) -> VideoFrame:
    frame = VideoFrame(WIDTH, HEIGHT, pix_fmt)
    random = np.random.default_rng(1)
    for number in range(3):
        samples = plane(frame, number)
        samples[:] = random.integers(16, 235 if samples.dtype == np.uint8 else 940, samples.shape)
    note_tags(frame, tags)
    return frame


def rows(*marks: tuple[int, int, tuple[float, float, float, float]]) -> LayerRows:
    """Of (pts, id, box)."""
    boxes = np.array([box for _, _, box in marks], np.float64).reshape(-1, 4)
    return LayerRows(
        {
            "pts": np.array([pts for pts, _, _ in marks], np.int64),
            "id": np.array([number for _, number, _ in marks], np.int64),
            "class": np.zeros(len(marks), np.int64),
            "confidence": np.full(len(marks), 0.87),
            **{name: boxes[:, side] for side, name in enumerate(("x1", "y1", "x2", "y2"))},
        }
    )


def painted(
    folder: Path,
    found: LayerRows,
    draw: list[str],
    frame: VideoFrame | None = None,
    pts: int = 0,
    window: Window = WHOLE,
) -> list[NDArray[np.int64]]:
    """The planes after painting."""
    file = folder / "marks.npz"
    file.write_bytes(found.to_bytes())
    order = MarksOrder(data_file=str(file), draw=draw, classes=["traffic light"], trail_pts=100)  # type: ignore[arg-type]
    frame = frame or noise()
    Marks(order).paint(frame, window, 0, pts)
    return [plane(frame, number).astype(np.int64) for number in range(3)]


def changed(planes: list[NDArray[np.int64]], frame: VideoFrame | None = None) -> NDArray[np.bool_]:
    """Where luma is another than that of the noise."""
    return np.asarray(planes[0] != plane(frame or noise(), 0))


def luma_of(track_id: int) -> float:
    colour = sv.ColorPalette.DEFAULT.by_idx(track_id)
    return 16 + 219 / 255 * (0.2126 * colour.r + 0.7152 * colour.g + 0.0722 * colour.b)


def test_a_box_is_a_ring_in_its_track_s_colour_and_all_else_stays_bit_by_bit(tmp_path: Path) -> None:
    planes = painted(tmp_path, rows((0, 3, (40.2, 60.4, 100.3, 140.1))), ["boxes"])
    ring = np.zeros((HEIGHT, WIDTH), bool)
    ring[58:143, 38:103] = True
    ring[63:138, 43:98] = False  # two pixels on either side of a line that is two wide
    assert not (changed(planes) & ~ring).any()
    for row, column in ((60, 70), (140, 70), (100, 40), (100, 100)):
        assert planes[0][row, column] == pytest.approx(luma_of(3), abs=1)
    cells = ring.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).any(axis=(1, 3))
    for number in (1, 2):
        assert not ((planes[number] != plane(noise(), number)) & ~cells).any()


def test_a_box_of_the_source_lies_where_the_window_shows_it(tmp_path: Path) -> None:
    """A window of half the picture's size, enlarged twice."""
    window = Window(100, 50, WIDTH / 2, HEIGHT / 2)
    planes = painted(tmp_path, rows((0, 1, (120, 70, 160, 100))), ["boxes"], window=window)
    for row, column in ((40, 80), (100, 80), (70, 40), (70, 120)):
        assert planes[0][row, column] == pytest.approx(luma_of(1), abs=1)
    assert changed(planes)[30:110, 30:130].sum() == changed(planes).sum()


def test_a_label_stays_in_the_picture(tmp_path: Path) -> None:
    """Above its box where there is room, else at the picture's edge; never cut off."""
    free = changed(painted(tmp_path, rows((0, 1, (40, 90, 100, 140))), ["labels"]))
    height = free.any(axis=1).sum()
    assert free[:91].sum() == free.sum() and height >= 10
    corner = changed(painted(tmp_path, rows((0, 1, (300, 2, 319, 60))), ["labels"]))
    assert corner.any(axis=1).sum() == pytest.approx(height, abs=1)
    assert corner.any(axis=0).sum() == pytest.approx(free.any(axis=0).sum(), abs=1)


def test_each_part_of_a_label_makes_it_longer(tmp_path: Path) -> None:
    box = rows((0, 12, (40, 90, 100, 140)))
    widths = [
        changed(painted(tmp_path, box, draw)).any(axis=0).sum()
        for draw in (["ids"], ["labels"], ["labels", "ids"], ["labels", "ids", "confidence"])
    ]
    assert widths == sorted(set(widths))


def test_nothing_is_drawn_without_a_row_or_a_wish(tmp_path: Path) -> None:
    box = rows((0, 1, (40, 90, 100, 140)))
    assert not changed(painted(tmp_path, box, ["boxes"], pts=1)).any()
    assert not changed(painted(tmp_path, box, [])).any()


def way() -> LayerRows:
    """Track 1 goes to the right for 200 ticks, 1 px a tick; track 2 was there, and is gone."""
    steps = range(0, 201, 10)
    one = [(pts, 1, (20.0 + pts, 60.0, 40.0 + pts, 80.0)) for pts in steps]
    two = [(pts, 2, (20.0 + pts, 120.0, 40.0 + pts, 140.0)) for pts in steps if pts <= 150]
    return rows(*sorted(one + two))


def test_a_trail_is_the_way_of_the_last_ticks_of_who_is_there(tmp_path: Path) -> None:
    drawn = changed(painted(tmp_path, way(), ["trails"], pts=200))
    columns = np.flatnonzero(drawn.any(axis=0))
    # The middles of the boxes from 100 to 200 ticks.
    assert (columns[0], columns[-1]) == (pytest.approx(130, abs=1), pytest.approx(230, abs=1))
    assert drawn[68:73].sum() == drawn.sum()


def test_a_piece_draws_the_trails_that_the_whole_film_does(tmp_path: Path) -> None:
    """It begins at 200 and was given what reaches back 100 ticks."""
    whole = painted(tmp_path, way(), ["trails", "boxes", "ids"], pts=200)
    piece = painted(tmp_path, way().between(100, 500), ["trails", "boxes", "ids"], pts=200)
    for one, other in zip(whole, piece, strict=True):
        np.testing.assert_array_equal(one, other)


def test_on_kept_hdr_white_is_the_reference_white_and_the_rest_stays(tmp_path: Path) -> None:
    """203 cd/m² is 75 % of an HLG signal (BT.2408), 721 of ten bits. The colours of tracks are darker than white."""
    frame, before = noise("yuv420p10le", HLG), noise("yuv420p10le", HLG)
    planes = painted(tmp_path, rows((0, 3, (40, 60, 100, 140))), ["boxes"], frame)
    drawn = changed(planes, before)
    assert drawn[58:143, 38:103].sum() == drawn.sum() > 0
    ring = planes[0][100, 40]
    assert 64 < ring < 721
    assert (planes[0][drawn] == ring).all()

"""What painters do to the samples of a picture, inside and outside of what they draw."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.media.colour import SDR, Tags, note_tags, tags_of
from backend.media.facts import BT2020, HLG, PQ
from backend.media.paint.composite import compose, composite, drawn
from backend.media.paint.highlight import BlurOrder, SpotlightOrder
from backend.media.paint.layers import LayerOrder, painter_of
from backend.media.paint.rows import LayerRows, joined_rows, load_rows
from backend.media.resample import Samples, Window, plane
from backend.media.tonemap import bt709_to_hdr, hlg_to_nits, pq_to_nits

SIZE = (96, 64)
WHOLE = Window(0, 0, *SIZE)
FULL_601 = Tags(5, True, 1, 1)


def noisy(tags: Tags = SDR, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    dice = np.random.default_rng(5)
    picture = av.VideoFrame(*SIZE, pix_fmt)
    for number in range(3):
        target = plane(picture, number)
        target[:] = dice.integers(30, 200, target.shape) * (4 if target.dtype == np.uint16 else 1)
    note_tags(picture, tags)
    return picture


def copies(picture: av.VideoFrame) -> list[Samples]:
    return [plane(picture, number).copy() for number in range(3)]


def rgb_of(picture: av.VideoFrame, tags: Tags) -> NDArray[np.uint8]:
    """As FFmpeg's scaler sees it: other code than what drew."""
    matrix = 1 if tags.matrix == 1 else 5
    shown = picture.reformat(
        format="rgb24",
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=2 if tags.full_range else 1,
        dst_color_range=2,
    )
    return shown.to_ndarray()


# Drawings


@pytest.mark.parametrize("tags", [SDR, FULL_601])
@pytest.mark.parametrize("colour", [(0, 0, 255), (255, 64, 10), (255, 255, 255), (0, 0, 0)])
def test_a_drawing_has_its_colour_and_leaves_all_else_as_it_is(tags: Tags, colour: tuple[int, int, int]) -> None:
    picture = noisy(tags)
    before = copies(picture)
    compose(
        picture, drawn(lambda canvas: cv2.rectangle(canvas, (20, 10), (51, 33), colour, -1), SIZE), tags_of(picture)
    )
    shown = rgb_of(picture, tags)[12:32, 22:50].astype(int)
    assert np.abs(shown - np.array(colour[::-1])).max() <= 3
    for number, step in ((0, 1), (1, 2), (2, 2)):
        changed = plane(picture, number) != before[number]
        changed[10 // step : 34 // step, 20 // step : 52 // step] = False
        assert not changed.any()


def test_half_a_veil_is_half_of_both() -> None:
    picture = noisy()
    before = copies(picture)
    white, half = np.full((16, 16, 3), 255, np.uint8), np.full((16, 16), 0.5, np.float32)
    composite(picture, white, half, SDR, at=(8, 4))
    expected = (before[0][4:20, 8:24].astype(float) + 235) / 2
    assert np.abs(plane(picture, 0)[4:20, 8:24] - expected).max() <= 0.51
    chroma = (before[1][2:10, 4:12].astype(float) + 128) / 2
    assert np.abs(plane(picture, 1)[2:10, 4:12] - chroma).max() <= 0.51


def test_soft_edges_have_the_colour_of_the_line_and_no_rim() -> None:
    """A red line on red stays red: black or white of the canvas would show as a rim."""
    picture = noisy()
    red = np.full((*SIZE[::-1], 3), (0, 0, 255), np.uint8)
    composite(picture, red, np.ones(SIZE[::-1], np.float32), SDR)
    before = copies(picture)
    line = drawn(lambda canvas: cv2.line(canvas, (5, 7), (90, 50), (0, 0, 255), 2, cv2.LINE_AA), SIZE)
    assert line is not None and ((line.alpha > 0.1) & (line.alpha < 0.9)).any()
    compose(picture, line, SDR)
    for number in range(3):
        assert np.abs(plane(picture, number).astype(int) - before[number]).max() <= 2


def test_a_drawing_at_the_edge_and_of_odd_size_is_cut_off() -> None:
    picture = noisy()
    composite(picture, np.full((9, 7, 3), 255, np.uint8), np.ones((9, 7), np.float32), SDR, at=(92, 60))
    assert (plane(picture, 0)[60:64, 92:96] == 235).all()
    assert drawn(lambda canvas: None, SIZE) is None


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_white_on_kept_hdr_is_reference_white(transfer: int) -> None:
    tags = Tags(BT2020, False, transfer, BT2020)
    picture = noisy(tags, "yuv420p10le")
    composite(picture, np.full((8, 8, 3), 255, np.uint8), np.ones((8, 8), np.float32), tags)
    signal = (plane(picture, 0)[:8, :8].mean() - 64) / 876
    to_nits = pq_to_nits if transfer == PQ else hlg_to_nits
    assert to_nits(np.full((1, 3), signal))[0, 0] == pytest.approx(203, rel=0.02)
    assert np.abs(plane(picture, 1)[:4, :4].astype(int) - 512).max() <= 1
    assert bt709_to_hdr(np.zeros((1, 3)), tags).max() < 0.01


# Highlights


def ellipses(file: Path, *rows: tuple[float, ...]) -> str:
    names = ("x", "y", "radius_x", "radius_y", "opacity")
    columns = {name: np.array([row[1:][at] for row in rows]) for at, name in enumerate(names)}
    file.write_bytes(LayerRows({"pts": np.array([row[0] for row in rows], np.int64), **columns}).to_bytes())
    return str(file)


def painted(order: LayerOrder, window: Window = WHOLE, pts: int = 7, pix_fmt: str = "yuv420p") -> list[Samples]:
    picture = noisy(pix_fmt=pix_fmt)
    painter_of(order).paint(picture, window, 0, pts)
    return copies(picture)


def inside(shape: tuple[int, ...], x: float, y: float, radius_x: float, radius_y: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside: NDArray[np.bool_] = ((columns - x) / radius_x) ** 2 + ((rows - y) / radius_y) ** 2 <= 1
    return inside


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_a_spotlight_darkens_what_lies_outside_and_nothing_inside(tmp_path: Path, pix_fmt: str) -> None:
    file = ellipses(tmp_path / "rows.npz", (7, 40, 30, 20, 12, 1.0))
    before = copies(noisy(pix_fmt=pix_fmt))
    after = painted(SpotlightOrder(data_file=file, feather=0, light=0.3), pix_fmt=pix_fmt)
    unit = 4 if pix_fmt.endswith("10le") else 1
    kept = inside(before[0].shape, 40, 30, 20, 12)
    assert (after[0][kept] == before[0][kept]).all()
    expected = 16 * unit + 0.3 * (before[0][~kept] - 16.0 * unit)
    assert np.abs(after[0][~kept] - expected).max() <= 0.51
    assert np.abs(after[1][:8] - (128 * unit + 0.3 * (before[1][:8] - 128.0 * unit))).max() <= 0.51


def test_several_ellipses_stay_clear_and_the_feather_lies_outside_of_them(tmp_path: Path) -> None:
    file = ellipses(tmp_path / "rows.npz", (7, 25, 30, 12, 12, 0.5), (7, 70, 30, 12, 12, 0.2))
    before, after = copies(noisy())[0], painted(SpotlightOrder(data_file=file, feather=0.5, light=0))[0]
    clear = inside(before.shape, 25, 30, 12, 12) | inside(before.shape, 70, 30, 12, 12)
    far = ~(inside(before.shape, 25, 30, 18, 18) | inside(before.shape, 70, 30, 18, 18))
    assert (after[clear] == before[clear]).all()
    assert np.abs(after[far] - (16 + 0.5 * (before[far] - 16.0))).max() <= 0.51
    share = (after - 16.0)[30, 25:44] / (before - 16.0)[30, 25:44]
    assert (np.diff(share[11:]) <= 0.01).all() and share[13] > 0.9 and share[18] < 0.55


def test_a_blur_keeps_the_mean_and_takes_the_detail(tmp_path: Path) -> None:
    file = ellipses(tmp_path / "rows.npz", (7, 80, 50, 8, 8, 1.0))
    before, after = copies(noisy()), painted(BlurOrder(data_file=file, feather=0.25, spread=0.1))
    kept = inside(before[0].shape, 80, 50, 8, 8)
    assert (after[0][kept] == before[0][kept]).all()
    for number in range(3):
        half = before[number].shape[1] // 2
        assert after[number][:, :half].std() < 0.2 * before[number][:, :half].std()
        assert after[number][:, :half].mean() == pytest.approx(before[number][:, :half].mean(), abs=2)


def test_an_ellipse_lies_where_the_window_shows_it(tmp_path: Path) -> None:
    """At twice the size, from a corner in the middle of a pixel."""
    file = ellipses(tmp_path / "rows.npz", (7, 40, 30, 10, 10, 1.0))
    window = Window(20.5, 16.25, 48, 32)
    before = copies(noisy())[0]
    after = painted(SpotlightOrder(data_file=file, feather=0, light=0), window)[0]
    kept = inside(before.shape, (40 - 20.5) * 2, (30 - 16.25) * 2, 20, 20)
    assert (after[kept] == before[kept]).all() and (after[~kept] == 16).all()


def test_a_frame_without_a_row_stays_as_it_is(tmp_path: Path) -> None:
    file = ellipses(tmp_path / "rows.npz", (7, 40, 30, 20, 12, 1.0))
    for number, samples in enumerate(painted(SpotlightOrder(data_file=file, feather=0, light=0), pts=8)):
        assert (samples == copies(noisy())[number]).all()


def test_rows_come_back_frame_by_frame(tmp_path: Path) -> None:
    file = tmp_path / "rows.npz"
    rows = LayerRows({"pts": np.array([2, 2, 5, 9, 9, 9]), "box": np.arange(12.0).reshape(6, 2)})
    file.write_bytes(rows.to_bytes())
    loaded = load_rows(str(file))
    assert [len(loaded.on(pts)) for pts in (2, 3, 5, 9)] == [2, 0, 1, 3]
    assert loaded.on(5).columns["box"].tolist() == [[4, 5]]
    both = joined_rows([loaded.between(0, 6), loaded.between(6, 10)])
    assert both.columns["box"].tolist() == rows.columns["box"].tolist()

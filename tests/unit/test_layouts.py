"""One window where it shows everybody, panels for two or three apart, bars for many; few changes, each for a reason."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from backend.errors import InvalidParams
from backend.kinds.crop_params import CropParams
from backend.kinds.framing import Framing, framed
from backend.kinds.stitched import Stitched
from backend.vision.path_file import panel_rows
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline
from backend.vision.window import panel_areas
from tests.unit.test_groups import FRAMES, SIZE, TIME_BASE, person

APART = (person(1, 300), person(2, 1600))


def frame_them(*tracks: Track, cut: int | None = None, **params: Any) -> Framing:
    shots = [(0, len(FRAMES))] if cut is None else [(0, cut), (cut, len(FRAMES))]
    found = Stitched(Timeline(FRAMES, TIME_BASE, SIZE), list(tracks), shots)
    return framed(found, CropParams.model_validate({"aspect": "9:16", "subject": "all"} | params))


def layouts(framing: Framing) -> list[tuple[int, int, str]]:
    return [(part.start, part.stop, part.layout) for part in framing.parts]


def head(track: Track, frame: int) -> np.ndarray:
    """The upper seventh of the box, its middle third: x1, y1, x2, y2."""
    left, top, right, bottom = track.boxes[np.searchsorted(track.pts, frame, side="right") - 1]
    return np.array([left + (right - left) / 3, top, right - (right - left) / 3, top + (bottom - top) / 7])


def shows(framing: Framing, box: np.ndarray, frame: int) -> bool:
    path = framing.path
    windows = [np.array([path.x[frame], path.y[frame], path.width[frame], path.height[frame]])]
    if path.panels is not None:
        windows += [each for each in path.panels[frame] if np.isfinite(each[0])]
    return any((box[:2] >= each[:2]).all() and (box[2:] <= each[:2] + each[2:]).all() for each in windows)


def test_two_people_apart_have_a_panel_each_and_both_heads_are_seen_throughout() -> None:
    framing = frame_them(*APART)
    assert layouts(framing) == [(0, 500, "split")]
    assert all(shows(framing, head(track, frame), frame) for track in APART for frame in range(0, 500, 7))
    told = framing.certificate(0.85)["layouts"]
    assert told["split"]["pct"] == 100 and told["panels_held_pct"] == 100 and told["changes_within_shots"] == 0
    # Each panel has its shape, and nobody is enlarged too far.
    (part,) = panel_rows(framing.path)
    assert (part["start"], part["stop"], np.shape(part["windows"])) == (0, 500, (500, 1, 4))
    _, _, width, height = panel_areas(framing.path.output_size, 2)[0]
    sizes = np.array(part["windows"])[:, 0, 2:]
    assert np.allclose(sizes[:, 0] / sizes[:, 1], width / height, rtol=1e-3) and (sizes[:, 0] * 2 >= width - 1).all()


def test_people_beside_one_another_share_one_window() -> None:
    framing = frame_them(person(1, 800), person(2, 1050))
    assert layouts(framing) == [(0, 500, "crop")] and framing.path.panels is None


def test_panels_never_show_the_same_part_of_the_picture() -> None:
    """Two who do not fit into one window, but whose panels would overlap by half."""
    assert "split" not in {name for *_, name in layouts(frame_them(person(1, 700), person(2, 1100, height=900)))}


def test_three_people_apart_have_a_panel_each() -> None:
    framing = frame_them(person(1, 200, height=400), person(2, 960, height=400), person(3, 1700, height=400))
    assert [len(part.panel_boxes) for part in framing.parts] == [3]


def test_people_who_mingle_are_shown_between_bars_but_not_where_those_are_not_wanted() -> None:
    phases = [0.0, 1.3, 2.6, 3.9, 5.2]
    tracks = [person(n, 960 + 800 * np.sin(FRAMES / 60 + phase), height=500) for n, phase in enumerate(phases)]
    framing = frame_them(*tracks)
    assert layouts(framing) == [(0, 500, "bars")]
    assert framing.path.width[250] > 1500  # of 1920: all of them
    assert "bars" not in {name for *_, name in layouts(frame_them(*tracks, fill="split"))}


def test_the_layout_changes_where_somebody_comes_and_not_for_a_short_visit() -> None:
    arriving = frame_them(person(1, 300), person(2, 1600, start=250))
    (first, second) = layouts(arriving)
    assert (first[2], second[2]) == ("crop", "split") and abs(first[1] - 250) < 15
    assert arriving.certificate(0.85)["layouts"]["changes_within_shots"] == 1
    visit = frame_them(person(1, 300), person(2, 1600, start=250, stop=280))
    assert layouts(visit) == [(0, 500, "crop")]


def test_a_shot_with_a_keyframe_is_one_window_and_others_are_as_they_were() -> None:
    framing = frame_them(*APART, cut=250, keyframes=[{"time_sec": 2.0, "x": 960, "y": 540}])
    assert layouts(framing) == [(0, 250, "crop"), (250, 500, "split")]
    assert framing.path.shots == ((0, 250), (250, 500))


def test_shots_keep_their_numbers_where_a_layout_changes_within_one() -> None:
    tracks = [person(1, 300), person(2, 1600, start=100)]
    framing = frame_them(*tracks, cut=300, shots={1: "main"})
    assert [part.layout for part in framing.parts] == ["crop", "split", "crop"]
    assert framing.path.shots == ((0, 300), (300, 500)) and len(framing.path.stretches) == 3
    with pytest.raises(InvalidParams, match="no shot 2"):
        frame_them(*tracks, cut=300, shots={2: "main"})


def test_named_people_are_split_on_demand_and_one_person_never() -> None:
    assert layouts(frame_them(*APART, subject="track:1,track:2", fill="split")) == [(0, 500, "split")]
    assert layouts(frame_them(*APART, subject="main", fill="auto")) == [(0, 500, "crop")]


def test_everybody_is_laid_out_unless_a_fill_is_named() -> None:
    assert CropParams.model_validate({"subject": "all"}).fill == "auto"
    assert CropParams.model_validate({"subject": "all", "fill": "crop"}).fill == "crop"
    assert CropParams.model_validate({}).fill == "crop"


@pytest.mark.parametrize("size", [(608, 1080), (1080, 1080), (1920, 1080), (202, 360), (6, 4)])
@pytest.mark.parametrize("count", [2, 3])
def test_panels_are_even_alike_and_inside_the_output(size: tuple[int, int], count: int) -> None:
    areas = panel_areas(size, count)
    assert len(areas) == count and len({area[2:] for area in areas}) == 1
    for x, y, width, height in areas:
        assert x % 2 == y % 2 == width % 2 == height % 2 == 0
        assert x + width <= size[0] and y + height <= size[1]


def test_nobody_at_all_is_one_window() -> None:
    assert layouts(frame_them()) == [(0, 500, "crop")]


def test_variable_rates_and_sparse_frames_are_cut_at_frames() -> None:
    pts = np.cumsum(np.where(np.arange(120) % 3 == 0, 9, 2))
    timeline = Timeline(pts, Fraction(1, 25), SIZE)
    tracks = [replace(track, pts=pts, boxes=track.boxes[:120], confidence=track.confidence[:120]) for track in APART]
    framing = framed(
        Stitched(timeline, tracks, [(0, 120)]), CropParams.model_validate({"aspect": "9:16", "subject": "all"})
    )
    assert layouts(framing) == [(0, 120, "split")]


def test_an_audience_behind_one_large_person_is_a_background() -> None:
    dancer = person(1, 900 + 60 * np.sin(FRAMES / 20), height=800)
    audience = [person(number, 80 * number, height=260) for number in range(2, 23)]
    assert layouts(frame_them(dancer, *audience)) == [(0, 500, "crop")]


def test_a_window_that_is_placed_among_several_is_not_zoomed_beside_it() -> None:
    walkers = [
        person(n, 960 + 800 * np.sin(FRAMES / 60 + phase), height=300) for n, phase in enumerate((0.0, 2.0, 4.0))
    ]
    path = frame_them(*walkers, fill="crop").path
    assert path.width == pytest.approx(path.width[0]) and path.height == pytest.approx(1080)

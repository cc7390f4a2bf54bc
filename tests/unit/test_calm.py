"""A shot's window is as large as its camera needs to be calm: what that takes, and what it never does."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from backend.kinds.crop_params import CropParams
from backend.kinds.framing import Framing, framed
from backend.kinds.stitched import Stitched
from backend.vision.calm import larger_windows, unrest
from backend.vision.moves import direction_changes
from backend.vision.path_memory import PathMemory
from backend.vision.stitch import Track
from backend.vision.timeline import Timeline

SIZE, TIME_BASE, FPS = (1920, 1080), Fraction(1, 25), 25
FRAMES = np.arange(8 * FPS)


def swaying(reach_px: float, width: float = 400.0, height: float = 900.0, every_sec: float = 2.0) -> Track:
    """Somebody in the middle who goes `reach_px` to either side, again and again."""
    middle = SIZE[0] / 2 + reach_px * np.sin(2 * np.pi * FRAMES / FPS / every_sec)
    top = np.full(len(FRAMES), 1000.0 - height)
    boxes = np.stack([middle - width / 2, top, middle + width / 2, top + height], axis=1)
    return Track(1, FRAMES, boxes, np.full(len(FRAMES), 0.9))


def frame_it(*tracks: Track, **params: Any) -> Framing:
    found = Stitched(Timeline(FRAMES, TIME_BASE, SIZE), list(tracks), [(0, len(FRAMES))])
    return framed(found, CropParams.model_validate({"aspect": "9:16"} | params))


def held_whole(framing: Framing) -> float:
    path, boxes = framing.path, framing.subject.boxes
    corners = np.stack([path.x, path.y], axis=1)
    return float(((boxes[:, :2] >= corners - 1) & (boxes[:, 2:] <= corners + path.sizes + 1)).all(axis=1).mean())


def turns(framing: Framing) -> int:
    return direction_changes(framing.path.centres, framing.path.shots, SIZE[0])


def test_somebody_too_lively_for_the_window_is_shown_whole_and_calmly_between_bars() -> None:
    lively = swaying(250)
    plain, calm = frame_it(lively), frame_it(lively, fill="auto")
    assert (plain.path.width == 608).all() and (held_whole(plain) < 0.98 or turns(plain) >= 4)
    assert held_whole(calm) == 1.0 and turns(calm) == 0
    assert 608 < calm.path.width[0] < SIZE[0] and np.ptp(calm.path.width) == 0
    told = calm.certificate(0.85)
    assert told["layouts"]["bars"]["pct"] == 100 and told["filled_pts"] == [[0, len(FRAMES) - 1]]


@pytest.mark.parametrize("params", [{"subject": "main"}, {"subject": "main", "fill": "split"}, {"fill": "blur"}])
def test_bars_for_calm_are_for_those_who_leave_the_choice(params: dict[str, Any]) -> None:
    path = frame_it(swaying(250), **params).path
    assert np.allclose(path.width / path.height, path.output_size[0] / path.output_size[1], rtol=1e-3)


@pytest.mark.parametrize(
    "track",
    [swaying(20), swaying(400, every_sec=16.0), swaying(250, width=900.0)],
    ids=["somebody who hardly moves", "somebody who walks across once", "somebody seen from near"],
)
def test_nobody_else_gets_bars(track: Track) -> None:
    framing = frame_it(track, fill="auto")
    assert framing.certificate(0.85)["layouts"]["crop"]["pct"] == 100


def test_a_window_that_was_sized_to_its_person_grows_within_its_shape_where_that_calms_it() -> None:
    small = swaying(90, width=150.0, height=480.0)
    framing = frame_it(small, zoom=False)
    needed = 480 * (1 + 2 * 0.12)
    assert needed < framing.path.height[0] <= needed * 1.26 and turns(framing) == 0 and held_whole(framing) == 1.0
    assert np.allclose(framing.path.width / framing.path.height, 9 / 16, rtol=2e-3)
    still = frame_it(swaying(0, width=150.0, height=480.0), zoom=False)
    assert still.path.height[0] == pytest.approx(needed)


def test_a_shot_with_a_keyframe_keeps_its_window() -> None:
    pinned = frame_it(swaying(250), fill="auto", keyframes=[{"time_sec": 1.0, "x": 960, "y": 540}])
    assert (pinned.path.width == 608).all()


def test_with_a_memory_the_choice_is_remembered_and_the_path_is_the_same() -> None:
    from backend.kinds.framing import on_subject, subject_of

    found = Stitched(Timeline(FRAMES, TIME_BASE, SIZE), [swaying(250)], [(0, len(FRAMES))])
    params, memory = CropParams(aspect="9:16", fill="auto"), PathMemory()
    chosen = subject_of(found, params)
    paths = [on_subject(found, params, chosen, kept).path for kept in (None, memory, memory)]
    assert paths[0].width[0] > 608
    for path in paths[1:]:
        assert np.array_equal(path.sizes, paths[0].sizes) and np.allclose(path.centres, paths[0].centres, atol=0.01)


def test_what_a_window_may_grow_to_is_in_the_order_of_what_it_costs() -> None:
    box = np.array([[700.0, 200.0, 1000.0, 900.0]])
    plain = list(larger_windows(np.array([405.0, 720.0]), SIZE, box, bars=False))
    assert [round(each.times, 2) for each in plain] == [1.12, 1.25] and all(each.size[1] <= 1080 for each in plain)
    barred = list(larger_windows(np.array([607.5, 1080.0]), SIZE, box, bars=True))
    assert [each.size[1] for each in barred] == [1080.0] * 3 and barred[-1].size[0] == pytest.approx(1215)
    assert sorted(each.price for each in barred) == [each.price for each in barred]
    assert not list(larger_windows(np.array([607.5, 1080.0]), SIZE, box, bars=False))


def test_unrest_counts_what_is_cut_off_what_is_tight_and_every_turn() -> None:
    count, size = 100, np.array([400.0, 800.0])
    boxes = np.tile([860.0, 200.0, 1060.0, 600.0], (count, 1))
    sizes, middle = np.tile(size, (count, 1)), np.tile([960.0, 400.0], (count, 1))
    assert unrest(boxes, middle, sizes, 0.1, 4.0, SIZE) == 0.0
    aside = middle + np.array([110.0, 0.0])  # ten pixels of the body are outside
    assert unrest(boxes, aside, sizes, 0.1, 4.0, SIZE) == pytest.approx(5.0 + 1.0)
    near = middle + np.array([90.0, 0.0])  # whole, with half of its padding
    assert unrest(boxes, near, sizes, 0.1, 4.0, SIZE) == pytest.approx(1.0)
    back_and_forth = middle + np.stack([40 * np.sin(np.arange(count) / 10), np.zeros(count)], axis=1)
    assert unrest(boxes, back_and_forth, sizes, 0.1, 4.0, SIZE) == pytest.approx(2.0 * 3 / 4.0)
    assert unrest(np.full((count, 4), np.nan), middle, sizes, 0.1, 4.0, SIZE) == 0.0

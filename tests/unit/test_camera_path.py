"""The window holds the subject, stays in the picture, stands still when it can and moves smoothly when it must."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import InvalidParams
from backend.vision.camera_path import CameraPath, solve_path
from backend.vision.certificate import certificate
from backend.vision.keyframes import Keyframe
from backend.vision.path_file import to_json
from backend.vision.timeline import Timeline
from backend.vision.window import CropSpec, largest_window, output_size, wanted_bands

SIZE = (1920, 1080)
TIME_BASE = Fraction(1, 30_000)
PORTRAIT = CropSpec(aspect=Fraction(9, 16))
NOBODY = [np.nan] * 4


def cfr(count: int, rate: int = 30) -> np.ndarray:
    return np.arange(count, dtype=np.int64) * (30_000 // rate)


def boxes_at(x: np.ndarray, y: np.ndarray | float = 540.0, width: float = 200.0, height: float = 500.0) -> np.ndarray:
    half_width, half_height, y = width / 2, height / 2, np.broadcast_to(y, x.shape)
    return np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)


def noisy_walk(count: int, seed: int = 3) -> np.ndarray:
    """A person who walks to and fro, with a detector's jitter of some pixels."""
    rng, t = np.random.default_rng(seed), np.arange(count) / 30
    return boxes_at(960 + 600 * np.sin(t / 5) * np.cos(t / 23)) + rng.normal(0, 4, (count, 4))


def solve(boxes: np.ndarray, pts: np.ndarray | None = None, spec: CropSpec = PORTRAIT, **more: Any) -> CameraPath:
    return solve_path(boxes, Timeline(cfr(len(boxes)) if pts is None else pts, TIME_BASE, SIZE), spec, **more)


def figures(path: CameraPath, boxes: np.ndarray, pts: np.ndarray | None = None) -> dict[str, Any]:
    return certificate(path, boxes, Timeline(cfr(len(boxes)) if pts is None else pts, TIME_BASE, SIZE))


def assert_inside(path: CameraPath, frame_size: tuple[int, int] = SIZE) -> None:
    assert (path.x >= 0).all() and (path.x + path.width <= frame_size[0] + 1e-9).all()
    assert (path.y >= 0).all() and (path.y + path.height <= frame_size[1] + 1e-9).all()
    assert (path.width > 0).all() and (path.height > 0).all()


# Standing still.


def test_a_subject_that_fits_a_still_window_gets_one_that_never_moves() -> None:
    rng = np.random.default_rng(1)
    boxes = boxes_at(700 + rng.normal(0, 6, 300))
    path = solve(boxes)
    assert len(set(path.x)) == len(set(path.y)) == len(set(path.width)) == 1
    assert figures(path, boxes)["still_frames_pct"] == figures(path, boxes)["containment_pct"] == 100


@pytest.mark.parametrize(("aside", "margin"), [(600, 0.05 * 608), (570, 24.0), (560, 19.0)])
def test_a_still_window_leaves_a_margin_for_who_darts_aside_once(aside: float, margin: float) -> None:
    """As large as there is room for on both sides, up to a twentieth of the window."""
    boxes = boxes_at(np.where(np.arange(300) // 10 == 12, aside, 900.0), height=1000.0)
    boxes[0] += [0, 0, 30, 0]
    path = solve(boxes)
    left, right = boxes[:, 0].min() - path.x[0], path.x[0] + path.width[0] - boxes[:, 2].max()
    assert len(set(path.x)) == 1
    assert left == pytest.approx(margin) and right >= left - 1e-6


@pytest.mark.parametrize("smoothing", ["optimal", "ema"])
def test_without_a_subject_the_window_stands_in_the_middle_and_is_the_largest(
    smoothing: Literal["optimal", "ema"],
) -> None:
    path = solve(np.full((50, 4), np.nan), smoothing=smoothing)
    assert set(path.width) == {608} and set(path.height) == {1080}
    assert set(path.x) == {(1920 - 608) / 2}
    own = figures(path, np.full((50, 4), np.nan))
    assert own["containment_pct"] is None and own["static"]["containment_pct"] is None


def test_the_source_aspect_at_full_size_is_the_whole_picture() -> None:
    path = solve(boxes_at(np.linspace(300, 1600, 60), width=1200, height=1060), spec=CropSpec())
    assert path.output_size == SIZE and set(path.x) == {0} and set(path.y) == {0}


# Moving.


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_holds_no_less_than_ema_and_moves_several_times_more_gently(seed: int) -> None:
    boxes = noisy_walk(900, seed)
    found = figures(solve(boxes), boxes)
    ema = found["ema"]
    assert found["containment_pct"] >= max(99.5, ema["containment_pct"])
    assert found["acceleration_p99"] * 3 < ema["acceleration_p99"]
    assert found["jerk_p99"] * 20 < ema["jerk_p99"]
    assert found["still_frames_pct"] > 2 * ema["still_frames_pct"]
    causal = found["ema_causal"]
    assert found["acceleration_p99"] * 5 < causal["acceleration_p99"]
    assert found["jerk_p99"] * 50 < causal["jerk_p99"]
    assert found["containment_pct"] > found["static"]["containment_pct"]


def test_a_talking_head_that_gets_up_once_moves_the_window_once() -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([np.full(300, 500.0), np.linspace(500, 1300, 90), np.full(300, 1300.0)])
    boxes = boxes_at(x + 15 * np.sin(np.arange(690) / 20) + rng.normal(0, 3, 690))
    path = solve(boxes)
    assert figures(path, boxes)["containment_pct"] >= 99.5
    still = np.abs(np.diff(path.x)) < 0.05
    assert still[:240].mean() > 0.95 and still[450:].mean() > 0.95


def test_a_subject_faster_than_any_camera_meets_the_limits() -> None:
    boxes = boxes_at(np.tile(np.repeat([300.0, 1600.0], 10), 20))
    found = figures(solve(boxes), boxes)
    for order, name in enumerate(("speed", "acceleration", "jerk")):
        assert found[f"{name}_max"] < 1.15 * (1.0, 3.0, 30.0)[order] == 1.15 * found["limits"][name]


def test_a_subject_gone_for_two_seconds_is_bridged_without_a_jump() -> None:
    boxes = boxes_at(np.linspace(400, 1500, 300))
    boxes[120:180] = NOBODY
    path = solve(boxes)
    assert np.abs(np.diff(path.x)).max() < 12  # the person walks 3.7 px a frame
    assert figures(path, boxes)["containment_pct"] == 100


def test_a_long_gap_across_solver_windows_is_bridged_too() -> None:
    boxes = boxes_at(960 + 600 * np.sin(np.arange(2_000) / 40.0))
    boxes[300:1_800] = NOBODY
    path = solve(boxes, pts=cfr(2_000, rate=5), spec=PORTRAIT)
    assert_inside(path)
    assert np.abs(np.diff(path.x[320:1_780])).max() < 30


def test_a_long_video_has_no_seams_between_solver_windows() -> None:
    boxes = noisy_walk(9_000)
    found = figures(solve(boxes), boxes)
    assert found["containment_pct"] >= 99.5
    assert found["jerk_max"] < 1.0 < found["ema"]["jerk_max"]


def test_a_box_wider_than_the_window_has_its_middle_held() -> None:
    x = 960 + 500 * np.sin(np.arange(300) / 40)
    boxes = boxes_at(x, width=1000.0)
    path = solve(boxes)
    assert set(path.width) == {608}
    found = figures(path, boxes)
    assert found["held_part_pct"] >= 99 and found["containment_pct"] == 0
    middle = np.clip(x, 304, 1920 - 304)
    assert np.abs(path.centres[:, 0] - middle).max() < 0.11 * 608


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_padding_is_inside_the_window_wherever_that_has_room(seed: int) -> None:
    boxes = noisy_walk(900, seed)
    path = solve(boxes, spec=CropSpec(aspect=Fraction(9, 16), min_crop_ratio=1.0))
    padding = 0.12 * (boxes[:, 2] - boxes[:, 0])
    kept = (boxes[:, 0] - padding >= path.x - 1) & (boxes[:, 2] + padding <= path.x + path.width + 1)
    assert kept.mean() > 0.97


def test_the_wanted_padding_gives_way_without_a_jump_as_the_subject_grows() -> None:
    sides = np.linspace(10, 1000, 2_000)
    boxes = np.stack([500 - sides / 2, 0 * sides, 500 + sides / 2, sides], axis=1)
    low, high = wanted_bands(boxes, np.full((2_000, 2), 500.0), 0.12)
    freedom = (high - low)[:, 0] / 2
    assert np.abs(np.diff(freedom)).max() < 1
    kept = (500 - sides) / 2 - freedom  # on either side, in pixels
    small, fits = sides * 1.24 <= 250, sides <= 500
    assert kept[small] == pytest.approx(0.12 * sides[small])
    assert (kept[fits] >= -1e-9).all() and (kept[sides * 1.24 <= 500] > 0.08 * sides[sides * 1.24 <= 500]).all()


def test_a_box_that_grows_for_some_frames_forces_no_jump() -> None:
    boxes = noisy_walk(600)
    boxes[200:203, 0], boxes[200:203, 2] = 0.0, 1920.0
    path = solve(boxes)
    assert np.abs(np.diff(path.x)).max() < 40


def test_the_path_does_not_depend_on_the_frame_rate() -> None:
    t = np.arange(600) / 60
    boxes = boxes_at(960 + 500 * np.sin(t))
    fast, slow = solve(boxes, cfr(600, 60)), solve(boxes[::2], cfr(300, 30))
    assert np.abs(fast.x[::2] - slow.x).max() < 4


def test_variable_frame_rates_are_followed_in_real_time() -> None:
    rng = np.random.default_rng(5)
    pts = np.cumsum(rng.choice([100, 500, 1_000, 4_000, 60_000], 400)).astype(np.int64)
    t = (pts - pts[0]) / 30_000
    boxes = boxes_at(960 + 600 * np.sin(t / 3))
    path = solve(boxes, pts)
    assert_inside(path)
    found = figures(path, boxes, pts)
    assert found["containment_pct"] >= 99 and np.isfinite(found["jerk_max"])


def test_a_hostile_gap_in_time_costs_nothing() -> None:
    pts = np.concatenate([cfr(100), cfr(100) + 2**60])
    boxes = boxes_at(np.linspace(300, 1600, 200))
    assert_inside(solve(boxes, pts))


@pytest.mark.parametrize("smoothing", ["optimal", "ema"])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_videos_of_hardly_any_frames(count: int, smoothing: Literal["optimal", "ema"]) -> None:
    boxes = boxes_at(np.array([200.0, 1700.0, 300.0])[:count])
    path = solve(boxes, smoothing=smoothing)
    assert len(path.x) == count
    assert_inside(path)
    json.dumps(figures(path, boxes), allow_nan=False)


def test_the_same_input_gives_the_same_path() -> None:
    boxes = noisy_walk(400)
    assert (solve(boxes).x == solve(boxes).x).all()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_window_is_always_inside_the_picture(data: st.DataObject) -> None:
    side = st.integers(1, 700)
    frame_size = data.draw(st.tuples(side, side))
    count = data.draw(st.integers(1, 40))
    edge = st.floats(-300, 1000)
    corners = np.array(data.draw(st.lists(st.tuples(edge, edge, edge, edge), min_size=count, max_size=count)))
    boxes = np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)
    boxes[data.draw(st.lists(st.integers(0, count - 1), max_size=10))] = np.nan
    pts = np.cumsum(data.draw(st.lists(st.integers(1, 90_000), min_size=count, max_size=count))).astype(np.int64)
    aspect = data.draw(st.sampled_from([None, Fraction(9, 16), Fraction(1), Fraction(16, 9), Fraction(100)]))
    spec = CropSpec(aspect=aspect, keep_aspect=data.draw(st.booleans()))
    for smoothing in ("optimal", "ema"):
        path = solve_path(boxes, Timeline(pts, TIME_BASE, frame_size), spec, smoothing=smoothing)  # type: ignore[arg-type]
        assert_inside(path, frame_size)
        assert all(side % 2 == 0 for side in path.output_size)
        json.dumps(certificate(path, boxes, Timeline(pts, TIME_BASE, frame_size)), allow_nan=False)


# Shots.


def test_shots_are_solved_for_themselves() -> None:
    full_height = CropSpec(aspect=Fraction(9, 16), min_crop_ratio=1.0)
    first, second, other = noisy_walk(200, 1), noisy_walk(150, 2)[::-1], boxes_at(np.full(150, 300.0))
    shots = [(0, 200), (200, 350)]
    path = solve(np.concatenate([first, second]), spec=full_height, shots=shots)
    changed = solve(np.concatenate([first, other]), spec=full_height, shots=shots)
    alone = solve(second, spec=full_height)
    assert (changed.x[:200] == path.x[:200]).all()
    assert path.x[200:] == pytest.approx(alone.x, abs=1e-6)


def test_a_jump_at_a_cut_is_no_speed() -> None:
    boxes = np.concatenate([boxes_at(np.full(50, 400.0)), boxes_at(np.full(50, 1500.0))])
    found = figures(solve(boxes, shots=[(0, 50), (50, 100)]), boxes)
    assert found["speed_max"] == found["jerk_max"] == 0 and found["containment_pct"] == 100


def test_a_far_shot_is_not_enlarged_beyond_max_upscale() -> None:
    boxes = np.concatenate([boxes_at(np.full(30, 900.0), height=1000.0), boxes_at(np.full(30, 900.0), height=100.0)])
    spec = CropSpec(aspect=Fraction(9, 16), min_crop_ratio=0.1, max_upscale=1.5)
    path = solve(boxes, spec=spec, shots=[(0, 30), (30, 60)])
    assert path.output_size == (608, 1080)
    assert path.height[-1] == pytest.approx(1080 / 1.5)


@pytest.mark.parametrize("shots", [[(0, 10)], [(0, 10), (11, 50)], [(0, 60)], [(0, 50), (50, 50)], []])
def test_shots_that_do_not_cover_the_video_are_refused(shots: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="shots must cover"):
        solve(noisy_walk(50), shots=shots)


# Keyframes.


def test_keyframes_pin_the_window_and_the_rest_of_the_path_leads_there_smoothly() -> None:
    boxes = noisy_walk(600)
    pinned = [Keyframe(4.0, 700.0, 540.0), Keyframe(12.0, 1200.0, 540.0)]
    path = solve(boxes, spec=CropSpec(aspect=Fraction(9, 16), min_crop_ratio=1.0), keyframes=pinned)
    for keyframe in pinned:
        assert path.centres[round(keyframe.time_sec * 30), 0] == pytest.approx(keyframe.x, abs=1)
    found = figures(path, boxes)
    assert found["speed_max"] < 1 and found["acceleration_max"] < 3.5


def test_one_keyframe_without_a_subject_holds_the_window_still_there() -> None:
    path = solve(np.full((60, 4), np.nan), keyframes=[Keyframe(1.0, 500.0, 540.0)])
    assert set(path.centres[:, 0]) == {500.0}


def test_a_keyframes_width_is_the_windows_in_its_shot() -> None:
    boxes = boxes_at(np.full(90, 960.0))
    path = solve(boxes, keyframes=[Keyframe(1.0, 960.0, 540.0, width=400.0)])
    assert set(path.width) == {400.0} and path.width[0] / path.height[0] == pytest.approx(9 / 16, rel=0.01)


@pytest.mark.parametrize(
    ("keyframes", "reason"),
    [
        ([Keyframe(99.0, 960, 540)], "outside the video"),
        ([Keyframe(1.0, 100, 540)], "stays in the picture with x from"),
        ([Keyframe(1.0, 960, 540, width=2000)], "width of 2000"),
        ([Keyframe(1.0, 960, 540, width=300)], "width of 300 is not from 304"),
        ([Keyframe(1.0, 960, 540, width=400), Keyframe(2.0, 960, 540, width=410)], "several widths"),
        ([Keyframe(1.0, 960, 540), Keyframe(1.001, 900, 540)], "same frame"),
        ([Keyframe(1.0, 400, 540), Keyframe(1.2, 1500, 540)], "too far away"),
    ],
)
def test_keyframes_that_cannot_be_met_say_why(keyframes: list[Keyframe], reason: str) -> None:
    with pytest.raises(InvalidParams, match=reason):
        solve(boxes_at(np.full(90, 960.0), height=1000.0), keyframes=keyframes)


# Sizes.


def test_the_window_shrinks_to_the_padded_subject_but_not_below_its_floor() -> None:
    need = solve(boxes_at(np.full(9, 900.0), width=100, height=600))
    assert set(need.height) == {744.0}  # 600 px and 12 % on both sides
    tiny = boxes_at(np.full(9, 900.0), width=10, height=10)
    assert solve(tiny).height[0] == 540  # twice enlarged
    wide = CropSpec(aspect=Fraction(9, 16), min_crop_ratio=0.35, max_upscale=4.0)
    assert solve(tiny, spec=wide).height[0] == pytest.approx(378)  # 0.35 of 1080


@pytest.mark.parametrize(("height", "window"), [(770, 954.8), (800, 1080.0), (860, 1080.0)])
def test_a_window_that_is_nearly_the_largest_is_the_largest(height: float, window: float) -> None:
    path = solve(boxes_at(np.full(9, 900.0), width=100, height=height))
    assert path.height.tolist() == pytest.approx([window] * 9)


@pytest.mark.parametrize("height", [10, 300, 600, 1080])
@pytest.mark.parametrize(
    ("frame_size", "aspect", "output"),
    [
        ((1920, 1080), Fraction(9, 16), (608, 1080)),
        ((1920, 1080), None, (1920, 1080)),
        ((3840, 2160), Fraction(9, 16), (1216, 2160)),
        ((1080, 1920), Fraction(1), (1080, 1080)),
    ],
)
def test_the_film_is_as_large_as_the_source_allows_however_small_its_people(
    frame_size: tuple[int, int], aspect: Fraction | None, output: tuple[int, int], height: int
) -> None:
    boxes = boxes_at(np.full(9, 900.0), width=height / 3, height=height)
    path = solve_path(boxes, Timeline(cfr(9), TIME_BASE, frame_size), CropSpec(aspect=aspect))
    assert path.output_size == output
    assert (output[0] / path.width <= 2.001).all() and (output[1] / path.height <= 2.001).all()
    assert_inside(path, frame_size)


def test_without_keep_aspect_the_window_takes_the_subjects_shape() -> None:
    path = solve(boxes_at(np.full(9, 900.0), width=800, height=400), spec=CropSpec(keep_aspect=False))
    assert path.output_size == (1920, 960)
    assert (path.width[0], path.height[0]) == pytest.approx((992, 496))


def test_a_named_output_keeps_the_window_large_enough_for_it() -> None:
    spec = CropSpec(aspect=Fraction(9, 16), output_size=(None, 1920), max_upscale=2.0)
    path = solve(boxes_at(np.full(9, 900.0), width=50, height=50), spec=spec)
    assert path.output_size == (1080, 1920)
    assert path.height[0] == pytest.approx(960) and path.width[0] / path.height[0] == pytest.approx(9 / 16)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, (608, 1080)),
        ((None, None), (608, 1080)),
        ((304, None), (304, 540)),
        ((None, 541), (304, 540)),
        ((301, 541), (300, 540)),
        ((1215, 2160), (1216, 2160)),
    ],
)
def test_output_sizes_are_even_and_follow_the_window(
    named: tuple[int | None, int | None] | None, expected: tuple[int, int]
) -> None:
    assert output_size(CropSpec(output_size=named), largest_window(SIZE, 9 / 16)) == expected


def test_an_output_larger_than_the_source_allows_is_refused_with_the_limit() -> None:
    with pytest.raises(InvalidParams, match="up to 1215x2160"):
        output_size(CropSpec(output_size=(1400, None)), largest_window(SIZE, 9 / 16))


@pytest.mark.parametrize(
    "fields",
    [
        {"aspect": Fraction(0)},
        {"aspect": Fraction(-1, 2)},
        {"padding_ratio": -0.1},
        {"padding_ratio": float("nan")},
        {"min_crop_ratio": 0.0},
        {"max_upscale": 0.5},
        {"output_size": (0, None)},
        {"output_size": (None, 100_000)},
        {"aspect": Fraction(9, 16), "output_size": (1000, 1000)},
    ],
)
def test_specs_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        CropSpec(**fields)


@pytest.mark.parametrize("more", [{"smoothing": "magic"}, {"smooth_alpha": 1.0}, {"smooth_alpha": float("nan")}])
def test_smoothing_out_of_range_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        solve(noisy_walk(5), **more)


# The certificate and the file.


def test_the_best_static_window_holds_where_the_subject_mostly_is() -> None:
    boxes = boxes_at(np.concatenate([np.full(80, 400.0), np.full(20, 1500.0)]))
    static = figures(solve(boxes), boxes)["static"]
    assert static["containment_pct"] == 80 and static["speed_max"] == 0


def test_the_certificate_names_the_stretches_that_no_window_holds() -> None:
    boxes, pts = boxes_at(np.full(90, 960.0)), cfr(90)
    boxes[30:60, [0, 2]] = [200.0, 1700.0]
    found = figures(solve(boxes), boxes)
    assert found["larger_than_window_pts"] == [[int(pts[30]), int(pts[59])]]


def test_speeds_are_frame_widths_per_real_second() -> None:
    x = np.linspace(0, 960, 61)  # half a width in two seconds
    still = np.zeros(61)
    path = CameraPath(x, still, still + 400, still + 400, ((0, 61),), (400, 400))
    found = figures(path, boxes_at(x + 200))
    assert found["speed_max"] == pytest.approx(0.25, abs=1e-5)
    assert found["acceleration_max"] == pytest.approx(0, abs=1e-5)
    assert found["still_frames_pct"] == 0


def test_the_file_has_one_row_of_named_columns_for_each_frame() -> None:
    boxes, pts = noisy_walk(40), cfr(40)
    path = solve(boxes)
    document = json.loads(to_json(path, figures(path, boxes), Timeline(pts, TIME_BASE, SIZE), boxes))
    assert document["schema"] == "framefleet.camera_path/1"
    assert document["columns"] == ["pts", "x", "y", "width", "height"]
    assert [row[0] for row in document["frames"]] == pts.tolist()
    assert document["frames"][7][1:] == pytest.approx([path.x[7], path.y[7], path.width[7], path.height[7]], abs=1e-4)
    assert document["output_size"] == list(path.output_size) and document["frame_size"] == [1920, 1080]
    assert set(document["certificate"]) > {"containment_pct", "static", "ema", "jerk_p99"}

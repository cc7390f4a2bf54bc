"""Where windows are between keyframes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from backend.errors import InvalidParams
from backend.kinds.keyed_framing import FRAMING
from backend.kinds.shape_params import ShapeParams
from backend.kinds.window_keys import WindowKey, windows_on
from backend.vision.keyed_windows import between, trimmed
from backend.vision.timeline import Timeline

FRAME_SIZE = (1920, 1080)


def timeline(frames: int = 101, step: int = 40) -> Timeline:
    return Timeline(np.arange(frames, dtype=np.int64) * step + 5000, Fraction(1, 1000), FRAME_SIZE)


def key(frame: int | None, x: float, y: float = 0.0, size: tuple[float, float] = (600, 1000), **when: Any) -> WindowKey:
    return WindowKey(frame=frame, x=x, y=y, width=size[0], height=size[1], **when)


def test_linear_is_held_outside_and_straight_between() -> None:
    windows, _ = windows_on("keyframes", [key(20, 100), key(60, 500, 80)], timeline(), "linear")
    assert windows[:21, 0].tolist() == [100] * 21 and windows[60:, 0].tolist() == [500] * 41
    assert windows[20:61, 0] == pytest.approx(np.linspace(100, 500, 41))
    assert windows[40].tolist() == [300, 40, 600, 1000]


def test_keys_are_found_by_real_times_where_frames_are_uneven() -> None:
    """The second half of the frames comes at a quarter of the rate: the middle in time is not the middle frame."""
    pts = np.concatenate([np.arange(50) * 40, 2000 + np.arange(51) * 160])
    uneven = Timeline(pts.astype(np.int64), Fraction(1, 1000), FRAME_SIZE)
    windows, _ = windows_on("keyframes", [key(0, 0), key(100, 1000)], uneven, "linear")
    assert windows[:, 0] == pytest.approx(1000 * pts / pts[-1])
    by_time, _ = windows_on("keyframes", [key(0, 0), key(None, 1000, time_sec=10.0)], uneven, "linear")
    assert by_time == pytest.approx(windows)


def test_smooth_goes_through_its_keys_without_a_kink() -> None:
    keys = [key(0, 0), key(20, 300), key(80, 900), key(100, 200)]
    windows, _ = windows_on("keyframes", keys, timeline(), "smooth")
    assert [windows[frame, 0] for frame in (0, 20, 80, 100)] == pytest.approx([0, 300, 900, 200])
    speed = np.diff(windows[:, 0])
    straight, _ = windows_on("keyframes", keys, timeline(), "linear")
    assert np.abs(np.diff(speed)).max() < 0.3 * np.abs(np.diff(np.diff(straight[:, 0]))).max()
    assert abs(speed[0]) < 2 and abs(speed[-1]) < 4  # it sets off and arrives at rest


def test_a_spline_of_points_on_a_line_is_that_line() -> None:
    times = np.array([0.0, 1.0, 4.0, 5.0, 9.0])
    at = np.linspace(1, 5, 41)
    assert between(times, times[:, None] * 3, at, "smooth")[:, 0] == pytest.approx(at * 3)


def test_smooth_never_leaves_the_picture_or_the_sizes_of_its_keys() -> None:
    keys = [key(0, 1000), key(30, 1320), key(60, 1320), key(100, 0, 0, (1920, 1080))]
    windows, _ = windows_on("keyframes", keys, timeline(), "smooth")
    assert (windows[:, :2] >= 0).all() and (windows[:, :2] + windows[:, 2:] <= np.array(FRAME_SIZE) + 1e-9).all()
    assert windows[:, 2].min() >= 600 and windows[:, 2].max() <= 1920
    raw = between(np.array([0, 1.2, 2.4, 4.0]), np.array([k.values for k in keys]), timeline().times_sec, "smooth")
    assert (raw[:, 0] + raw[:, 2]).max() > 1921  # the curve itself would have


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (
            [key(0, 0), key(10, 1500)],
            r"keyframes\.1: the window of 600x1000 at 1500,0 leaves.* x must be from 0 to 1320",
        ),
        ([key(0, 0, 200)], r"keyframes\.0: .* y must be from 0 to 80"),
        ([key(0, 0, 0, (2000, 1000))], r"keyframes\.0: .* smaller than 1920"),
        ([key(5, 0), key(9, 1), key(5, 2)], r"keyframes\.2: is at frame 5, as keyframes\.0 is"),
        ([key(25, 0), key(None, 1, time_sec=1.0)], r"keyframes\.1: is at 1 s, as keyframes\.0 is"),
    ],
)
def test_what_cannot_be_is_refused_by_the_keys_name(keys: list[WindowKey], complaint: str) -> None:
    with pytest.raises(InvalidParams, match=complaint):
        windows_on("keyframes", keys, timeline(), "linear")


def test_a_key_behind_the_end_still_gives_the_direction() -> None:
    """Other programs count other frames."""
    windows, warnings = windows_on("keyframes", [key(0, 0), key(200, 1000)], timeline(), "linear")
    assert windows[100, 0] == pytest.approx(500)
    assert warnings == ["keyframes.1 is at frame 200; the film ends with frame 100 at 4.000 s."]
    assert windows_on("keyframes", [key(0, 0), key(101, 1000)], timeline(), "linear")[1] == []


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "keyframes is needed: "),
        ({"keyframes": []}, "keyframes: .*at least 1"),
        ({"keyframes": [{"x": 0, "y": 0, "width": 9, "height": 9}]}, "keyframes.0: name either `frame` or `time_sec`"),
        ({"keyframes": [{"frame": 0, "x": 0, "y": 0, "width": 0, "height": 9}]}, "keyframes.0.width"),
        ({"keyframes": [{"frame": -1, "x": 0, "y": 0, "width": 9, "height": 9}]}, "keyframes.0.frame"),
        ({"keyframes": [{"frame": 0, "x": float("nan"), "y": 0, "width": 9, "height": 9}]}, "keyframes.0.x"),
        ({"crop_keyframes": [{"frame": 0, "x": 0, "y": 0, "width": 9}]}, "crop_keyframes.0.height: Field required"),
        ({"keyframes": [{"frame": 0, "x": 0, "y": 0, "width": 9, "height": 9}], "output_width": 7}, "output_width"),
    ],
)
def test_bad_parameters_are_refused_by_name(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidParams, match=complaint):
        FRAMING.parse_params(given)


def test_the_outputs_size_follows_from_the_first_windows_shape() -> None:
    assert ShapeParams().output_size((607.5, 1080)) == (608, 1080)
    assert ShapeParams(output_width=1080).output_size((9, 16)) == (1080, 1920)
    assert ShapeParams(output_height=720).output_size((16, 9)) == (1280, 720)
    assert ShapeParams(output_width=1080, output_height=1920).output_size((3, 2)) == (1080, 1920)
    with pytest.raises(InvalidParams, match="output_width: would be 4"):
        ShapeParams().output_size((4, 400))


def test_a_window_of_another_shape_is_trimmed_never_stretched() -> None:
    windows = np.array([[100.0, 50.0, 600.0, 600.0], [0.0, 0.0, 90.0, 320.0]])
    assert trimmed(windows, 9 / 16).tolist() == [[231.25, 50, 337.5, 600], [0, 80, 90, 160]]


def test_overlay_calls_its_windows_by_another_name() -> None:
    keys = [{"frame": 0, "x": 0, "y": 0, "width": 9, "height": 9}]
    assert FRAMING.parse_params({"crop_keyframes": keys}) == FRAMING.parse_params({"keyframes": keys})

"""A picture of a camera path: what the subject and the window did over time.

Drawn with matplotlib's object interface: no global state, no display.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from backend.vision.holding_words import headline

Floats = NDArray[np.float64]

_SIZE_IN, _DPI = (12.0, 9.0), 100
_SUBJECT, _WINDOW, _CUT = "#d1495b", "#0f766e", "#9ca3af"


def plot_path(camera_path: Mapping[str, Any]) -> bytes:
    """A PNG over time, from the content of camera_path.json: the subject's box and the window along both axes, the
    window's speed, and what it holds."""
    subject_boxes = np.array([box or [np.nan] * 4 for box in camera_path["subject"]], np.float64).reshape(-1, 4)
    rows = np.array([row[1:] for row in camera_path["frames"]], np.float64).reshape(-1, 4)
    pts = [row[0] for row in camera_path["frames"]]
    time_base = Fraction(*camera_path["time_base"])
    times_sec = np.array([float((each - pts[0]) * time_base) for each in pts])
    figure = Figure(figsize=_SIZE_IN, dpi=_DPI, layout="constrained")
    across, down, speed = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 2))
    width, height = camera_path["frame_size"]
    _draw_axis(across, times_sec, subject_boxes[:, [0, 2]], rows[:, 0], rows[:, 2], width, "across, px")
    _draw_axis(down, times_sec, subject_boxes[:, [1, 3]], rows[:, 1], rows[:, 3], height, "down, px")
    down.invert_yaxis()
    _draw_speed(speed, times_sec, rows, camera_path["shots"], width)
    for axes in (across, down, speed):
        for start, _ in camera_path["shots"][1:]:
            axes.axvline(times_sec[start], color=_CUT, linestyle=":", linewidth=1)
    figure.suptitle(_headline(camera_path["certificate"]))
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _draw_axis(
    axes: Axes, times_sec: Floats, box: Floats, start: Floats, extent: Floats, limit: int, label: str
) -> None:
    axes.fill_between(times_sec, start, start + extent, color=_WINDOW, alpha=0.15, label="window", linewidth=0)
    axes.plot(times_sec, start, color=_WINDOW, linewidth=1.2)
    axes.plot(times_sec, start + extent, color=_WINDOW, linewidth=1.2)
    axes.fill_between(times_sec, box[:, 0], box[:, 1], color=_SUBJECT, alpha=0.25, label="subject", linewidth=0)
    axes.set(ylim=(0, limit), ylabel=label)
    axes.legend(loc="upper right")


def _draw_speed(axes: Axes, times_sec: Floats, rows: Floats, shots: Sequence[Sequence[int]], width: int) -> None:
    centres = rows[:, :2] + rows[:, 2:] / 2
    for start, stop in shots:  # a jump at a cut is no speed
        if stop - start > 1:
            steps = np.hypot(*np.diff(centres[start:stop], axis=0).T) / width
            axes.plot(times_sec[start + 1 : stop], steps / np.diff(times_sec[start:stop]), color=_WINDOW, linewidth=1.2)
    axes.set(ylabel="camera speed, widths/s", xlabel="seconds")
    axes.set_ylim(bottom=0)


def _headline(certificate: Mapping[str, Any]) -> str:
    if "holding" not in certificate:  # written before all frames were counted
        held = certificate.get("containment_pct")
        return "nobody to hold" if held is None else f"held part of the subject in the window in {held:.1f} %"
    return headline(certificate)

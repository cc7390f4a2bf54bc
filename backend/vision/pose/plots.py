"""Pictures of what was measured of a person over time, for the report."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backend.vision.pose.analysis import Analysis
from backend.vision.pose.speeds import MAX_GAP_SEC

_SIZE_IN, _DPI = (10.0, 9.0), 90
_LEFT, _RIGHT, _MIDDLE, _MOVES = "#2563eb", "#dc2626", "#0f766e", "#fde68a"
_MAX_POINTS = 3000


def plot_motion(of: Analysis) -> bytes:
    """A PNG: the angles of knees, hips and elbows, left and right, the lean of the trunk, and how fast the body moves,
    with the times in which it does."""
    figure = Figure(figsize=_SIZE_IN, dpi=_DPI, layout="constrained")
    knees, hips, elbows, trunk, speed = figure.subplots(5, 1, sharex=True)
    for axes, joint in ((knees, "knee"), (hips, "hip"), (elbows, "elbow")):
        _draw(axes, of, of.steady[f"left_{joint}"], _LEFT, "left")
        _draw(axes, of, of.steady[f"right_{joint}"], _RIGHT, "right")
        axes.set(ylim=(0, 185), ylabel=f"{joint}s, degrees")
    knees.legend(loc="lower right", ncols=2)
    _draw(trunk, of, of.steady["trunk_lean"], _MIDDLE, None)
    trunk.set(ylabel="trunk lean, degrees")
    _draw(speed, of, of.body_speed, _MIDDLE, None)
    for phase in of.phases:
        if phase.state == "moving":
            speed.axvspan(phase.start_sec, phase.end_sec, color=_MOVES, alpha=0.5, linewidth=0)
    speed.set(ylabel="body, heights/s", xlabel="seconds")
    speed.set_ylim(bottom=0)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _draw(axes: Axes, of: Analysis, values: np.ndarray, colour: str, label: str | None) -> None:
    """With a gap wherever nothing is known."""
    times_sec = of.person.times_sec
    breaks = np.flatnonzero(np.diff(times_sec) > MAX_GAP_SEC) + 1
    step = max(1, len(times_sec) // _MAX_POINTS)
    shown = np.insert(values, breaks, np.nan)[::step]
    axes.plot(np.insert(times_sec, breaks, times_sec[breaks])[::step], shown, color=colour, label=label, linewidth=1.2)

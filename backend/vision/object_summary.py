"""What each tracked object did: when it was seen, how far and how fast it went, how long it was in which zone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.vision.stitch import Track, interpolate
from backend.vision.timeline import Timeline

OBJECTS_SCHEMA = "framefleet.objects/1"
# A way is measured in steps of at least this: from one sample to the next the detector's noise is faster than anybody.
_STEP_SEC = 0.5
_DECIMALS = 4

Points = NDArray[np.float64]  # (n, 2), pixels of the upright source


@dataclass(frozen=True, eq=False)
class Zone:
    """A polygon, its corners in order; it may cross itself: what is inside an odd number of times is inside."""

    name: str
    corners: Points

    def holds(self, points: Points) -> NDArray[np.bool_]:
        """Which of the points are inside: a ray to the right crosses an odd number of sides (Shimrat 1962)."""
        x, y = points.T
        is_inside = np.zeros(len(points), bool)
        # Side by side: all of them at once would need memory for every point times every corner.
        for (x1, y1), (x2, y2) in zip(self.corners, np.roll(self.corners, -1, axis=0), strict=True):
            if y1 != y2:  # else no ray crosses it
                is_inside ^= ((y1 <= y) != (y2 <= y)) & (x < x1 + (y - y1) / (y2 - y1) * (x2 - x1))
        return is_inside


def objects_json(tracks: Sequence[Track], timeline: Timeline, zones: Sequence[Zone]) -> bytes:
    """One entry for each track, by id. Lengths in pixels and in widths of the picture, times in seconds from the first
    frame and in PTS."""
    document = {
        "schema": OBJECTS_SCHEMA,
        "time_base": [timeline.time_base.numerator, timeline.time_base.denominator],
        "frame_size": list(timeline.frame_size),
        "zones": [{"name": zone.name, "polygon": zone.corners.tolist()} for zone in zones],
        "objects": [_summary(track, timeline, zones) for track in tracks],
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def _summary(track: Track, timeline: Timeline, zones: Sequence[Zone]) -> dict[str, Any]:
    times_sec = (track.pts - timeline.frame_pts[0]).astype(np.float64) * float(timeline.time_base)
    centres = (track.boxes[:, :2] + track.boxes[:, 2:]) / 2.0
    away = np.flatnonzero(np.diff(track.pts) > timeline.longest_gap) + 1
    ways = [_steps(*part) for part in zip(np.split(centres, away), np.split(times_sec, away), strict=True)]
    length_px = sum(float(steps_px.sum()) for steps_px, _ in ways)
    seen_sec = sum(len(steps_px) * step_sec for steps_px, step_sec in ways)
    mean = length_px / seen_sec if seen_sec else 0.0
    top = max((float(steps_px.max()) / step_sec for steps_px, step_sec in ways if step_sec), default=0.0)
    width_px = timeline.frame_size[0]
    return {
        "id": track.id,
        "class": track.class_name,
        "first_seen": {"sec": round(float(times_sec[0]), 6), "pts": int(track.pts[0])},
        "last_seen": {"sec": round(float(times_sec[-1]), 6), "pts": int(track.pts[-1])},
        "samples": len(track.pts),
        "mean_confidence": round(float(track.confidence.mean()), _DECIMALS),
        "path_px": round(length_px, 2),
        "path_widths": round(length_px / width_px, _DECIMALS),
        "mean_speed_px_per_sec": round(mean, 2),
        "mean_speed_widths_per_sec": round(mean / width_px, _DECIMALS),
        "top_speed_px_per_sec": round(top, 2),
        "top_speed_widths_per_sec": round(top / width_px, _DECIMALS),
        "dwell_sec": _dwell_sec(track, timeline, zones),
    }


def _steps(centres: Points, times_sec: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The way in equal steps of time: the length of each in px (at least one), and how long each takes in s."""
    seen_sec = float(times_sec[-1] - times_sec[0])
    count = max(1, int(seen_sec / _STEP_SEC + 1e-9))
    knots_sec = np.linspace(times_sec[0], times_sec[-1], count + 1)
    x, y = (np.interp(knots_sec, times_sec, centres[:, axis]) for axis in (0, 1))
    return np.hypot(np.diff(x), np.diff(y)), seen_sec / count


def _dwell_sec(track: Track, timeline: Timeline, zones: Sequence[Zone]) -> dict[str, float]:
    """How long the middle of the box's lower edge, where somebody stands, was in each zone: each frame counts until the
    next."""
    if not zones:
        return {}
    dense = interpolate(track, timeline.frame_pts, timeline.longest_gap)
    frames = np.searchsorted(timeline.frame_pts, dense.pts)
    feet = np.column_stack([(dense.boxes[:, 0] + dense.boxes[:, 2]) / 2.0, dense.boxes[:, 3]])
    shown_sec = _shown_sec(timeline)[frames]
    return {zone.name: round(float(shown_sec[zone.holds(feet)].sum()), 6) for zone in zones}


def _shown_sec(timeline: Timeline) -> NDArray[np.float64]:
    """For how long each frame is shown; the last one as long as the one before."""
    steps_sec = np.diff(timeline.frame_pts).astype(np.float64) * float(timeline.time_base)
    last = steps_sec[-1:] if len(steps_sec) else np.zeros(1)
    return np.concatenate([steps_sec, last])

"""The windows of a picture that is split: each panel has a path of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from backend.kinds.crop_params import CropParams
from backend.vision.camera_path import CameraPath, solve_path
from backend.vision.holding import HELD_TOLERANCE_PX
from backend.vision.layouts import Laid
from backend.vision.path_memory import PathMemory
from backend.vision.timeline import Timeline
from backend.vision.window import MAX_PANELS, Floats, bands, panel_areas


def with_panels(
    path: CameraPath,
    timeline: Timeline,
    params: CropParams,
    parts: Sequence[Laid],
    memory: PathMemory | None,
    *,
    near: bool,
) -> CameraPath:
    """The path with a window for each panel of the parts that are split, solved for its own people."""
    split = [part for part in parts if part.layout == "split"]
    if not split:
        return path
    panels = np.full((len(timeline), MAX_PANELS - 1, 4), np.nan)
    window = np.stack([path.x, path.y, path.width, path.height], axis=1)
    for part in split:
        here = slice(part.start, part.stop)
        _, _, width, height = panel_areas(path.output_size, len(part.panel_boxes))[0]
        spec = replace(
            params.spec(),
            aspect=Fraction(width, height),
            keep_aspect=True,
            output_size=(width, height),
            fill="crop",
        )
        frames = replace(timeline, frame_pts=timeline.frame_pts[here])
        for number, boxes in enumerate(part.panel_boxes):
            own = solve_path(boxes, frames, spec, params.smoothing, params.smooth_alpha, memory=memory, near=near)
            rows = np.stack([own.x, own.y, own.width, own.height], axis=1)
            if number:
                panels[here, number - 1] = rows
            else:
                window[here] = rows
    x, y, width, height = window.T
    return replace(path, x=x, y=y, width=width, height=height, panels=panels)


def panels_hold(path: CameraPath, part: Laid) -> Floats:
    """On which of the part's frames (n,) every panel holds its people, as far as they are there."""
    assert path.panels is not None
    here = slice(part.start, part.stop)
    windows = [np.stack([path.x, path.y, path.width, path.height], axis=1)[here]]
    windows += [path.panels[here, number] for number in range(len(part.panel_boxes) - 1)]
    held = np.ones(part.stop - part.start, np.bool_)
    for window, boxes in zip(windows, part.panel_boxes, strict=True):
        low, high = bands(boxes, window[:, 2:])
        centre = window[:, :2] + window[:, 2:] / 2
        inside = (centre >= low - HELD_TOLERANCE_PX) & (centre <= high + HELD_TOLERANCE_PX)
        held &= inside.all(axis=1) | ~np.isfinite(boxes[:, 0])
    return held.astype(np.float64)

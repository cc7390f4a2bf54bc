"""camera_path.json: the window on every frame, what it follows, and the certificate."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.vision.camera_path import CameraPath
from backend.vision.timeline import Timeline
from backend.vision.window import Floats

CAMERA_PATH_SCHEMA = "framefleet.camera_path/1"
BOX_DECIMALS, _WINDOW_DECIMALS = 2, 4
_ROWS_AT_ONCE = 10_000


def to_json(
    path: CameraPath,
    certificate: dict[str, Any],
    timeline: Timeline,
    subject_boxes: Floats,
) -> bytes:
    """One row of `columns` for each frame, x and y the window's top-left corner in source pixels.

    `subject` has x1, y1, x2, y2 of what the window follows on each frame, null where nobody is known.
    """
    window = np.stack([path.x, path.y, path.width, path.height], axis=1)
    head = {
        "schema": CAMERA_PATH_SCHEMA,
        "time_base": [timeline.time_base.numerator, timeline.time_base.denominator],
        "frame_size": list(timeline.frame_size),
        "output_size": list(path.output_size),
        "shots": [list(shot) for shot in path.shots],
        "columns": ["pts", "x", "y", "width", "height"],
    }
    parts = [_json(head)[:-1], b',"frames":[']
    parts += _rows(len(timeline), lambda part: _window_rows(timeline.frame_pts[part], window[part]))
    parts += [b'],"subject":[', *_rows(len(timeline), lambda part: _box_rows(subject_boxes[part]))]
    parts += [b'],"panels":[', _json(panel_rows(path))[1:-1]]
    return b"".join([*parts, b'],"certificate":', _json(certificate), b"}"])


def panel_rows(path: CameraPath, part: slice = slice(None)) -> list[dict[str, Any]]:
    """The stretches of frames [start, stop) of the part whose picture is split: for each frame its further panels as x,
    y, width and height."""
    if path.panels is None:
        return []
    first, panels = part.start or 0, np.round(path.panels[part], _WINDOW_DECIMALS)
    counts = path.panel_counts[part] - 1
    edges = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), len(counts)]
    return [
        {"start": first + start, "stop": first + stop, "windows": panels[start:stop, : counts[start]].tolist()}
        for start, stop in pairwise(edges)
        if counts[start]
    ]


def _rows(count: int, rows_of: Callable[[slice], list[Any]]) -> list[bytes]:
    """Some at a time: numbers as Python objects take ten times the room of their text."""
    parts = (_json(rows_of(slice(start, start + _ROWS_AT_ONCE)))[1:-1] for start in range(0, count, _ROWS_AT_ONCE))
    return [piece for number, part in enumerate(parts) for piece in ([b",", part] if number else [part])]


def _window_rows(pts: NDArray[np.int64], window: Floats) -> list[list[float]]:
    rounded = np.round(window, _WINDOW_DECIMALS).tolist()
    return [[when, *row] for when, row in zip(pts.tolist(), rounded, strict=True)]


def _box_rows(boxes: Floats) -> list[list[float] | None]:
    rounded, is_known = np.round(boxes, BOX_DECIMALS).tolist(), np.isfinite(boxes[:, 0])
    return [box if known else None for box, known in zip(rounded, is_known, strict=True)]


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")

"""final_results.json of a pose job (`framefleet.pose/1`; docs/kinds/pose.md lists its fields)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from backend.vision.artifacts import rounded_boxes
from backend.vision.pose.analysis import Analysis
from backend.vision.pose.artifacts import rounded_rows
from backend.vision.pose.cadence import Cadence
from backend.vision.pose.findings import Finding
from backend.vision.pose.person import MIN_VISIBILITY, Person
from backend.vision.pose.skeleton import BONES, LANDMARKS

POSE_SCHEMA = "framefleet.pose/1"
_TIME_DECIMALS, _DECIMALS = 4, 2


def write_results(
    path: Path,
    head: Mapping[str, Any],
    sampled: tuple[NDArray[np.int64], NDArray[np.float64]],
    analyses: Sequence[Analysis],
    findings: Sequence[Finding],
) -> None:
    """`head`: what is known of job and video; `sampled`: PTS and seconds of the frames that were looked at. Written
    piece by piece: numbers as Python objects take ten times the room of their text."""
    whole = {
        "schema": POSE_SCHEMA,
        **head,
        "landmarks": LANDMARKS,
        "bones": BONES,
        "min_visibility": MIN_VISIBILITY,
    }
    with path.open("w", encoding="ascii") as file:
        file.write(_json(whole)[:-1])
        _write_list(file, "timeline", _timeline(*sampled, [each.person for each in analyses]))
        _write_list(file, "people", (_person(each) for each in analyses))
        _write_list(file, "findings", (_rounded(asdict(each)) for each in findings))
        file.write("}")


def _write_list(file: TextIO, name: str, items: Iterator[Any]) -> None:
    file.write(f',"{name}":[')
    for number, item in enumerate(items):
        file.write(("," if number else "") + _json(item))
    file.write("]")


def _json(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def _timeline(
    pts: NDArray[np.int64], times_sec: NDArray[np.float64], people: Sequence[Person]
) -> Iterator[dict[str, Any]]:
    """An entry for each sampled frame, empty ones too."""
    rows: dict[int, list[tuple[Person, int]]] = {when: [] for when in pts.tolist()}
    for person in people:
        for number, when in enumerate(person.pts.tolist()):
            rows[when].append((person, number))
    for when, time_sec in zip(pts.tolist(), times_sec.tolist(), strict=True):
        seen = [_on_frame(person, number) for person, number in rows[when]]
        yield {"pts": when, "time_sec": round(time_sec, _TIME_DECIMALS), "people": seen}


def _on_frame(person: Person, number: int) -> dict[str, Any]:
    one = slice(number, number + 1)
    box = rounded_boxes(person.boxes[one], person.confidence[one])
    [row] = rounded_rows(person.landmarks[one])
    return {
        "id": person.id,
        "box": box["boxes"][0],
        "confidence": box["confidence"][0],
        "landmarks": [row[at : at + 3] for at in range(0, len(row), 3)],
    }


def _person(of: Analysis) -> dict[str, Any]:
    person = of.person
    return {
        "id": person.id,
        "first_sec": round(float(person.times_sec[0]), _TIME_DECIMALS),
        "last_sec": round(float(person.times_sec[-1]), _TIME_DECIMALS),
        "samples": len(person),
        "height_px": round(person.height_px, _DECIMALS),
        "pts": person.pts.tolist(),
        "angles_deg": {name: _series(values) for name, values in of.angles.items()},
        "angular_speeds_deg_per_sec": {name: _series(values) for name, values in of.speeds.items()},
        "body_speed_heights_per_sec": _series(of.body_speed),
        "ranges": {name: _range(of, name) for name in of.angles},
        "symmetry": [_rounded(asdict(each)) for each in of.symmetry],
        "phases": [
            _rounded({"state": p.state, "start_sec": p.start_sec, "end_sec": p.end_sec, "mean_speed": p.mean_speed})
            for p in of.phases
        ],
        "moving_sec": round(of.moving_sec, _TIME_DECIMALS),
        "still_sec": round(of.still_sec, _TIME_DECIMALS),
        "cadence": _cadence(of.cadence) if of.cadence else None,
        "cadence_windows": [_cadence(each) for each in of.cadences],
    }


def _range(of: Analysis, name: str) -> dict[str, float] | None:
    """Of the series without the detector's noise; None where it is known nowhere."""
    steady, speed = of.steady[name], of.speeds[name]
    if not np.isfinite(steady).any():
        return None
    numbers = {
        "min_deg": np.nanmin(steady),
        "max_deg": np.nanmax(steady),
        "mean_deg": np.nanmean(steady),
        "peak_speed_deg_per_sec": np.nanmax(np.abs(speed)),
    }
    return {key: round(float(value), _DECIMALS) for key, value in numbers.items()}


def _cadence(cadence: Cadence) -> dict[str, Any]:
    rounded: dict[str, Any] = _rounded(asdict(cadence))
    return rounded


def _series(values: NDArray[np.float64]) -> list[float | None]:
    """Null where nothing can be said."""
    rounded = np.round(values, _DECIMALS) + 0.0
    return [None if np.isnan(value) else value for value in rounded.tolist()]


def _rounded(document: Any) -> Any:
    """With its numbers to four digits behind the point."""
    if isinstance(document, float):
        return round(document, _TIME_DECIMALS)
    if isinstance(document, dict):
        return {name: _rounded(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [_rounded(value) for value in document]
    return document

"""A job's film as an editor opens it: its shots as clips of the source, with the windows that were cut (OpenTimelineIO,
https://opentimeline.io), and as an edit decision list (CMX 3600)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from urllib.parse import quote
from uuid import UUID

import numpy as np
import opentimelineio as otio
from numpy.typing import NDArray

from backend.storage.names import tame_name
from backend.vision.timeline import seconds_from_start
from backend.vision.window import Floats

SCHEMA = "framefleet.edit/1"
# Lists count in timecode, which only these rates have (SMPTE ST 12-1).
TIMECODE_RATES = tuple(Fraction(*rate) for rate in ((24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1)))
FALLBACK_RATE = Fraction(25)
# A window between two positions is at most this far from the straight line that joins them: nobody sees less.
MAX_OFF_PX = 0.25
MAX_MARKS = 1000


@dataclass(frozen=True, eq=False)
class Edit:
    """What there is to tell. `camera_path`: the content of camera_path.json; `rate`: the source's frames a second, None
    where nobody knows; `keyframes`: the user's, as the parameters have them; `place`: a URL of the source, None where
    only its name is anybody's business."""

    job_id: UUID
    name: str
    place: str | None
    rate: Fraction | None
    camera_path: Mapping[str, Any]
    keyframes: Sequence[Mapping[str, Any]]


def otio_json(edit: Edit) -> str:
    """An .otio file. A second of it is `rate` frames; time 0 of the source is its first frame.

    Each clip has the shot's windows in `metadata.framefleet.windows`: rows of seconds from the first frame, x, y,
    width, height in source pixels, between which the window moves in straight lines.
    """
    return str(otio.adapters.write_to_string(_timeline(edit, edit.rate or FALLBACK_RATE), "otio_json"))


def edl(edit: Edit) -> str:
    """A CMX 3600 list at the rate with a timecode that is next to the source's."""
    asked = edit.rate or FALLBACK_RATE
    rate = min(TIMECODE_RATES, key=lambda each: abs(each - asked))
    timeline = _timeline(edit, rate)
    for clip in timeline.find_clips():  # by the file's name as it is: lists are matched by it, and know no URLs
        clip.media_reference = otio.schema.ExternalReference(target_url=timeline.name)
    text = str(otio.adapters.write_to_string(timeline, "cmx_3600", rate=float(rate), style="premiere"))
    return text if text.endswith("\n") else f"{text}\n"


def _timeline(edit: Edit, rate: Fraction) -> otio.schema.Timeline:
    path = edit.camera_path
    time_base = Fraction(*path["time_base"])
    rows = np.array(path["frames"], np.float64).reshape(-1, 5)
    pts = np.array([row[0] for row in path["frames"]], np.int64)
    times_sec = seconds_from_start(pts, time_base)
    name = tame_name(edit.name)
    timeline = otio.schema.Timeline(name=name, global_start_time=otio.opentime.RationalTime(0, float(rate)))
    timeline.metadata["framefleet"] = {
        "schema": SCHEMA,
        "job_id": str(edit.job_id),
        "rate": f"{rate.numerator}/{rate.denominator}",
        "time_base": f"{time_base.numerator}/{time_base.denominator}",
        "first_frame_pts": int(pts[0]) if len(pts) else 0,
        "frame_size": list(path["frame_size"]),
        "output_size": list(path["output_size"]),
    }
    track = otio.schema.Track(name="V1", kind=otio.schema.TrackKind.Video)
    timeline.tracks.append(track)
    edges = _edges(times_sec, path["shots"], rate)
    source = otio.schema.ExternalReference(
        target_url=edit.place or quote(name), available_range=_range(0, edges[-1] if edges else 0, rate)
    )
    source.name = name
    marks = list(edit.keyframes)[:MAX_MARKS]
    for number, ((first, stop), start, end) in enumerate(zip(path["shots"], edges[:-1], edges[1:], strict=True)):
        if start == end:  # shorter than half a frame of this rate
            continue
        clip = otio.schema.Clip(f"{name} shot {number + 1}", source.clone(), _range(start, end, rate))
        windows = np.column_stack([times_sec[first:stop], rows[first:stop, 1:]])
        clip.effects.append(otio.schema.Effect(name="camera path", effect_name="crop"))
        clip.metadata["framefleet"] = {"shot": number, "windows": _rounded(_corners(windows))}
        clip.markers.extend(_marks(marks, start, end, rate))
        track.append(clip)
    return timeline


def _edges(times_sec: Floats, shots: Sequence[Sequence[int]], rate: Fraction) -> list[int]:
    """Where shots begin, and the last one ends, in whole frames of the rate; clips that follow one another touch."""
    if not shots:
        return []
    begins = [round(float(times_sec[first]) * rate) for first, _ in shots]
    return [*begins, max(begins[-1], round(float(times_sec[-1]) * rate)) + 1]


def _range(start: int, stop: int, rate: Fraction) -> otio.opentime.TimeRange:
    begin, length = (otio.opentime.RationalTime(value, float(rate)) for value in (start, stop - start))
    return otio.opentime.TimeRange(begin, length)


def _marks(keyframes: Sequence[Mapping[str, Any]], start: int, stop: int, rate: Fraction) -> list[otio.schema.Marker]:
    found = []
    for keyframe in keyframes:
        frame = round(float(keyframe["time_sec"]) * rate)
        if start <= frame < stop:
            marker = otio.schema.Marker(
                name=f"keyframe {float(keyframe['x']):g}, {float(keyframe['y']):g}",
                marked_range=_range(frame, frame + 1, rate),
                color=otio.schema.MarkerColor.GREEN,
            )
            marker.metadata["framefleet"] = dict(keyframe)
            found.append(marker)
    return found


def _rounded(rows: Floats) -> list[list[float]]:
    """Times to the microsecond, so that no window of one shot reaches into the next."""
    rounded: list[list[float]] = np.column_stack([rows[:, :1].round(6), rows[:, 1:].round(3)]).tolist()
    return rounded


def _corners(rows: Floats) -> Floats:
    """Of rows of time, x, y, width, height, those between which straight lines stay within MAX_OFF_PX of all others
    (Ramer, Douglas and Peucker)."""
    kept: NDArray[np.bool_] = np.zeros(len(rows), np.bool_)
    kept[[0, -1]] = True
    left = [(0, len(rows) - 1)]
    while left:
        first, last = left.pop()
        if last - first < 2:
            continue
        between = rows[first + 1 : last]
        share = (between[:, :1] - rows[first, 0]) / (rows[last, 0] - rows[first, 0])
        off = np.abs(between[:, 1:] - rows[first, 1:] - share * (rows[last, 1:] - rows[first, 1:])).max(axis=1)
        furthest = first + 1 + int(off.argmax())
        if off.max() > MAX_OFF_PX:
            kept[furthest] = True
            left += [(first, furthest), (furthest, last)]
    return np.asarray(rows[kept])

"""The skeleton film of a pose job: the whole picture, with the landmarks of everybody drawn on every frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.kinds.context import WholeContext
from backend.kinds.film_plan import Film, Layer, source_order
from backend.kinds.params import Params
from backend.kinds.posed_film import PosedFilm
from backend.kinds.sheet import no_sheet
from backend.media.paint.rows import LayerRows
from backend.vision.pose.person import Person
from backend.vision.pose.skeleton import BONES, LANDMARKS
from backend.vision.pose.speeds import MAX_GAP_SEC
from backend.vision.timeline import Timeline


def skeleton_film(
    context: WholeContext[Params], posed: PosedFilm, look: dict[str, Any], keyframe_pts: Sequence[int]
) -> Film:
    """`look`: crf, preset and hdr of backend.media.cropper.CropOrder."""
    facts, frame_pts = context.facts, posed.timeline.frame_pts
    # H.264 in 4:2:0 has even sides: an odd last row or column is cut off.
    width, height = (max(2, side // 2 * 2) for side in (facts.width, facts.height))
    ticks = (frame_pts - int(frame_pts[0])).astype(np.float64)
    window = np.tile(np.array([0, 0, width, height], np.float64), (len(ticks), 1))
    source = source_order(facts, context.settings, int(frame_pts[0]))
    size = {"output_width": width, "output_height": height}
    return Film(
        order=source | look | size | {"draw_timestamp": False, "fill": "crop"},
        path=np.column_stack([ticks, window]),
        frame_pts=frame_pts,
        shots=posed.shots,
        keyframe_pts=keyframe_pts,
        sheet=no_sheet(posed.timeline.frame_size),
        layers=[Layer({"type": "skeleton", "bones": [list(bone) for bone in BONES]}, _rows(posed))],
    )


def _rows(posed: PosedFilm) -> LayerRows:
    parts = [on_every_frame(person, posed.timeline) for person in posed.people]
    pts = np.concatenate([np.zeros(0, np.int64), *(own_pts for own_pts, _ in parts)])
    ids = np.repeat([person.id for person in posed.people], [len(own_pts) for own_pts, _ in parts]).astype(np.int64)
    places = np.concatenate([np.zeros((0, len(LANDMARKS), 2)), *(own for _, own in parts)]).astype(np.float32)
    order = np.argsort(pts, kind="stable")
    return LayerRows({"pts": pts[order], "id": ids[order], "places": places[order]})


def on_every_frame(person: Person, timeline: Timeline) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The frames on which the person is known, and its places (n, 17, 2) there, linear in time between the samples;
    NaN for a landmark that one of both lacks. Nothing over a gap of more than half a second."""
    first, last = person.pts[0], person.pts[-1]
    pts = timeline.frame_pts[(timeline.frame_pts >= first) & (timeline.frame_pts <= last)]
    before = np.searchsorted(person.pts, pts, side="right") - 1
    after = np.where(person.pts[before] == pts, before, np.minimum(before + 1, len(person) - 1))
    steps = person.pts[after] - person.pts[before]
    known = steps * float(timeline.time_base) <= MAX_GAP_SEC
    share = ((pts - person.pts[before]) / np.maximum(steps, 1))[:, None, None]
    places = person.places
    between = places[before] + (places[after] - places[before]) * share
    return pts[known], between[known]

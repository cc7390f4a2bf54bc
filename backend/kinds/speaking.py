"""Who speaks, for the camera: a turn is a shot of its own, so that the window cuts to whoever speaks and never pans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backend.kinds.crop_params import CropParams
from backend.kinds.stitched import Stitched
from backend.vision.sightings import Sightings
from backend.vision.speaker import Turn
from backend.vision.subject_modes import MAIN
from backend.vision.timeline import seconds_from_start


@dataclass(frozen=True)
class Followed:
    """The film's shots as the camera sees them, and whom it follows: `mode`, or what `shot_modes` has by index."""

    shots: list[tuple[int, int]]
    mode: str
    shot_modes: dict[int, str]


def followed(found: Stitched, params: CropParams) -> Followed:
    """What the parameters say; for whoever speaks, in turns, `main` where nobody is seen to. Shots that the parameters
    name are those turns."""
    if not params.with_speech:
        return Followed(found.shots, params.subject, dict(params.shots))
    if found.spoken is None:
        return Followed(found.shots, MAIN, dict(params.shots))
    turns = without_needless_cuts(found, found.spoken.turns)
    modes = {index: _mode(turn) for index, turn in enumerate(turns) if turn.track_id is not None}
    return Followed([(turn.start, turn.stop) for turn in turns], MAIN, modes | dict(params.shots))


def _mode(turn: Turn) -> str:
    return ",".join(f"track:{track_id}" for track_id in _ids(turn))


def _ids(turn: Turn) -> tuple[int, ...]:
    return turn.track_ids or (() if turn.track_id is None else (turn.track_id,))


def without_needless_cuts(found: Stitched, turns: Sequence[Turn]) -> list[Turn]:
    """Where nobody is seen to speak before or after a turn of whoever is followed then, that turn is longer."""
    cuts = {start for start, _ in found.shots}
    main_ids = _main_ids(found, [turn for turn in turns if turn.track_id is None])
    merged: list[Turn] = []
    for turn in turns:
        before = merged[-1] if merged and turn.start not in cuts else None
        if before is None:
            merged.append(turn)
        elif turn.track_id is None and main_ids[turn] in _ids(before):
            merged[-1] = replace(before, stop=turn.stop)
        elif before.track_id is None and main_ids.get(before) in _ids(turn):
            merged[-1] = replace(turn, start=before.start)
        else:
            merged.append(turn)
    return merged


def _main_ids(found: Stitched, turns: Sequence[Turn]) -> dict[Turn, int | None]:
    """Who is most prominent in each of them."""
    sightings, frame_pts = Sightings(found.tracks, found.timeline), found.timeline.frame_pts
    ids: dict[Turn, int | None] = {}
    for turn in turns:
        own = frame_pts[turn.start : turn.stop]
        seen = sightings.on(own, seconds_from_start(own, found.timeline.time_base))
        ids[turn] = max(seen, key=lambda each: each.prominence).track.id if seen else None
    return ids

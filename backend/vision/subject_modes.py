"""What the `subject` parameter may say, and whether this video has it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from backend.errors import InvalidParams
from backend.vision.stitch import Track

_MAX_NAMED_IDS = 50
MAIN, SPEAKER = "main", "speaker"
_TRACK_MODE = re.compile(r"track:\d{1,9}(,track:\d{1,9})*", re.ASCII)


def modes_of_shots(mode: str, shot_modes: Mapping[int, str], shot_count: int) -> list[str]:
    """The mode of each shot. Raises InvalidParams for a shot that is not there."""
    unknown = sorted(set(shot_modes) - set(range(shot_count)))
    if unknown:
        raise InvalidParams(f"There is no shot {unknown[0]} in this video; its shots are 0 to {shot_count - 1}.")
    return [shot_modes.get(index, mode) for index in range(shot_count)]


def wanted_ids(mode: str, tracks: Sequence[Track]) -> set[int]:
    """The ids that the mode names, none for `all` and `main`. Raises InvalidParams naming the tracks that exist."""
    if mode in ("all", "main"):
        return set()
    if not _TRACK_MODE.fullmatch(mode):
        raise InvalidParams(f"subject {mode[:80]!r} is none of 'all', 'main', 'track:<id>', 'track:<id>,track:<id>'.")
    ids = {track.id for track in tracks}
    wanted = [int(part.removeprefix("track:")) for part in mode.split(",")]
    missing = [number for number in wanted if number not in ids]
    if missing:
        named = ", ".join(str(track_id) for track_id in sorted(ids)[:_MAX_NAMED_IDS]) or "none"
        more = f" and {len(ids) - _MAX_NAMED_IDS} more" if len(ids) > _MAX_NAMED_IDS else ""
        raise InvalidParams(f"There is no track {missing[0]} in this video; its tracks are: {named}{more}.")
    return set(wanted)

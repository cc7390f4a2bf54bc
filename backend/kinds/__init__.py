"""The kinds of job. Adding one: its module, one line here, its tests and its docs page."""

from __future__ import annotations

from typing import Any

from backend.errors import InvalidParams
from backend.kinds.annotate import ANNOTATE
from backend.kinds.audio_trim import AUDIO_TRIM
from backend.kinds.base import Kind
from backend.kinds.crop import CROP
from backend.kinds.downsample import DOWNSAMPLE
from backend.kinds.encode import ENCODE
from backend.kinds.keyed_framing import FRAMING
from backend.kinds.overlay import OVERLAY
from backend.kinds.pose import POSE
from backend.kinds.stage import STAGE

_ALL: tuple[Kind[Any], ...] = (CROP, ANNOTATE, FRAMING, OVERLAY, POSE, DOWNSAMPLE, ENCODE, AUDIO_TRIM, STAGE)
KINDS: dict[str, Kind[Any]] = {kind.name: kind for kind in _ALL}


def kind_named(name: str) -> Kind[Any]:
    """Raises InvalidParams with the names there are."""
    if name not in KINDS:
        raise InvalidParams(f"There is no job kind {name!r:.50}; there are: {', '.join(KINDS)}.")
    return KINDS[name]

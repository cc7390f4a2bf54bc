"""The kinds of job. Adding one: its module, one line here, its tests and its docs page."""

from __future__ import annotations

from typing import Any

from backend.errors import InvalidParams
from backend.kinds.base import Kind
from backend.kinds.crop import CROP
from backend.kinds.keyed_framing import FRAMING
from backend.kinds.pose import POSE

KINDS: dict[str, Kind[Any]] = {kind.name: kind for kind in (CROP, FRAMING, POSE)}


def kind_named(name: str) -> Kind[Any]:
    """Raises InvalidParams with the names there are."""
    if name not in KINDS:
        raise InvalidParams(f"There is no job kind {name!r:.50}; there are: {', '.join(KINDS)}.")
    return KINDS[name]

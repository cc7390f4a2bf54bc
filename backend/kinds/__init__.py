"""The kinds of job. Adding one: its module, one line here, its tests and its docs page."""

from __future__ import annotations

from backend.errors import InvalidParams
from backend.kinds.base import JobKind
from backend.kinds.crop import Crop

KINDS: dict[str, JobKind] = {kind.name: kind for kind in (Crop(),)}


def kind_named(name: str) -> JobKind:
    """Raises InvalidParams with the names there are."""
    if name not in KINDS:
        raise InvalidParams(f"There is no job kind {name!r:.50}; there are: {', '.join(KINDS)}.")
    return KINDS[name]

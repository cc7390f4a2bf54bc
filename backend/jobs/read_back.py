"""A result that is to be the very bytes of something: read again where it was put, and compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from backend.errors import OutputRefused
from backend.jobs.outputs import OutputPlace
from backend.settings import Settings
from backend.storage import open_source
from backend.storage.base import ObjectStore
from backend.storage.names import is_object_uri

BLOCK_BYTES = 8 * 2**20
NOT_READABLE = "The copy's checksum could not be compared: a PUT link cannot be read."


def check_copy(
    place: OutputPlace, sha256: str, own: ObjectStore, settings: Settings, moved: Callable[[], None]
) -> list[str]:
    """A warning where the place cannot be read. Raises OutputRefused when it holds other bytes, and what reading
    raises."""
    if place.own_key is None and not is_object_uri(place.uri):
        return [NOT_READABLE]
    source = open_source(place.uri, settings) if place.own_key is None else own.source(place.own_key)
    digest = hashlib.sha256()
    for offset in range(0, source.info.size_bytes, BLOCK_BYTES):
        digest.update(source.read_at(offset, BLOCK_BYTES))
        moved()
    if digest.hexdigest() != sha256:
        raise OutputRefused(f"{place.uri} holds other bytes than were sent there: look at that store, then retry.")
    return []

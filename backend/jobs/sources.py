"""A job's source: at its URI; or, where that server serves no ranges, the copy that planning put beside the job."""

from __future__ import annotations

import re
from uuid import UUID

from backend.errors import SourceNotFound
from backend.events import Event, emit
from backend.jobs.layout import source_key
from backend.queue.claims import JobClaim
from backend.settings import Settings
from backend.storage import open_source
from backend.storage.base import ObjectInfo, ObjectStore, Source
from backend.storage.http import HttpSource
from backend.storage.names import is_web
from backend.storage.pace import Cutoff

# The etag of what was downloaded whole; with it the copy's name is known, and another version's is another one.
DIGEST = "sha256-"
_UPLOAD = re.compile(r"/jobs/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/source$")
COPY_NOTE = "The input's server serves no ranges: the whole file was fetched once and read from a copy."


class Copy:
    """The copy, under the version that the row names."""

    def __init__(self, stored: Source, etag: str) -> None:
        self.uri = stored.uri
        self.info = ObjectInfo(stored.info.size_bytes, etag)
        self._stored = stored

    def read_at(self, offset: int, length: int) -> bytes:
        """As the source's. Raises SourceNotFound, SourceChanged, SourceUnreachable."""
        return self._stored.read_at(offset, length)


def open_for_planning(claim: JobClaim, store: ObjectStore, settings: Settings, cutoff: Cutoff | None = None) -> Source:
    """The source. One whose server serves no ranges is fetched here, once, and deleted with the job's objects.

    Raises what `open_source` raises, and StorageError.
    """
    if is_web(claim.input_uri):
        earlier = _earlier_copy(claim.job_id, store)
        if earlier is not None:  # of a planner that died after fetching it
            return earlier
    source = open_source(claim.input_uri, settings, cutoff=cutoff)
    whole = source.download() if isinstance(source, HttpSource) else None
    if whole is not None and source.info.size_bytes > 0:
        key = source_key(claim.job_id, source.info.etag)
        store.put_stream(key, whole, max_bytes=settings.max_source_bytes)
        ids = {"job_id": str(claim.job_id), "attempt": claim.attempts}
        emit(Event.SOURCE_COPIED, **ids, key=key, size_bytes=source.info.size_bytes)
    return source


def open_job_source(
    owner: UUID,
    input_uri: str,
    etag: str | None,
    store: ObjectStore,
    settings: Settings,
    cutoff: Cutoff | None = None,
) -> Source:
    """The planned version of the source, until `cutoff` says otherwise; `owner` is the job in whose folder a copy lies.
    Raises what `open_source` raises."""
    if etag is not None and is_copied(input_uri, etag):
        try:
            return Copy(store.source(source_key(owner, etag)), etag)
        except SourceNotFound:  # somebody deleted it: the server may still have this version
            pass
    return open_source(input_uri, settings, etag=etag, cutoff=cutoff)


def stored_key(input_uri: str) -> str | None:
    """The key of an upload, as the URIs of inputs in our own store end; None for what lies elsewhere."""
    found = _UPLOAD.search(input_uri)
    return source_key(found[1]) if found else None


def is_copied(input_uri: str, etag: str | None) -> bool:
    """Whether a planned job is read from a copy."""
    return is_web(input_uri) and etag is not None and etag.startswith(DIGEST)


def _earlier_copy(job_id: UUID, store: ObjectStore) -> Copy | None:
    prefix = source_key(job_id, DIGEST)
    for key in store.list(prefix):
        return Copy(store.source(key), DIGEST + key.removeprefix(prefix))
    return None

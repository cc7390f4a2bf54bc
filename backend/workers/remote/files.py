"""The bytes that a remote worker reads and writes: by links that its server signs, or through the server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import tenacity
from urllib3.exceptions import HTTPError

from backend.errors import (
    DatabaseUnavailable,
    FramefleetError,
    ObjectExists,
    ObjectNotFound,
    SourceChanged,
    SourceNotFound,
    StorageError,
)
from backend.jobs.further_inputs import open_input
from backend.jobs.sources import is_copied
from backend.kinds.params import Params
from backend.queue import messages as m
from backend.queue.claims import ChunkClaim
from backend.queue.executor import Hold
from backend.settings import Settings
from backend.storage import open_source
from backend.storage.base import ObjectInfo, Source
from backend.storage.guard import parse_target, safe_url
from backend.storage.http import HttpSource
from backend.storage.http_put import put_once
from backend.storage.names import scheme_of
from backend.workers.chunk_files import FilesOf
from backend.workers.remote.server import Server, claim_path
from backend.workers.remote.transport import blocks_of, fetch

WEB = ("http", "https")
UPLOAD_TRIES = 5
NOT_IMPLEMENTED, PRECONDITION_FAILED = 501, 412


class LinkedSource:
    """A source behind a link, under the name and the version that the job knows it by. Links differ from chunk to
    chunk, the bytes do not."""

    def __init__(self, linked: Source, uri: str, etag: str) -> None:
        self.uri = uri
        self.info = ObjectInfo(linked.info.size_bytes, etag)
        self._linked = linked

    def read_at(self, offset: int, length: int) -> bytes:
        """As HttpSource's."""
        return self._linked.read_at(offset, length)


class RemoteFiles:
    """ChunkFiles of one claim. What the job names behind http(s) is read where it is, past this worker's own guard."""

    def __init__(self, claim: ChunkClaim, hold: Hold, server: Server, settings: Settings) -> None:
        self._claim = claim
        self._moved = hold.watch.moved
        self._cutoff = hold.cutoff
        self._server = server
        self._settings = settings

    def source(self) -> Source:
        claim = self._claim
        is_web = scheme_of(claim.input_uri) in WEB  # of this machine's own files nobody else may speak
        if is_web and not is_copied(claim.input_uri, claim.source_etag):
            return open_source(claim.input_uri, self._settings, etag=claim.source_etag, cutoff=self._cutoff)
        try:
            return self._linked(m.WantedInput(uri=None), f"{claim.job_id}/source", claim.source_etag)
        except SourceNotFound:
            if not is_web:
                raise
            # Somebody deleted the copy: the server that it was made from may still have this version.
            return open_source(claim.input_uri, self._settings, etag=claim.source_etag, cutoff=self._cutoff)

    def further_input(self, params: Params, uri: str) -> Source:
        if scheme_of(uri) in WEB:
            return open_input(params, uri, self._settings, self._cutoff)
        return self._linked(m.WantedInput(uri=uri), f"{self._claim.job_id}/{uri}", None)

    def object(self, name: str) -> bytes:
        return self._read(claim_path(self._claim, f"objects/{name}"))

    def artifact(self) -> bytes | None:
        with suppress(ObjectNotFound):
            return self._read(claim_path(self._claim, "artifact"))
        return None

    def found_earlier(self) -> Iterator[tuple[str, bytes]]:
        """Nothing: other jobs' results are not for other people's machines."""
        return iter(())

    def put_if_absent(self, data: bytes) -> None:
        self._put(data, if_absent=True)

    def put(self, data: bytes) -> None:
        self._put(data, if_absent=False)

    def put_preview(self, file: Path) -> None:
        self._upload("preview/upload").put(file.read_bytes(), if_absent=True)

    def bring_preview(self, artifact_key: str) -> None:
        raise ObjectNotFound("Other jobs' results are not for other people's machines.")

    def _linked(self, wanted: m.WantedInput, name: str, etag: str | None) -> Source:
        place = self._server.ask(claim_path(self._claim, "input"), wanted, m.InputPlace, tries=UPLOAD_TRIES)
        known = None if place.is_copy or place.etag is None else f'"{place.etag}"'
        source = HttpSource(
            self._server.base_url + place.path,
            allow_private=True,  # our own server, and where it sends us
            max_bytes=self._settings.max_source_bytes,
            stall_sec=self._settings.source_stall_seconds,
            etag=known,
            cutoff=self._cutoff,
        )
        if known is not None and source.info.etag != known:
            raise SourceChanged(f"{name} changed since the job was made: submit the job again.")
        return LinkedSource(source, name, etag or place.etag or "")

    def _read(self, path: str) -> bytes:
        return self._server.read(m.REMOTE_PATH + path, tries=UPLOAD_TRIES)

    def _put(self, data: bytes, *, if_absent: bool) -> None:
        self._upload("upload").put(data, if_absent=if_absent)

    def _upload(self, what: str) -> Upload:
        return Upload(self._server, claim_path(self._claim, what), self._moved, self._settings)


class Upload:
    """One object in one PUT, to where the server says; after a cut, again."""

    def __init__(self, server: Server, path: str, moved: Callable[[], None], settings: Settings) -> None:
        self._server = server
        self._path = path
        self._moved = moved
        self._stall_sec = settings.source_stall_seconds

    def put(self, data: bytes, *, if_absent: bool) -> None:
        """Raises ObjectExists, also where an answer was lost and the object is our own; StorageError."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((StorageError, DatabaseUnavailable)),
            stop=tenacity.stop_after_attempt(UPLOAD_TRIES),
            wait=tenacity.wait_exponential_jitter(initial=0.2, max=10, jitter=0.5),
            reraise=True,
        )
        retrying(self._try, data, if_absent)

    def _try(self, data: bytes, if_absent: bool) -> None:
        status = self._send(data, m.WantedUpload(size_bytes=len(data), if_absent=if_absent))
        if status == NOT_IMPLEMENTED and if_absent:  # a store without conditional writes
            status = self._send(data, m.WantedUpload(size_bytes=len(data), if_absent=True, conditional=False))
        if status == PRECONDITION_FAILED:
            raise ObjectExists("The chunk has an artifact already.")
        if not 200 <= status < 300:
            raise StorageError(f"The store does not take the chunk's artifact now ({status}).")

    def _send(self, data: bytes, wanted: m.WantedUpload) -> int:
        place = self._server.ask(self._path, wanted, m.UploadPlace)
        return send_to(self._server, place, data, self._moved, self._stall_sec)


def send_to(server: Server, place: m.UploadPlace, data: bytes, moved: Callable[[], None], stall_sec: float) -> int:
    """The store's status. Raises StorageError; and what the server refuses, when the bytes go through it."""

    def blocks() -> Iterator[bytes]:
        for block in blocks_of(data):
            yield block
            moved()

    if place.url is None:
        server.write(place.path or "", place.headers, blocks)
        return 201
    target = parse_target(place.url)
    headers = {**place.headers, "Host": target.host_header, "User-Agent": "framefleet"}
    try:
        return put_once(target, io.BytesIO(data), headers, lambda _: moved(), allow_private=True, stall_sec=stall_sec)
    except FramefleetError as failure:
        raise StorageError(failure.message) from None
    except (HTTPError, OSError) as failure:  # urllib3's message holds the signature
        raise StorageError(f"{safe_url(place.url)} cannot be reached ({type(failure).__name__}).") from None


class ProbeObject:
    """What a worker's surroundings try the store with: a small object of its own."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self._server = server
        self._stall_sec = settings.source_stall_seconds
        self._get_url: str | None = None

    def put(self, key: str, data: bytes) -> None:
        places = self._server.ask("/probe", m.WantedUpload(size_bytes=len(data), if_absent=False), m.ProbePlaces)
        self._get_url = places.get_url
        status = send_to(self._server, places.put, data, lambda: None, self._stall_sec)
        if not 200 <= status < 300:
            raise StorageError(f"The store does not take a small object ({status}).")

    def get(self, key: str) -> bytes:
        if self._get_url is None:
            return self._server.read(f"{m.REMOTE_PATH}/probe")
        data = fetch(self._get_url)
        if data is None:
            raise ObjectNotFound("The store lost the small object that it took.")
        return data


def remote_files(server: Server, settings: Settings) -> FilesOf:
    return lambda claim, hold: RemoteFiles(claim, hold, server, settings)

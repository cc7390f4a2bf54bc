"""A file that goes up in parts, several at once, each as often as it takes: straight to the object store where that
signs links, else to the API."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from urllib3.exceptions import HTTPError

from backend.client.connection import Answer, Busy, Connection, checked, read_answer
from backend.client.errors import ApiError, TransferFailed

UPLOADS = "/api/v1/uploads"
AT_ONCE = 4
BLOCK_BYTES = 256 * 1024
COMPLETES = 3  # each may find that parts are missing
BYTES = "application/octet-stream"
PARTS_MISSING = "upload_incomplete"
Progress = Callable[[int, int], None]  # bytes that are there, and of how many


@dataclass(frozen=True)
class Upload:
    """One that is complete becomes a job's input by its id."""

    id: str
    size_bytes: int
    part_bytes: int
    parts: int
    received: Mapping[int, str | None]  # number of each part that is there → its SHA-256, where it is known
    is_open: bool

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Upload:
        received = {part["number"]: part["sha256"] for part in raw["received"]}
        return cls(raw["id"], raw["size_bytes"], raw["part_bytes"], raw["parts"], received, raw["state"] == "open")


def begin(connection: Connection, path: Path) -> Upload:
    """Raises ApiError, Unreachable, OSError."""
    asked = {"name": path.name, "size_bytes": path.stat().st_size, "part_checksum": "sha256"}
    return Upload.of(connection.ask("POST", UPLOADS, json_body=asked).json)


def find(connection: Connection, upload_id: str) -> Upload:
    """Raises ApiError (NotFound for one that ran out), Unreachable."""
    return Upload.of(connection.get(f"{UPLOADS}/{upload_id}").json)


def send(
    connection: Connection, upload: Upload, path: Path, *, at_once: int = AT_ONCE, on_progress: Progress | None = None
) -> None:
    """Sends what is missing, and completes the upload.

    Raises TransferFailed where the file is not the one that the upload was begun with, ApiError, Unreachable, OSError.
    """
    size_bytes = path.stat().st_size
    if size_bytes != upload.size_bytes:
        raise TransferFailed(f"{path.name} has {size_bytes} bytes; the upload was begun with {upload.size_bytes}.")
    for left in reversed(range(COMPLETES)):
        if upload.is_open:
            _Sending(connection, upload, path, on_progress).run(at_once)
        try:
            _complete(connection, upload.id)
            return
        except ApiError as failure:
            if failure.code != PARTS_MISSING or not left:
                raise
        upload = find(connection, upload.id)


def _complete(connection: Connection, upload_id: str) -> None:
    def once() -> Answer:
        try:
            return connection.once("POST", f"{UPLOADS}/{upload_id}/complete", {}, None)
        except ApiError as failure:
            raise _busy_if_retryable(failure) from None

    connection.insist(once)


class _Sending:
    def __init__(self, connection: Connection, upload: Upload, path: Path, on_progress: Progress | None) -> None:
        self._connection = connection
        self._upload = upload
        self._path = path
        self._on_progress = on_progress
        self._sent_bytes: dict[int, int] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def run(self, at_once: int) -> None:
        with ThreadPoolExecutor(at_once, thread_name_prefix="upload") as pool:
            parts = [pool.submit(self._part, number) for number in range(1, self._upload.parts + 1)]
            try:
                for part in parts:
                    part.result()
            except BaseException:
                self._stopped.set()
                for part in parts:
                    part.cancel()
                raise

    def _part(self, number: int) -> None:
        sha256 = self._window(number).sha256()
        there = self._upload.received.get(number)
        if there is not None and there != sha256:
            raise TransferFailed(f"{self._path.name} is another file than the one that the upload was begun with.")
        if number not in self._upload.received:
            self._connection.insist(lambda: self._try(number, sha256))
        self._tell(number, self._window(number).size_bytes)

    def _try(self, number: int, sha256: str) -> Answer:
        """Each time under a new link, as one may have expired. Raises Busy, ApiError."""
        if self._stopped.is_set():
            raise TransferFailed("Another part failed.")
        wanted = {"parts": [{"number": number, "sha256": sha256}]}
        path = f"{UPLOADS}/{self._upload.id}/parts"
        (link,) = self._connection.ask("POST", path, json_body=wanted).json["parts"]
        window = self._window(number)
        headers = {"Content-Type": BYTES, **link["headers"], "Content-Length": str(window.size_bytes)}
        if not link["url"].startswith("/"):
            return self._to_the_store(link["url"], headers, window)
        try:
            return self._connection.once("PUT", link["url"], headers, window.blocks())
        except ApiError as failure:
            raise _busy_if_retryable(failure) from None

    def _to_the_store(self, url: str, headers: Mapping[str, str], window: _Window) -> Answer:
        """The key is not for its eyes. Raises Busy: the store's refusals are of links, which can be had anew."""
        try:
            response = self._connection.pools.request(
                "PUT", url, headers=headers, body=window.blocks(), redirect=False, preload_content=False
            )
            answer = read_answer(response)
        except (HTTPError, OSError) as failure:  # its message holds the signature
            raise Busy(TransferFailed(f"The object store cannot be reached ({type(failure).__name__}).")) from None
        if not 200 <= answer.status < 300:
            raise Busy(TransferFailed(f"The object store refused part {window.number} ({answer.status})."))
        return checked(answer)

    def _window(self, number: int) -> _Window:
        return _Window(self._path, number, self._upload, self._tell)

    def _tell(self, number: int, sent_bytes: int) -> None:
        with self._lock:
            self._sent_bytes[number] = sent_bytes
            if self._on_progress is not None:
                self._on_progress(sum(self._sent_bytes.values()), self._upload.size_bytes)


class _Window:
    """A part of a file, read as it goes out. None is in memory as a whole."""

    def __init__(self, path: Path, number: int, upload: Upload, tell: Callable[[int, int], None]) -> None:
        self.number = number
        self._path = path
        self._offset = (number - 1) * upload.part_bytes
        self.size_bytes = min(upload.part_bytes, upload.size_bytes - self._offset)
        self._tell = tell

    def blocks(self) -> Iterator[bytes]:
        sent_bytes = 0
        for block in self._read():
            yield block
            sent_bytes += len(block)
            self._tell(self.number, sent_bytes)

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for block in self._read():
            digest.update(block)
        return digest.hexdigest()

    def _read(self) -> Iterator[bytes]:
        left_bytes = self.size_bytes
        with self._path.open("rb") as file:
            file.seek(self._offset)
            while left_bytes and (block := file.read(min(left_bytes, BLOCK_BYTES))):
                yield block
                left_bytes -= len(block)


def _busy_if_retryable(failure: ApiError) -> Exception:
    return Busy(failure) if failure.retryable else failure

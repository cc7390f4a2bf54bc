"""A file of a job, fetched in as many pieces as the network makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from backend.client.connection import BUSY, Busy, Connection, checked, read_answer
from backend.client.errors import TransferFailed

BLOCK_BYTES = 256 * 1024
MAX_REDIRECTS = 3
Progress = Callable[[int, int | None], None]  # bytes that are there, and of how many where that is known


def download(connection: Connection, path: str, target: Path, on_progress: Progress | None = None) -> Path:
    """`target`, written whole or not at all. What broke off goes on where it stopped, in a later call too: until it is
    whole, the bytes lie in a hidden file beside it.

    Raises ApiError, Unreachable, TransferFailed, OSError.
    """
    fetching = _Fetching(connection, path, target, on_progress)
    while not connection.insist(fetching.some):
        pass  # bytes came: patience begins anew
    assert fetching.part is not None
    fetching.part.replace(target)
    return target


class _Fetching:
    def __init__(self, connection: Connection, path: str, target: Path, on_progress: Progress | None) -> None:
        self._connection = connection
        self._path = path
        self._target = target
        self._on_progress = on_progress
        self._etag: str | None = None
        self._total_bytes: int | None = None
        self.part: Path | None = None

    @property
    def _offset(self) -> int:
        return self.part.stat().st_size if self.part is not None and self.part.exists() else 0

    def some(self) -> bool:
        """Whether it is whole; False when it broke off after some bytes. Raises Busy when none came."""
        offset = self._offset
        if offset and offset == self._total_bytes:
            return True
        response = self._opened(offset)
        try:
            self._begin(response, offset)
            if self._offset and response.status == 200:
                return False  # an earlier call left something: asked again from there
            return self._copy(response)
        finally:
            response.close()

    def _opened(self, offset: int) -> urllib3.BaseHTTPResponse:
        headers = {"Accept-Encoding": "identity"}
        if offset and self._etag:
            headers |= {"Range": f"bytes={offset}-", "If-Range": self._etag}
        response = self._connection.open("GET", self._path, headers)
        url = self._connection.url + self._path
        for _ in range(MAX_REDIRECTS):
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or location is None:
                break
            response.close()
            url = urljoin(url, location)
            response = self._elsewhere(url, headers)
        if response.status not in (200, 206):
            self._refused(response)
        return response

    def _elsewhere(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """A signed link of the object store: the key is not for its eyes."""
        try:
            return self._connection.pools.request("GET", url, headers=headers, redirect=False, preload_content=False)
        except (HTTPError, OSError) as failure:  # its message holds the signature
            host = urlsplit(url).hostname
            raise Busy(TransferFailed(f"{host} cannot be reached ({type(failure).__name__}).")) from None

    def _refused(self, response: urllib3.BaseHTTPResponse) -> None:
        """Raises ApiError, TransferFailed, or Busy where another try can help."""
        try:
            answer = read_answer(response)
        except (HTTPError, OSError) as failure:
            raise Busy(self._connection.unreachable(failure)) from None
        if answer.status < 400:
            raise TransferFailed(f"The server answered {answer.status} to a download.")
        if answer.status == 416 or answer.status in BUSY:
            self._forget()
        checked(answer)

    def _begin(self, response: urllib3.BaseHTTPResponse, offset: int) -> None:
        """Notes what is coming. Where it is another file than before, what is there of it is of no use."""
        etag = response.headers.get("ETag")
        if response.status == 206:
            begin, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            if etag != self._etag or not begin.startswith(f"{offset}-"):
                self._forget()
                raise Busy(TransferFailed("The file changed while it was fetched."))
            self._total_bytes = int(total) if total.isdigit() else None
            return
        if etag != self._etag or offset:
            self._forget()
        length = response.headers.get("Content-Length", "")
        self._total_bytes = int(length) if length.isdigit() else None
        self._etag = etag if etag and not etag.startswith("W/") else None
        mark = hashlib.sha256(f"{self._connection.url}{self._path} {self._etag}".encode()).hexdigest()[:12]
        self.part = self._target.with_name(f".{self._target.name}.{mark}.part")
        if self._etag is None or self._offset > (self._total_bytes or 0):
            self.part.unlink(missing_ok=True)

    def _forget(self) -> None:
        if self.part is not None:
            self.part.unlink(missing_ok=True)
        self.part, self._etag, self._total_bytes = None, None, None

    def _copy(self, response: urllib3.BaseHTTPResponse) -> bool:
        assert self.part is not None
        before = self._offset
        failure: Exception | None = None
        with self.part.open("ab") as file:
            blocks = response.stream(BLOCK_BYTES, decode_content=False)
            while True:
                try:
                    block = next(blocks, b"")
                except (HTTPError, OSError) as broken:
                    failure = broken
                    break
                if not block:
                    break
                file.write(block)
                self._tell(file.tell())
        if failure is None and (self._total_bytes is None or self._offset == self._total_bytes):
            return True
        if self._offset == before or self._etag is None:  # without an ETag it begins anew, and may never end
            raise Busy(self._connection.unreachable(failure or OSError("the answer ended early")))
        return False

    def _tell(self, there_bytes: int) -> None:
        if self._on_progress is not None:
            self._on_progress(there_bytes, self._total_bytes)

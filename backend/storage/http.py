"""A video behind an http(s) URL, read by range; or fetched once, where the server knows no ranges."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable
from typing import BinaryIO

import tenacity
import urllib3

from backend.errors import (
    MediaTooLarge,
    SourceChanged,
    SourceUnreachable,
    StorageError,
    UnsupportedInput,
)
from backend.storage.base import ObjectInfo
from backend.storage.files import pread_all
from backend.storage.guard import NO_HOSTS, OwnHosts, safe_url
from backend.storage.http_link import Link, parts_of
from backend.storage.pace import Cutoff, TooSlow
from backend.storage.versions import Version, parse_version, sample, strong, validator_of

__all__ = ["HttpSource", "safe_url"]

FIRST_READ_BYTES = 64 * 1024
TRIES = 3
STALL_SEC = 45.0

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def _may_help(error: BaseException) -> bool:
    return isinstance(error, SourceUnreachable) and not isinstance(error, TooSlow)


_retrying = tenacity.retry(
    retry=tenacity.retry_if_exception(_may_help),
    stop=tenacity.stop_after_attempt(TRIES),
    wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=2, jitter=0.2),
    reraise=True,
)


class HttpSource:
    """Bytes behind a URL of the public internet; every read compares the version with the one at the start.

    With `etag` the version is known again by it: a strong ETag decides alone, else sampled bytes do. A server without
    ranges is downloaded whole, and the version is a digest of all bytes.
    Only public addresses are met, and `own_hosts`, unless `allow_private`; each redirect is checked anew.
    Raises UnsupportedInput, SourceNotFound, SourceForbidden, SourceExpired, MediaTooLarge above `max_bytes`, and
    SourceUnreachable, also for a server that falls `stall_sec` behind 32 KiB/s, or once `cutoff` says so.
    """

    def __init__(
        self,
        url: str,
        *,
        allow_private: bool = False,
        max_bytes: int,
        stall_sec: float = STALL_SEC,
        etag: str | None = None,
        own_hosts: OwnHosts = NO_HOSTS,
        cutoff: Cutoff | None = None,
    ) -> None:
        self._link = Link(url, allow_private=allow_private, stall_sec=stall_sec, own_hosts=own_hosts, cutoff=cutoff)
        self._name = self._link.name
        # Two URLs may differ in their query alone, which must not be shown.
        self.uri = f"{self._name}#{hashlib.sha256(url.encode()).hexdigest()[:16]}"
        self._max_bytes = max_bytes
        self._spool: BinaryIO | None = None
        self._head = b""
        self._validators: set[str | None] = set()  # what servers call this version
        with self._link.pace.waiting():
            size_bytes, whole = self._open()
            self._version = self._known_again(size_bytes, whole, parse_version(etag) if etag else None)
        self.info = ObjectInfo(size_bytes, str(self._version))

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`. Raises SourceChanged when the server has another version by now."""
        length = min(length, self.info.size_bytes - offset)
        if length <= 0:
            return b""
        if self._spool is not None:
            return pread_all(self._spool.fileno(), offset, length)
        if offset + length <= len(self._head):
            return self._head[offset : offset + length]
        with self._link.pace.waiting():
            return self._read(offset, length, self._checked)

    def download(self) -> BinaryIO | None:
        """The whole of it, from its start, where the server serves no ranges; else None."""
        if self._spool is not None:
            self._spool.seek(0)
        return self._spool

    def close(self) -> None:
        """Closes the connections and the temporary file; the garbage collector does so too."""
        self._link.close()
        if self._spool is not None:
            self._spool.close()

    @_retrying
    def _open(self) -> tuple[int, str | None]:
        """The size, and the digest where all was downloaded.

        The first bytes tell size and version, so no HEAD is needed: signed URLs often allow none.
        """
        with self._link.get(f"bytes=0-{FIRST_READ_BYTES - 1}") as response:
            self._validators = {validator_of(response)}
            if response.status == 200:
                return self._download(response)
            if response.status == 416 and response.headers.get("Content-Range") == "bytes */0":
                return 0, None
            if response.status == 206:
                start, end, size_bytes = self._content_range(response)
                if start == 0 and size_bytes is not None:
                    self._check_size(size_bytes)
                    self._head = self._link.body(response, min(end + 1, FIRST_READ_BYTES))
                    return size_bytes, None
        with self._link.get(None) as response:  # ranges of a size that the server does not tell are of no use
            if response.status != 200:
                raise self._link.refusal(response.status)
            return self._download(response)

    def _download(self, response: urllib3.BaseHTTPResponse) -> tuple[int, str]:
        """The whole body, into a file without a name."""
        self._check_size(response.length_remaining or 0)
        spool = tempfile.TemporaryFile()  # noqa: SIM115  # read_at uses it from here on
        digest = self._copy(response, spool)
        self._spool = spool
        return spool.tell(), digest

    def _known_again(self, size_bytes: int, digest: str | None, wanted: Version | None) -> Version:
        """The wanted version where this is the same one; else its own."""
        (validator,) = self._validators
        etag = strong(validator)
        if wanted is not None and wanted.etag is not None and wanted.etag in (etag, digest):
            return wanted
        if digest is not None:
            return Version(digest, None)
        sampled = sample(size_bytes, lambda offset, length: self._head_or_range(size_bytes, offset, length))
        if wanted is not None and wanted.sample == sampled:
            return wanted
        return Version(etag, sampled)

    def _head_or_range(self, size_bytes: int, offset: int, length: int) -> bytes:
        if offset + length <= len(self._head):
            return self._head[offset : offset + length]
        return self._read(offset, length, lambda at, rest: self._sized(at, rest, size_bytes)[0])

    def _read(self, offset: int, length: int, fetch: Callable[[int, int], bytes]) -> bytes:
        data = b""
        while len(data) < length:  # a server may send less than it was asked for
            data += fetch(offset + len(data), length - len(data))
        return data

    def _checked(self, offset: int, length: int) -> bytes:
        """Bytes of this version. Another server's validator for the same bytes is learnt."""
        data, validator = self._sized(offset, length, self.info.size_bytes)
        if validator not in self._validators:
            size_bytes = self.info.size_bytes
            again = sample(size_bytes, lambda at, rest: self._read(at, rest, self._of_any_version))
            if again != self._version.sample:
                raise SourceChanged(f"{self._name} has other bytes than before: submit the job again.")
            self._validators.add(validator)
        return data

    def _of_any_version(self, offset: int, length: int) -> bytes:
        return self._sized(offset, length, self.info.size_bytes)[0]

    @_retrying
    def _sized(self, offset: int, length: int, size_bytes: int) -> tuple[bytes, str | None]:
        """Some bytes from the offset on, and the server's validator. Raises SourceChanged for another size."""
        with self._link.get(f"bytes={offset}-{offset + length - 1}") as response:
            if response.status != 206:
                raise SourceUnreachable(f"{self._name} no longer serves ranges: try again later.")
            start, end, said_bytes = self._content_range(response)
            if said_bytes not in (None, size_bytes):
                raise SourceChanged(f"{self._name} has {said_bytes} bytes, not {size_bytes}: submit the job again.")
            if start != offset or not start <= end < offset + length:
                raise SourceUnreachable(f"{self._name} sent other bytes than it was asked for: try again.")
            return self._link.body(response, end - start + 1), validator_of(response)

    def _content_range(self, response: urllib3.BaseHTTPResponse) -> tuple[int, int, int | None]:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None:
            raise UnsupportedInput(f"{self._name} answers ranges without saying which: serve it from another server.")
        start, end, size = match.groups()
        return int(start), int(end), None if size == "*" else int(size)

    def _copy(self, response: urllib3.BaseHTTPResponse, spool: BinaryIO) -> str:
        digest = hashlib.sha256()
        for part in parts_of(response, None, self._link.pace):
            digest.update(part)
            self._check_size(spool.tell() + len(part))
            try:
                spool.write(part)
            except OSError as error:
                raise StorageError(f"The temporary folder cannot take the download ({error.strerror}).") from error
        spool.flush()
        return f"sha256-{digest.hexdigest()}"

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise MediaTooLarge(f"{self._name} is larger than {self._max_bytes} bytes: give a shorter video.")

"""A result sent to a presigned PUT URL: whoever gave the URL allows just this one object to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from backend.errors import OutputExists, OutputUnwritable, SourceUnreachable, StorageError, UnsupportedInput
from backend.storage.guard import NO_HOSTS, OwnHosts, Target, connect, parse_target, resolve, safe_url
from backend.storage.pace import Pace, within
from backend.storage.signed_links import has_expired, is_if_absent

BLOCK_BYTES = 256 * 1024
PRECONDITION_FAILED = 412
_PASSING = {408, 425, 429}


class PutUrl:
    """A destination behind an http(s) URL. The file goes there in one PUT with its length and its content type; only
    public addresses are met, and `own_hosts`, unless `allow_private`; no redirect is followed.

    `uri` is without the query, which holds the secret.
    """

    def __init__(self, url: str, *, allow_private: bool, stall_sec: float, own_hosts: OwnHosts = NO_HOSTS) -> None:
        """`stall_sec`: how long the host may keep us waiting in all, as a source may (see pace.Pace)."""
        self._target = parse_target(url)
        self._url = url
        self._allow_private = allow_private
        self._own_hosts = own_hosts
        self._stall_sec = stall_sec
        self.uri = safe_url(url)

    def check(self) -> None:
        """Raises OutputUnwritable for a link that has expired, or leads to where nothing may be sent."""
        if has_expired(self._url):
            raise OutputUnwritable(f"The signed link {self.uri} has expired: submit the job with a fresh one.")
        try:
            with suppress(SourceUnreachable):  # a name that does not resolve now may do so when the result is there
                resolve(self._target, allow_private=self._allow_private, own_hosts=self._own_hosts)
        except UnsupportedInput as error:
            raise OutputUnwritable(error.message) from error

    def check_free(self) -> None:
        """Whoever signed the link allows what it overwrites."""

    def put_file(
        self, path: Path, *, content_type: str, moved: Callable[[int], object] = lambda size_bytes: None
    ) -> None:
        """Raises OutputUnwritable for a refusal, OutputExists where a link that overwrites nothing finds something,
        StorageError for what may work later."""
        self.check()
        try:
            with path.open("rb") as file:
                headers = {
                    "Host": self._target.host_header,
                    "User-Agent": "framefleet",
                    "Content-Type": content_type,
                    "Content-Length": str(path.stat().st_size),
                    **({"If-None-Match": "*"} if is_if_absent(self._url) else {}),
                }
                status = put_once(
                    self._target,
                    file,
                    headers,
                    moved,
                    allow_private=self._allow_private,
                    stall_sec=self._stall_sec,
                    own_hosts=self._own_hosts,
                )
        except (HTTPError, OSError) as error:  # urllib3's message holds the path with its query
            raise StorageError(f"{self.uri} cannot be reached ({type(error).__name__}): try again later.") from None
        if status == PRECONDITION_FAILED:
            raise OutputExists(f"{self.uri} is there already and is not overwritten: give another place.")
        if status >= 500 or status in _PASSING:
            raise StorageError(f"{self.uri} does not take the result now ({status}): try again later.")
        if not 200 <= status < 300:
            raise OutputUnwritable(
                f"{self.uri} does not take the result ({status}): give a PUT link that is in force and, where "
                f"it signs a content type, signs {content_type}."
            )


def put_once(
    target: Target,
    file: BinaryIO,
    headers: dict[str, str],
    moved: Callable[[int], object],
    *,
    allow_private: bool,
    stall_sec: float,
    own_hosts: OwnHosts = NO_HOSTS,
) -> int:
    """The answer's status, of the first of the host's addresses that takes a connection. Raises HTTPError, OSError,
    and what `resolve` raises."""
    failure: HTTPError | None = None
    pace = Pace(stall_sec)

    def taken(size_bytes: int) -> None:
        pace.earn(size_bytes)
        moved(size_bytes)

    for pool in connect(target, allow_private=allow_private, own_hosts=own_hosts):
        try:
            with pace.waiting(), within(pace):
                status = _send(pool, target.path, _blocks(file, taken), headers)
        except (NewConnectionError, ConnectTimeoutError) as error:
            failure = error
            continue
        finally:
            pool.close()
        if pace.is_over:  # a head that was cut reads like a short one
            raise HTTPError("the answer came too slowly")
        return status
    raise failure or HTTPError("the host has no address")


def _send(pool: urllib3.HTTPConnectionPool, path: str, body: Iterator[bytes], headers: dict[str, str]) -> int:
    response = pool.urlopen("PUT", path, body=body, headers=headers, redirect=False, preload_content=False)
    try:
        return response.status
    finally:
        response.close()


def _blocks(file: BinaryIO, moved: Callable[[int], object]) -> Iterator[bytes]:
    """All of the file, from its start; tells how many bytes were taken."""
    file.seek(0)
    while block := file.read(BLOCK_BYTES):
        yield block
        moved(len(block))

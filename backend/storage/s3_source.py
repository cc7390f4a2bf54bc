"""A video in a bucket, read by range."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import tenacity
from botocore.exceptions import ClientError

from backend.errors import SourceChanged, SourceUnreachable
from backend.storage.base import ObjectInfo
from backend.storage.pace import SLOWEST_BYTES_PER_SEC, Cutoff, Pace
from backend.storage.s3_errors import source_errors

TRIES = 4
COPY_BYTES = 256 * 1024
STALL_SEC = 45.0
REFUSED_WITHOUT_WORDS = (400, 403)  # a HEAD's answer has no body that says why
Client = Any  # boto3 makes its clients at run time
Answer = TypeVar("Answer")


class S3Source:
    """An object read by range; every read asks for the version that was there at the start.

    Raises SourceNotFound, SourceForbidden, SourceExpired, or SourceUnreachable, also for a store that falls
    `stall_sec` behind 32 KiB/s, or once `cutoff` says so.
    """

    def __init__(
        self,
        client: Client,
        bucket: str,
        key: str,
        *,
        scheme: str = "s3",
        stall_sec: float = STALL_SEC,
        cutoff: Cutoff | None = None,
    ) -> None:
        self._client = client
        self._place = {"Bucket": bucket, "Key": key}
        self._pace = Pace(stall_sec, cutoff)
        self.uri = f"{scheme}://{bucket}/{key}"
        self.info = self._trying(self._head)

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`. Raises SourceChanged when the object was replaced."""
        end = min(offset + length, self.info.size_bytes)
        if offset >= end:
            return b""
        data, etag = self._trying(lambda: self._fetch(f"bytes={offset}-{end - 1}", end - offset))
        if etag != self.info.etag:  # a store that ignores If-Match
            raise SourceChanged(f"{self.uri} changed meanwhile: submit the job again.")
        return data

    def _head(self) -> ObjectInfo:
        with source_errors(self.uri):
            try:
                return object_info(self._client.head_object(**self._place))
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in REFUSED_WITHOUT_WORDS:
                    raise
                self._client.get_object(**self._place, Range="bytes=0-0")["Body"].close()  # says why in words
                raise

    def _fetch(self, byte_range: str, length: int) -> tuple[bytes, str]:
        with source_errors(self.uri):
            response = self._client.get_object(**self._place, Range=byte_range, IfMatch=f'"{self.info.etag}"')
            with contextlib.closing(response["Body"]) as body:
                data = b"".join(self._parts(body))
        if len(data) != length:
            raise SourceUnreachable(f"The store sent {len(data)} bytes of {self.uri}, not {length}: try again.")
        return data, _etag(response)

    def _parts(self, body: Any) -> Iterator[bytes]:
        """botocore's own read waits until a part is full, however slowly it trickles in."""
        while part := body._raw_stream.read1(COPY_BYTES):
            self._pace.earn(len(part))
            self._check_pace()
            yield part

    def _trying(self, ask: Callable[[], Answer]) -> Answer:
        """The client retries requests; what breaks in the middle of a body is ours to ask for again."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(SourceUnreachable),
            stop=lambda state: state.attempt_number >= TRIES or self._pace.is_over,
            wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=2),
            reraise=True,
        )
        self._check_pace()
        with self._pace.waiting():
            return retrying(ask)

    def _check_pace(self) -> None:
        self._pace.cutoff.check(self.uri)
        if self._pace.is_over:
            raise SourceUnreachable(
                f"{self.uri} comes too slowly: its store fell {self._pace.stall_sec:.0f} s behind "
                f"{SLOWEST_BYTES_PER_SEC >> 10} KiB/s. Look at that store and the network to it."
            )


def object_info(response: Any) -> ObjectInfo:
    return ObjectInfo(int(response["ContentLength"]), _etag(response))


def _etag(response: Any) -> str:
    return str(response["ETag"]).strip('"')

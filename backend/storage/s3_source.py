"""A video in a bucket, read by range."""

from __future__ import annotations

from typing import Any

import tenacity

from backend.errors import SourceChanged, SourceUnreachable
from backend.storage.base import ObjectInfo
from backend.storage.s3_errors import source_errors

BODY_TRIES = 3
Client = Any  # boto3 makes its clients at run time


class _BodyBroken(SourceUnreachable):
    """The connection broke after the response's head."""


class S3Source:
    """An object read by range; every read asks for the version that was there at the start.

    Raises SourceNotFound, SourceForbidden or SourceUnreachable.
    """

    def __init__(self, client: Client, bucket: str, key: str, *, scheme: str = "s3") -> None:
        self._client = client
        self._place = {"Bucket": bucket, "Key": key}
        self.uri = f"{scheme}://{bucket}/{key}"
        with source_errors(self.uri):
            self.info = object_info(client.head_object(**self._place))

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`. Raises SourceChanged when the object was replaced."""
        end = min(offset + length, self.info.size_bytes)
        if offset >= end:
            return b""
        data, etag = self._fetch(f"bytes={offset}-{end - 1}")
        if etag != self.info.etag:  # a store that ignores If-Match
            raise SourceChanged(f"{self.uri} changed meanwhile: submit the job again.")
        if len(data) != end - offset:
            raise SourceUnreachable(f"The store sent {len(data)} bytes of {self.uri}, not {end - offset}: try again.")
        return data

    # The client retries requests; what breaks in the middle of a body is ours to ask for again.
    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(_BodyBroken),
        stop=tenacity.stop_after_attempt(BODY_TRIES),
        wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=2),
        reraise=True,
    )
    def _fetch(self, byte_range: str) -> tuple[bytes, str]:
        with source_errors(self.uri):
            response = self._client.get_object(**self._place, Range=byte_range, IfMatch=f'"{self.info.etag}"')
        try:
            with source_errors(self.uri):
                return response["Body"].read(), _etag(response)
        except SourceUnreachable as error:
            raise _BodyBroken(error.message) from error


def object_info(response: Any) -> ObjectInfo:
    return ObjectInfo(int(response["ContentLength"]), _etag(response))


def _etag(response: Any) -> str:
    return str(response["ETag"]).strip('"')

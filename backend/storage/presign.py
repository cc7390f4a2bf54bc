"""Signed links to single objects, for whoever has no credentials."""

from __future__ import annotations

from typing import Literal

from backend.settings import Settings
from backend.storage.names import scheme_of, split_object_uri
from backend.storage.s3 import MAX_PRESIGN_SEC, make_client
from backend.storage.s3_errors import store_errors


def presign(uri: str, method: Literal["GET", "PUT"], settings: Settings, *, expires_sec: int = MAX_PRESIGN_SEC) -> str:
    """A URL with which anybody may read or write this one object, unless said otherwise for a week.

    Raises UnsupportedInput, StorageError.
    """
    bucket, key = split_object_uri(uri)
    verb = "get_object" if method == "GET" else "put_object"
    with store_errors(uri):
        url: str = make_client(settings, scheme_of(uri)).generate_presigned_url(
            verb, Params={"Bucket": bucket, "Key": key}, ExpiresIn=expires_sec
        )
        return url

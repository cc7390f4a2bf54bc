"""Signed links to single objects, for whoever has no credentials."""

from __future__ import annotations

from typing import Literal

from backend.settings import Settings
from backend.storage.names import scheme_of, split_object_uri
from backend.storage.s3 import MAX_PRESIGN_SEC, make_client
from backend.storage.s3_errors import store_errors


def presign(
    uri: str,
    method: Literal["GET", "PUT"],
    settings: Settings,
    *,
    expires_sec: int = MAX_PRESIGN_SEC,
    if_absent: bool = False,
) -> str:
    """A URL with which anybody may read or write this one object, unless said otherwise for a week. With `if_absent` it
    overwrites nothing: whoever uses it must send `If-None-Match: *`.

    Raises UnsupportedInput, StorageError.
    """
    bucket, key = split_object_uri(uri)
    verb = "get_object" if method == "GET" else "put_object"
    condition = {"IfNoneMatch": "*"} if if_absent else {}
    with store_errors(uri):
        url: str = make_client(settings, scheme_of(uri)).generate_presigned_url(
            verb, Params={"Bucket": bucket, "Key": key} | condition, ExpiresIn=expires_sec
        )
        return url

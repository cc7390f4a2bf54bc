"""Objects in S3, and in whatever speaks its API (GCS, R2, MinIO): the only boto3 for objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import tenacity
from boto3.s3.transfer import TransferConfig
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import ClientError
from pydantic import SecretStr

from backend.errors import ObjectExists, ObjectNotFound, StorageError, UploadTooLarge
from backend.settings import Settings
from backend.storage.base import ObjectInfo, SignedPut
from backend.storage.files import temporary_file
from backend.storage.names import check_folder, check_key, check_prefix, content_disposition
from backend.storage.s3_errors import S3_ERRORS, Trouble, classify, store_errors
from backend.storage.s3_parts import S3Parts
from backend.storage.s3_source import Client, S3Source, object_info

GCS_ENDPOINT = "https://storage.googleapis.com"
CONNECT_TIMEOUT_SEC = 5
READ_TIMEOUT_SEC = 30
SOURCE_READ_TIMEOUT_SEC = 15
REQUEST_TRIES = 4
CONFLICT_TRIES = 6
PART_BYTES = 8 * 1024 * 1024
MAX_PARTS = 9_000  # S3 allows 10,000
PARTS_IN_MEMORY = 4  # of a stream that comes faster than the store takes it; the library's ten are 80 MB
MAX_PRESIGN_SEC = 7 * 24 * 3600  # what Signature Version 4 allows


def make_client(settings: Settings, scheme: str = "s3", *, for_source: bool = False) -> Client:
    """A thread-safe client for `s3` or `gs` URIs; one is kept for each set of settings.

    One `for_source` neither waits long nor tries again: the source does, within its own time.
    Credentials come from the settings, or from the ambient chain (role, profile) when unset.
    Raises StorageError when only half of a key pair is set.
    """
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    if (key is None) != (secret is None):
        raise StorageError("Only half of the S3 key pair is set: set both the access key id and the secret key.")
    endpoint = settings.s3_endpoint_url or (GCS_ENDPOINT if scheme == "gs" else None)
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise StorageError("S3_ENDPOINT_URL must begin with http:// or https://.")
    # An own endpoint needs some region to sign with; R2, GCS and MinIO take this one.
    region = settings.s3_region or ("us-east-1" if endpoint else None)
    token = settings.s3_session_token if key else None
    return _client(endpoint, region, settings.s3_addressing_style, key, secret, token, for_source)


@lru_cache(maxsize=8)
def _client(
    endpoint: str | None,
    region: str | None,
    addressing_style: str,
    key: SecretStr | None,
    secret: SecretStr | None,
    token: SecretStr | None,
    for_source: bool,
) -> Client:
    session = Session(
        aws_access_key_id=key.get_secret_value() if key else None,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        aws_session_token=token.get_secret_value() if token else None,
        region_name=region,
    )
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": addressing_style},  # type: ignore[arg-type]
        connect_timeout=CONNECT_TIMEOUT_SEC,
        read_timeout=SOURCE_READ_TIMEOUT_SEC if for_source else READ_TIMEOUT_SEC,
        retries={"mode": "standard", "total_max_attempts": 1 if for_source else REQUEST_TRIES},
        max_pool_connections=32,
        # boto3's newer default checksums are refused or ignored by R2, GCS and older MinIO.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.client("s3", endpoint_url=endpoint, config=config)


class S3Store:
    """An ObjectStore in a bucket, under a prefix.

    Every method raises StorageError for a bucket that cannot be used, and ValueError for a key that is not ours.
    """

    def __init__(self, bucket: str, prefix: str, client: Client, *, scheme: str = "s3") -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._client = client
        self._scheme = scheme

    def head(self, key: str) -> ObjectInfo | None:
        place = self._place(key)
        try:
            with store_errors(self.uri(key)):
                return object_info(self._client.head_object(**place))
        except ObjectNotFound:
            return None

    def get(self, key: str) -> bytes:
        place = self._place(key)
        with store_errors(self.uri(key)):
            data: bytes = self._client.get_object(**place)["Body"].read()
            return data

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        place = self._place(key)
        with store_errors(self.uri(key)):
            self._client.put_object(**place, Body=data, ContentType=content_type)

    def put_if_absent(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """A writer whose first answer was lost on the way may meet its own object: compare what is there."""
        request = {**self._place(key), "Body": data, "ContentType": content_type}
        with store_errors(self.uri(key)):
            try:
                while_conflict(self._client.put_object, **request, IfNoneMatch="*")
                return
            except ClientError as error:
                if classify(error) is not Trouble.NOT_IMPLEMENTED:
                    raise
        self._put_unless_seen(key, request)

    def _put_unless_seen(self, key: str, request: dict[str, Any]) -> None:
        """For stores without conditional writes. Race: two writers may both win; the row's SHA-256 still decides."""
        self._check_absent(key)
        with store_errors(self.uri(key)):
            self._client.put_object(**request)

    def _check_absent(self, key: str) -> None:
        if self.head(key) is not None:
            raise ObjectExists(f"{self.uri(key)} is already there.")

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str = "application/octet-stream",
        moved: Callable[[int], object] = lambda size_bytes: None,
    ) -> None:
        with path.open("rb") as file:
            self._upload(key, file, path.stat().st_size, content_type, moved)

    def put_stream(
        self,
        key: str,
        stream: BinaryIO,
        *,
        max_bytes: int,
        content_type: str = "application/octet-stream",
        if_absent: bool = False,
    ) -> ObjectInfo:
        if if_absent:
            self._check_absent(key)
        self._upload(key, _BoundedStream(stream, max_bytes), max_bytes, content_type)
        info = self.head(key)
        if info is None:
            raise StorageError(f"{self.uri(key)} was removed right after its upload: upload it again.")
        return info

    def get_file(self, key: str, path: Path) -> None:
        place = self._place(key)
        with temporary_file(path.parent) as file:
            with store_errors(self.uri(key)):
                self._client.download_fileobj(**place, Fileobj=file, Config=_transfer(0))
            file.flush()
            os.replace(file.name, path)

    def delete(self, key: str) -> None:
        place = self._place(key)
        try:
            with store_errors(self.uri(key)):
                self._client.delete_object(**place)
        except ObjectNotFound:  # GCS says so, S3 does not
            pass

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that begin with `prefix`, in the order of their characters."""
        return self._list(self._prefix + check_prefix(prefix))

    def _list(self, prefix: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with store_errors(f"{self._scheme}://{self._bucket}/{prefix}"):
            for page in pages:
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(self._prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        whole = self._prefix + check_folder(prefix)
        paginator = self._client.get_paginator("list_objects_v2")
        with store_errors(f"{self._scheme}://{self._bucket}/{whole}"):
            for page in paginator.paginate(Bucket=self._bucket, Prefix=whole, Delimiter="/"):
                for item in page.get("CommonPrefixes", ()):
                    yield item["Prefix"].removeprefix(whole).rstrip("/")

    def untouched_seconds(self, prefix: str) -> float | None:
        whole = self._prefix + check_folder(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=whole)
        with store_errors(f"{self._scheme}://{self._bucket}/{whole}"):
            written = [item["LastModified"] for page in pages for item in page.get("Contents", ())]
        return (datetime.now(UTC) - max(written)).total_seconds() if written else None

    def source(self, key: str) -> S3Source:
        return S3Source(self._client, self._bucket, self._place(key)["Key"], scheme=self._scheme)

    def uri(self, key: str) -> str:
        return f"{self._scheme}://{self._bucket}/{self._prefix}{check_key(key)}"

    def presign_get(self, key: str, *, expires_sec: int, filename: str | None = None) -> str | None:
        params = self._place(key)
        if filename is not None:
            params["ResponseContentDisposition"] = content_disposition(filename)
        with store_errors(self.uri(key)):
            url: str = self._client.generate_presigned_url(
                "get_object", Params=params, ExpiresIn=min(expires_sec, MAX_PRESIGN_SEC)
            )
            return url

    def presign_put(
        self, key: str, *, size_bytes: int, content_type: str, expires_sec: int, if_absent: bool
    ) -> SignedPut | None:
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        params = {**self._place(key), "ContentType": content_type, "ContentLength": size_bytes, **condition}
        with store_errors(self.uri(key)):
            url = self._client.generate_presigned_url(
                "put_object", Params=params, ExpiresIn=min(expires_sec, MAX_PRESIGN_SEC)
            )
        headers = {"Content-Type": content_type, "Content-Length": str(size_bytes)}
        return SignedPut(url, headers | ({"If-None-Match": "*"} if if_absent else {}))

    def parts(self) -> S3Parts:
        return S3Parts(self._client, self._place, self.uri)

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}

    def _upload(
        self,
        key: str,
        file: BinaryIO | _BoundedStream,
        max_bytes: int,
        content_type: str,
        moved: Callable[[int], object] | None = None,
    ) -> None:
        upload(self._client, self._place(key), self.uri(key), file, max_bytes, content_type, moved)


class _BoundedStream:
    """A stream that raises UploadTooLarge past its bound, and whose reads are short only at the end.

    s3transfer takes a short read for the last part, and a socket's reads are short at any time.
    """

    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._left_bytes = max_bytes

    def read(self, size: int = -1) -> bytes:
        parts: list[bytes] = []
        while size != 0 and (part := self._stream.read(min(size, PART_BYTES) if size > 0 else PART_BYTES)):
            self._left_bytes -= len(part)
            if self._left_bytes < 0:
                raise UploadTooLarge(f"The upload is larger than {self._max_bytes} bytes: send a smaller file.")
            parts.append(part)
            size = size - len(part) if size > 0 else size
        return b"".join(parts)


def upload(
    client: Client,
    place: dict[str, str],
    uri: str,
    file: BinaryIO | _BoundedStream,
    max_bytes: int,
    content_type: str,
    moved: Callable[[int], object] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """One PUT, or a multipart upload that is aborted when the file's read raises. `moved` hears of bytes sent."""
    named = {"ContentType": content_type, **({"Metadata": dict(metadata)} if metadata else {})}
    with store_errors(uri):
        client.upload_fileobj(file, **place, ExtraArgs=named, Callback=moved, Config=_transfer(max_bytes))


def while_conflict(put_object: Any, **request: Any) -> None:
    """Tries again while others write the same key: S3 answers 409 to some of them and asks for just this."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, S3_ERRORS) and classify(error) is Trouble.CONFLICT
        ),
        stop=tenacity.stop_after_attempt(CONFLICT_TRIES),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=2),
        reraise=True,
    )
    retrying(put_object, **request)


def part_bytes_of(size_bytes: int) -> int:
    """How large the parts of a multipart upload are, so that there are not too many."""
    return max(PART_BYTES, -(-size_bytes // MAX_PARTS))


def _transfer(max_bytes: int) -> TransferConfig:
    part_bytes = part_bytes_of(max_bytes)
    config = TransferConfig(multipart_threshold=part_bytes, multipart_chunksize=part_bytes, max_concurrency=4)
    config.max_in_memory_upload_chunks = PARTS_IN_MEMORY
    return config

"""S3's multipart uploads: the bytes go from the client to the bucket, by links that are signed for one part each."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import urllib3
from botocore.exceptions import ClientError

from backend.errors import ChecksumMismatch, InvalidRequest, ObjectNotFound, StorageError, UploadBusy
from backend.storage.base import ObjectInfo, SignedPut
from backend.storage.parts import BLOCK_BYTES, Begun, Cut, Part
from backend.storage.s3_errors import Trouble, classify, store_errors
from backend.storage.s3_source import Client, object_info

LEAST_PART_BYTES = 5 * 2**20  # S3's own bound, for all parts but the last
SHA256 = "SHA256"
CONNECT_SEC, READ_SEC = 5.0, 60.0
OWN_LINK_SEC = 300
# What a store says of parts that are not those it was asked to join.
_OTHER_PARTS = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall"}
_WRONG_BYTES = {"BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest"}
_CODE = re.compile(rb"<Code>(\w{1,100})</Code>")


class S3Parts:
    """A PartStore. `place` is of a key in the bucket, `uri` is for messages."""

    least_part_bytes = LEAST_PART_BYTES

    def __init__(self, client: Client, place: Callable[[str], dict[str, str]], uri: Callable[[str], str]) -> None:
        self._client = client
        self._place = place
        self._uri = uri

    def check_room(self, size_bytes: int, floor_bytes: int) -> None:
        """A bucket has room."""

    def begin(self, key: str, cut: Cut, *, checks_parts: bool, floor_bytes: int) -> Begun:
        """A store that knows no SHA-256 of parts says so, or does not repeat that it was asked for it."""
        place = {**self._place(key), "ContentType": "application/octet-stream"}
        with store_errors(self._uri(key)):
            if not checks_parts:
                return Begun(self._client.create_multipart_upload(**place)["UploadId"], checks_parts=False)
            try:
                answer = self._client.create_multipart_upload(**place, ChecksumAlgorithm=SHA256)
            except ClientError as error:
                if classify(error) is not Trouble.NOT_IMPLEMENTED:
                    raise
                answer = self._client.create_multipart_upload(**place)
        return Begun(answer["UploadId"], checks_parts=answer.get("ChecksumAlgorithm") == SHA256)

    @contextmanager
    def alone(self, key: str, handle: str, cut: Cut, number: int | None = None) -> Iterator[None]:
        """The store itself joins only the parts that are named to it."""
        yield

    def sign(
        self, key: str, handle: str, cut: Cut, number: int, *, sha256: str | None, expires_sec: int
    ) -> SignedPut | None:
        """The signature covers the key, the upload, the part's number, its length and its checksum."""
        length = cut.length_of(number)
        headers = {"Content-Length": str(length)}
        checksum = {}
        if sha256 is not None:
            checksum = {"ChecksumSHA256": _base64(sha256)}
            headers["x-amz-checksum-sha256"] = _base64(sha256)
        params = {**self._part(key, handle), "PartNumber": number, "ContentLength": length, **checksum}
        with store_errors(self._uri(key)):
            url = self._client.generate_presigned_url("upload_part", Params=params, ExpiresIn=expires_sec)
        return SignedPut(url, headers)

    def write(
        self, key: str, handle: str, cut: Cut, number: int, stream: BinaryIO, *, sha256: str | None, floor_bytes: int
    ) -> Part:
        """Block by block through a link of our own: an SDK would hold the part in memory, to sign or to send it again.
        What has another checksum is broken off before its last block, so that the store keeps nothing of it."""
        length = cut.length_of(number)
        body = _Body(stream, length, sha256)
        signed = self.sign(key, handle, cut, number, sha256=sha256, expires_sec=OWN_LINK_SEC)
        assert signed is not None
        status, code, etag = _put(signed, body, self._uri(key))
        if code in _WRONG_BYTES:
            raise ChecksumMismatch(f"Part {number} came with another SHA-256 than was said: send it again.")
        if status == 404:
            raise ObjectNotFound("There is no such unfinished upload.")
        if not 200 <= status < 300:
            raise StorageError(f"The object store did not take part {number} ({status}, {code}): send it again.")
        return Part(number, length, body.sha256, etag)

    def stored(self, key: str, handle: str) -> list[Part] | None:
        pages = self._client.get_paginator("list_parts").paginate(**self._part(key, handle))
        with store_errors(self._uri(key)):
            return [_part_of(item) for page in pages for item in page.get("Parts", ())]

    def finish(self, key: str, handle: str, cut: Cut, parts: list[Part], *, sha256: str | None) -> ObjectInfo:
        """The store joins exactly the parts that were listed, by their etags and checksums."""
        named = {"Parts": [_named(part) for part in parts]}
        # Not found: it is completed already, by a try whose answer was lost.
        with suppress(ObjectNotFound), store_errors(self._uri(key)):
            try:
                self._client.complete_multipart_upload(**self._part(key, handle), MultipartUpload=named)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _OTHER_PARTS:
                    raise UploadBusy("A part was sent anew meanwhile: complete the upload again.") from None
                raise
        return self._whole(key, cut)

    def _whole(self, key: str, cut: Cut) -> ObjectInfo:
        """Raises ObjectNotFound, ChecksumMismatch."""
        with store_errors(self._uri(key)):
            info = object_info(self._client.head_object(**self._place(key)))
        if info.size_bytes != cut.size_bytes:
            raise ChecksumMismatch("The upload's object has another size than was said: begin a new upload.")
        return info

    def verifies_whole(self) -> bool:
        return False

    def discard(self, key: str, handle: str | None) -> None:
        """The parts first: what is completed at this moment is deleted as an object then. Without a handle the bucket's
        own rule ends them."""
        if handle is not None:
            with suppress(ObjectNotFound), store_errors(self._uri(key)):
                self._client.abort_multipart_upload(**self._part(key, handle))
        with suppress(ObjectNotFound), store_errors(self._uri(key)):
            self._client.delete_object(**self._place(key))

    def _part(self, key: str, handle: str) -> dict[str, Any]:
        return {**self._place(key), "UploadId": handle}


class _Body:
    """A part's bytes on their way through. Raises InvalidRequest for a stream that ends early, ChecksumMismatch."""

    def __init__(self, stream: BinaryIO, length: int, sha256: str | None) -> None:
        self._stream = stream
        self._left = length
        self._wanted = sha256
        self._digest = hashlib.sha256()
        self.failure: OSError | None = None  # of whoever sends

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        while self._left:
            try:
                block = self._stream.read(min(BLOCK_BYTES, self._left))
            except OSError as error:  # else it would pass for one of the way to the store
                self.failure = error
                raise
            if not block:
                raise InvalidRequest(f"The part ended {self._left} bytes early: send it again.")
            self._digest.update(block)
            self._left -= len(block)
            if not self._left and self._wanted is not None and self.sha256 != self._wanted:
                raise ChecksumMismatch("The part came with another SHA-256 than was said: send it again.")
            yield block


def _put(signed: SignedPut, body: _Body, uri: str) -> tuple[int, str, str]:
    """Status, the store's code for a refusal, and the etag. Raises StorageError."""
    timeout = urllib3.Timeout(connect=CONNECT_SEC, read=READ_SEC)
    headers = {**signed.headers, "Content-Type": "application/octet-stream"}
    try:
        with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
            answer = pool.request("PUT", signed.url, body=iter(body), headers=headers, redirect=False)
    except urllib3.exceptions.HTTPError as error:  # its words hold the link
        if body.failure is not None:
            raise body.failure from None
        raise StorageError(f"The object store of {uri} cannot be reached ({type(error).__name__}).") from None
    found = _CODE.search(answer.data[:4096])
    return answer.status, found[1].decode() if found else "", answer.headers.get("ETag", "")


def _part_of(item: dict[str, Any]) -> Part:
    checksum = item.get("ChecksumSHA256")
    sha256 = base64.b64decode(checksum).hex() if checksum else None
    return Part(item["PartNumber"], item["Size"], sha256, item["ETag"])


def _named(part: Part) -> dict[str, Any]:
    checksum = {"ChecksumSHA256": _base64(part.sha256)} if part.sha256 is not None else {}
    return {"PartNumber": part.number, "ETag": part.etag, **checksum}


def _base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()

"""A user's object to write. A film that must overwrite nothing is put on conditions: where there is no object, or over
the one that an earlier try of the same job left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from backend.errors import ObjectExists, OutputExists, OutputUnwritable
from backend.storage.files import pread_all
from backend.storage.s3 import part_bytes_of, upload, while_conflict
from backend.storage.s3_errors import S3_ERRORS, Trouble, classify, store_errors
from backend.storage.s3_source import Client

OWNER = "framefleet-job"  # metadata: which job wrote it
PARTS_AT_ONCE = 4


class S3Object:
    """Any key, exactly as it is. The object is marked with `owner`, the job that writes it; with `keeps_existing` one
    that has not this mark is never overwritten."""

    def __init__(
        self,
        bucket: str,
        key: str,
        client: Client,
        *,
        scheme: str = "s3",
        owner: str | None = None,
        keeps_existing: bool = False,
    ) -> None:
        self.uri = f"{scheme}://{bucket}/{key}"
        self._place = {"Bucket": bucket, "Key": key}
        self._client = client
        self._mark = {OWNER: owner} if owner else {}
        self._keeps_existing = keeps_existing

    def check(self) -> None:
        """Only a missing bucket is certain: whoever may not ask for a bucket may still be allowed to write there.

        Raises OutputUnwritable.
        """
        try:
            self._client.head_bucket(Bucket=self._place["Bucket"])
        except ClientError as error:
            if classify(error) in (Trouble.ABSENT, Trouble.NO_BUCKET):
                raise OutputUnwritable(
                    f"{self.uri} cannot be written: there is no such bucket. Create it, or give another place."
                ) from error
        except S3_ERRORS:
            # A store that is away now may be back when the film is done.
            return

    def check_free(self) -> None:
        """Raises OutputExists where something lies that this job may not overwrite, as far as that can be seen."""
        if self._keeps_existing:
            self._condition()

    def put_file(
        self, path: Path, *, content_type: str, moved: Callable[[int], object] = lambda size_bytes: None
    ) -> None:
        """Raises OutputExists, StorageError."""
        if not self._keeps_existing:
            return self._put_over(path, content_type, moved)
        try:
            with store_errors(self.uri):
                self._put_on(self._condition(), path, content_type, moved)
        except ObjectExists as taken:
            # A first answer that was lost on the way lets the next try meet the object that it wrote itself.
            there = self._there()
            if there is None or not self._is_own(there) or there["ContentLength"] != path.stat().st_size:
                raise self._exists() from taken

    def _put_over(self, path: Path, content_type: str, moved: Callable[[int], object]) -> None:
        with path.open("rb") as file:
            upload(self._client, self._place, self.uri, file, path.stat().st_size, content_type, moved, self._mark)

    def _put_on(self, condition: dict[str, str], path: Path, content_type: str, moved: Callable[[int], object]) -> None:
        size_bytes = path.stat().st_size
        named = {**self._place, "ContentType": content_type, "Metadata": self._mark}
        try:
            if size_bytes > part_bytes_of(size_bytes):
                return self._put_in_parts(condition, named, path, size_bytes, moved)
            while_conflict(self._client.put_object, **named, Body=path.read_bytes(), **condition)
            moved(size_bytes)
        except ClientError as error:
            if classify(error) is not Trouble.NOT_IMPLEMENTED:
                raise
            self._put_over(path, content_type, moved)  # a store without conditions; `_condition` has looked

    def _put_in_parts(
        self,
        condition: dict[str, str],
        named: dict[str, Any],
        path: Path,
        size_bytes: int,
        moved: Callable[[int], object],
    ) -> None:
        """s3transfer knows no conditions. The last request says which object the parts may become."""
        upload_id = self._client.create_multipart_upload(**named)["UploadId"]
        try:
            parts = list(self._parts(upload_id, path, size_bytes, moved))
            while_conflict(
                self._client.complete_multipart_upload,
                **self._place,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
                **condition,
            )
        except BaseException:
            with store_errors(self.uri):
                self._client.abort_multipart_upload(**self._place, UploadId=upload_id)
            raise

    def _parts(
        self, upload_id: str, path: Path, size_bytes: int, moved: Callable[[int], object]
    ) -> Iterator[dict[str, Any]]:
        part_bytes = part_bytes_of(size_bytes)
        with path.open("rb") as file, ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="film-part") as pool:

            def put(number: int) -> dict[str, Any]:
                data = pread_all(file.fileno(), (number - 1) * part_bytes, part_bytes)
                answer = self._client.upload_part(**self._place, UploadId=upload_id, PartNumber=number, Body=data)
                moved(len(data))
                return {"PartNumber": number, "ETag": answer["ETag"]}

            yield from pool.map(put, range(1, -(-size_bytes // part_bytes) + 1))

    def _condition(self) -> dict[str, str]:
        """What must hold when the object is written. Raises OutputExists."""
        there = self._there()
        if there is None:
            return {"IfNoneMatch": "*"}
        if not self._is_own(there):
            raise self._exists()
        return {"IfMatch": there["ETag"]}

    def _there(self) -> Any:
        """What lies there; None for nothing, and where nobody says: the condition decides then."""
        try:
            return self._client.head_object(**self._place)
        except S3_ERRORS:
            return None

    def _is_own(self, there: Any) -> bool:
        return bool(self._mark) and there.get("Metadata", {}).get(OWNER) == self._mark[OWNER]

    def _exists(self) -> OutputExists:
        return OutputExists(f"{self.uri} is there already and is not overwritten: give another output_uri.")

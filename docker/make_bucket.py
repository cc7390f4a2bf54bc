"""Makes the bucket of STORAGE_URL where it is not there yet: `python docker/make_bucket.py`, once before the rest."""

from __future__ import annotations

import sys

from botocore.exceptions import BotoCoreError, ClientError

from backend.settings import get_settings
from backend.storage.names import split_object_uri
from backend.storage.s3 import make_client

ALREADY_THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def main() -> int:
    settings = get_settings()
    bucket, _ = split_object_uri(settings.storage_root_url)
    try:
        make_client(settings).create_bucket(Bucket=bucket)
    except ClientError as refusal:
        if refusal.response["Error"]["Code"] not in ALREADY_THERE:
            return _complain(f"The bucket {bucket} cannot be made: {refusal}")
    except BotoCoreError as failure:
        return _complain(f"S3_ENDPOINT_URL ({settings.s3_endpoint_url}) does not answer: {failure}")
    return 0


def _complain(words: str) -> int:
    print(words, file=sys.stderr)  # noqa: T201 - a command's own words
    return 1


if __name__ == "__main__":
    sys.exit(main())

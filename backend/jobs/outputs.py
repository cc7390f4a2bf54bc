"""Where a job's upload lies; where its film goes, and what it is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import UUID

from backend.errors import UnsupportedInput
from backend.jobs.claims import JobClaim
from backend.settings import Settings
from backend.storage import open_store
from backend.storage.base import ObjectStore
from backend.storage.names import check_key, split_object_uri

MAX_STEM_CHARACTERS = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class OutputPlace:
    store: ObjectStore
    key: str
    is_own: bool  # in this installation's store, so that the API can serve it


def output_place(claim: JobClaim, suffix: str, own: ObjectStore, settings: Settings) -> OutputPlace:
    """`output_uri` of the request; else beside an s3:// or gs:// input; else OUTPUT_BUCKET for http(s) inputs; else,
    and for an upload, in the job's own folder."""
    name = output_name(claim.input_name, suffix)
    if claim.output_uri:
        return _at(claim.output_uri, settings)
    is_upload = claim.input_uri == own.uri(source_key(claim.job_id))
    scheme = claim.input_uri.partition("://")[0].lower()
    if scheme in ("s3", "gs") and not is_upload:
        folder = claim.input_uri.rpartition("/")[0]
        try:
            return _at(f"{folder}/{name}", settings)
        except (ValueError, UnsupportedInput):  # a folder whose name our keys do not allow
            pass
    if scheme in ("http", "https") and settings.output_bucket:
        bucket = settings.output_bucket
        return _at(f"{bucket if '://' in bucket else 's3://' + bucket}/{name}", settings)
    return OutputPlace(own, f"jobs/{claim.job_id}/output/{name}", is_own=True)


def source_key(job_id: UUID) -> str:
    """Where an upload lies."""
    return f"jobs/{job_id}/source"


def output_name(input_name: str, suffix: str) -> str:
    """A safe file name made from what the user calls the input."""
    stem = _UNSAFE.sub("_", PurePosixPath(input_name.replace("\\", "/")).stem).strip("._")[:MAX_STEM_CHARACTERS]
    return f"{stem or 'video'}{suffix}.mp4"


def _at(uri: str, settings: Settings) -> OutputPlace:
    bucket, key = split_object_uri(uri)
    scheme = uri.partition("://")[0]
    store = open_store(settings.model_copy(update={"storage_url": f"{scheme}://{bucket}"}))
    return OutputPlace(store, check_key(key), is_own=False)

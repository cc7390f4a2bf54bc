"""Where a job's result may go, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypedDict
from uuid import UUID

from backend.errors import InvalidValue, StorageError, UnsupportedInput
from backend.jobs.layout import output_key, source_key
from backend.kinds.output_type import OutputType, name_in_url
from backend.queue.claims import JobClaim
from backend.settings import Settings
from backend.storage import open_destination
from backend.storage.base import Destination, ObjectStore
from backend.storage.guard import parse_target, safe_url
from backend.storage.names import (
    MAX_S3_KEY_BYTES,
    derived_name,
    is_object_uri,
    name_in,
    scheme_of,
    shortened,
    split_object_uri,
    tame_name,
)

MAX_STEM_CHARACTERS = 100
MIN_NAME_BYTES = 100  # below that a folder leaves no room for names that tell films apart
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class Marks(TypedDict):
    owner: str
    keeps_existing: bool


@dataclass(frozen=True)
class OutputPlace:
    """One place for the result. `own_key`: it is in this installation's store, so that the API can serve it.

    `is_given`: the request names it, so nobody else has to be asked.
    """

    destination: Destination
    own_key: str | None = None
    is_given: bool = False

    @property
    def uri(self) -> str:
        return self.destination.uri


class OwnObject:
    """A destination in this installation's store."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self.uri = store.uri(key)
        self._store, self._key = store, key

    def check(self) -> None:
        """Our own store takes the job's other objects too."""

    def check_free(self) -> None:
        """Nobody else writes into the job's own folder."""

    def put_file(
        self, path: Path, *, content_type: str, moved: Callable[[int], object] = lambda size_bytes: None
    ) -> None:
        self._store.put_file(self._key, path, content_type=content_type, moved=moved)


def output_places(claim: JobClaim, output: OutputType, own: ObjectStore, settings: Settings) -> Iterator[OutputPlace]:
    """`output_put_url` or `output_uri` of the request; else beside an s3:// or gs:// input; else OUTPUT_BUCKET for
    http(s) inputs; else, and for an upload or a version, in the job's own folder.

    The best first: outside of the job's own folder another job's film may have a name already. Nobody else can have
    the last. Raises UnsupportedInput, StorageError.
    """
    marks: Marks = {"owner": str(claim.job_id), "keeps_existing": claim.keeps_existing}
    if claim.output_put_url or claim.output_uri:
        given = open_destination(claim.output_put_url or claim.output_uri or "", settings, **marks)
        yield OutputPlace(given, is_given=True)
        return
    tail = output.tail(claim.output_ending)
    folder, name = _folder_outside(claim, own, settings)
    if claim.version_of is not None:  # whoever tries one after another fills nobody's folder
        folder = None
    if folder is not None:
        for candidate in _names(name, output.suffix, tail, claim.job_id, _room_bytes(folder)):
            yield OutputPlace(open_destination(folder + candidate, settings, **marks))
        return
    key = output_key(claim.job_id, output_name(claim.input_name, tail))
    yield OutputPlace(OwnObject(own, key), key)


def output_name(input_name: str, tail: str) -> str:
    """A name for a key of ours, made from what the user calls the input."""
    stem = _UNSAFE.sub("_", PurePosixPath(input_name.replace("\\", "/")).stem).strip("._")[:MAX_STEM_CHARACTERS]
    return f"{stem or 'video'}{tail}"


def check_put_url(put_url: str, output: OutputType) -> None:
    """Raises UnsupportedInput for what is no http(s) URL, InvalidValue for another container."""
    try:
        parse_target(put_url)
    except UnsupportedInput as error:
        raise UnsupportedInput(f"output_put_url: {error.message}") from None
    output.check_name(name_in_url(put_url), safe_url(put_url))


def check_output_uri(input_uri: str, output_uri: str, output: OutputType) -> None:
    """Raises UnsupportedInput for what is no object, InvalidValue for the input itself or for another container."""
    bucket, key = split_object_uri(output_uri)
    if not is_object_uri(output_uri) or not key or key.endswith("/"):
        raise UnsupportedInput(f"{output_uri:.300} names no object: write s3://bucket/name or gs://bucket/name.")
    output.check_name(key, output_uri)
    # Both schemes may lead to one store, in which no name is spelt in two ways.
    if is_object_uri(input_uri) and split_object_uri(input_uri) == (bucket, key):
        raise InvalidValue(f"{output_uri:.300} is the input itself, which is never overwritten: give another place.")


def check_free(output_uri: str, settings: Settings) -> None:
    """At a glance, for a job that is about to be made: the place is looked at again before the work, and written on
    condition. Raises OutputExists."""
    with suppress(StorageError):
        open_destination(output_uri, settings, keeps_existing=True, hasty=True).check_free()


def _folder_outside(claim: JobClaim, own: ObjectStore, settings: Settings) -> tuple[str | None, str]:
    """The user's folder that the film goes to, with its last slash, and the name that it is derived from."""
    uri, bucket = claim.input_uri, settings.output_bucket
    folder: str | None = None
    name = ""
    if is_object_uri(uri) and uri != own.uri(source_key(claim.source_owner)):
        folder, slash, name = uri.rpartition("/")
        folder += slash
    elif scheme_of(uri) in ("http", "https") and bucket:
        folder = (bucket if "://" in bucket else f"s3://{bucket}").rstrip("/") + "/"
        name = tame_name(name_in(uri))
    if folder is None or _room_bytes(folder) < MIN_NAME_BYTES:
        return None, ""
    return folder, name


def _names(name: str, suffix: str, tail: str, job_id: UUID, room_bytes: int) -> Iterator[str]:
    yield derived_name(name, tail, room_bytes)
    yield shortened(name, tail, name, room_bytes)  # a.mov beside a.mp4
    yield derived_name(name, f"{suffix}_{job_id}{tail.removeprefix(suffix)}", room_bytes)


def _room_bytes(folder: str) -> int:
    return MAX_S3_KEY_BYTES - len(split_object_uri(folder)[1].encode())

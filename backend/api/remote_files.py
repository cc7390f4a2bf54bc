"""/api/v1/remote: the bytes that a remote worker may read and write under its claim.

Where the store signs links they go past the API; where it does not, through it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, BinaryIO, cast

from flask import Response, jsonify, redirect, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from backend.api import schemas
from backend.api.access import own_access
from backend.api.answers import a_file, bytes_body
from backend.api.context import context
from backend.api.files import send_object, send_source
from backend.api.remote import SECURITY, by_token
from backend.api.remote_caller import MAX_BODY_BYTES, caller, check_caller, held, holder_of_link, signed_path
from backend.errors import InvalidValue, ObjectExists, StorageError, UploadTooLarge
from backend.jobs.chunk_place import key_of, step_of
from backend.jobs.further_inputs import open_input
from backend.jobs.layout import PREVIEW_TYPE, plan_key, preview_key, source_key
from backend.jobs.sources import is_copied
from backend.kinds import kind_named
from backend.kinds.base import JSON_TYPE
from backend.queue import messages as m
from backend.queue.claims import ChunkClaim
from backend.queue.remote_workers import held_chunk
from backend.settings import Settings
from backend.storage import open_source, public_url
from backend.storage.names import check_key, is_object_uri, scheme_of, split_object_uri

# Long enough to begin; what takes longer asks again under its claim.
READ_SECONDS = 900
WRITE_SECONDS = 900
REPLACE_SECONDS = 120  # what may be written over is not left open for long
BYTES = "application/octet-stream"
MAX_JSON_BYTES = 256 * 2**20  # far above what a chunk of a crowd takes
PROBLEMS: dict[Any, Any] = {"4XX": schemas.Problem, "5XX": schemas.Problem}

blueprint = APIBlueprint(
    "remote_files",
    __name__,
    url_prefix=m.REMOTE_PATH,
    abp_tags=[Tag(name="remote workers")],
    abp_security=[{SECURITY: []}],
    abp_responses=PROBLEMS,
)
blueprint.before_request(check_caller)
# Whoever fetches a link has no token: its signature stands for it.
links = APIBlueprint(
    "remote_links",
    __name__,
    url_prefix=f"{m.REMOTE_PATH}/links",
    abp_tags=[Tag(name="remote workers")],
    abp_responses=PROBLEMS,
)


class LinkPath(m.ClaimPath):
    worker_id: int = Field(ge=1, lt=2**53)
    number: int = Field(ge=0, le=1000)


class LinkQuery(BaseModel):
    signature: str = Field(max_length=64)


class ObjectPath(m.ClaimPath):
    name: str = Field(max_length=200, pattern=r"^[A-Za-z0-9._-]+$")


class PutQuery(BaseModel):
    if_absent: bool = True


@blueprint.post(
    "/chunks/<int:chunk_id>/<int:attempts>/input", summary="Where an input is read", responses={200: m.InputPlace}
)
@by_token
def place_of_input(path: m.ClaimPath, body: m.WantedInput) -> Response:
    """The source, or a further input that the parameters name, in the version that was planned."""
    claim = held(path)
    number = 0 if body.uri is None else 1 + _named(claim).index(_checked(claim, body.uri))
    is_copy = number == 0 and is_copied(claim.input_uri, claim.source_etag)
    if is_copy:
        etag = context().store.source(source_key(claim.source_owner, claim.source_etag)).info.etag
    elif number == 0:
        etag = open_source(_own(claim.input_uri), context().settings, etag=claim.source_etag).info.etag
    else:
        params = kind_named(claim.kind).parse_params(claim.params)
        etag = open_input(params, _own(_named(claim)[number - 1]), context().settings).info.etag
    place = m.InputPlace(path=signed_path(claim, number), is_copy=is_copy, etag=etag)
    return jsonify(place.model_dump())


@links.get(
    "/<int:worker_id>/<int:chunk_id>/<int:attempts>/<int:number>",
    summary="An input's bytes, by range",
    responses=a_file(BYTES, moved=307),
)
@own_access("the link's signature")
def linked_input(path: LinkPath, query: LinkQuery) -> Any:
    """In force while the claim is held. A redirect to a signed URL where the store has them."""
    claim = holder_of_link(path.worker_id, path.chunk_id, path.attempts, path.number, query.signature)
    settings = context().settings
    uri = _own(_place(claim, path.number))
    if is_object_uri(uri):
        return redirect(_signed(uri, settings), 307)
    return send_source(open_source(uri, settings), BYTES)


@blueprint.get(
    "/chunks/<int:chunk_id>/<int:attempts>/artifact",
    summary="What an earlier try left",
    responses=a_file(BYTES, moved=307),
)
@by_token
def read_artifact(path: m.ClaimPath) -> Any:
    return _given(key_of(held(path)))


@blueprint.get(
    "/chunks/<int:chunk_id>/<int:attempts>/objects/<string:name>",
    summary="What the step before wrote",
    responses=a_file(BYTES, moved=307),
)
@by_token
def read_object(path: ObjectPath) -> Any:
    claim = held(path)
    try:
        key = check_key(plan_key(claim.job_id, claim.plan["phase"], claim.plan["attempt"], path.name))
    except (KeyError, ValueError):
        raise InvalidValue("name: there is no such object of this phase.") from None
    return _given(key)


@blueprint.post(
    "/chunks/<int:chunk_id>/<int:attempts>/upload", summary="Where the artifact goes", responses={200: m.UploadPlace}
)
@by_token
def place_of_artifact(path: m.ClaimPath, body: m.WantedUpload) -> Response:
    """With `if_absent` it is written only where there is none."""
    claim, store = held(path), context().store
    key = key_of(claim)
    if body.size_bytes > _room_bytes(claim):
        raise UploadTooLarge(f"An artifact of this step has at most {_room_bytes(claim)} bytes.")
    if body.if_absent and not body.conditional and store.head(key) is not None:
        raise ObjectExists("The chunk has an artifact already.")
    own = f"{m.REMOTE_PATH}/chunks/{claim.chunk_id}/{claim.attempts}/artifact?if_absent={str(body.if_absent).lower()}"
    return jsonify(_upload_place(key, body, step_of(claim).content_type, own).model_dump())


@blueprint.put(
    "/chunks/<int:chunk_id>/<int:attempts>/artifact",
    summary="The artifact, where no link is signed",
    responses={201: None},
    request_body=bytes_body(),
)
@by_token
def write_artifact(path: m.ClaimPath, query: PutQuery) -> tuple[str, int]:
    """A body that ends after the claim is written nowhere."""
    claim = held(path)
    _take(claim, if_absent=query.if_absent)
    return "", 201


@blueprint.post(
    "/chunks/<int:chunk_id>/<int:attempts>/preview/upload",
    summary="Where the chunk's small film goes",
    responses={200: m.UploadPlace},
)
@by_token
def place_of_preview(path: m.ClaimPath, body: m.WantedUpload) -> Response:
    """Written once, beside the artifact, before the chunk is completed. A chunk needs none."""
    claim, store = _seeing(held(path)), context().store
    key = preview_key(key_of(claim))
    if body.size_bytes > m.MAX_PREVIEW_BYTES:
        raise UploadTooLarge(f"A preview has at most {m.MAX_PREVIEW_BYTES} bytes.")
    if not body.if_absent or (not body.conditional and store.head(key) is not None):
        raise ObjectExists("A preview is written once.")
    own = f"{m.REMOTE_PATH}/chunks/{claim.chunk_id}/{claim.attempts}/preview"
    return jsonify(_upload_place(key, body, PREVIEW_TYPE, own).model_dump())


@blueprint.put(
    "/chunks/<int:chunk_id>/<int:attempts>/preview",
    summary="The chunk's small film, where no link is signed",
    responses={201: None},
    request_body=bytes_body(),
)
@by_token
def write_preview(path: m.ClaimPath) -> tuple[str, int]:
    """A body that ends after the claim is written nowhere."""
    claim = _seeing(held(path))
    request.max_content_length = m.MAX_PREVIEW_BYTES
    context().store.put_stream(
        preview_key(key_of(claim)),
        cast(BinaryIO, _WhileHeld(cast(BinaryIO, request.stream), claim)),
        max_bytes=m.MAX_PREVIEW_BYTES,
        content_type=PREVIEW_TYPE,
        if_absent=True,
    )
    return "", 201


@blueprint.post("/probe", summary="Where a worker tries the store", responses={200: m.ProbePlaces})
@by_token
def probe(body: m.WantedUpload) -> Response:
    """A small object of its own, to be written and read again."""
    if body.size_bytes > MAX_BODY_BYTES:
        raise UploadTooLarge(f"A worker tries the store with at most {MAX_BODY_BYTES} bytes.")
    key = _probe_key()
    put = _upload_place(key, body, BYTES, f"{m.REMOTE_PATH}/probe")
    url = context().store.presign_get(key, expires_sec=READ_SECONDS)
    return jsonify(m.ProbePlaces(put=put, get_url=url).model_dump())


@blueprint.put(
    "/probe",
    summary="The worker's small object, where no link is signed",
    responses={201: None},
    request_body=bytes_body(),
)
@by_token
def write_probe() -> tuple[str, int]:
    context().store.put_stream(_probe_key(), cast(BinaryIO, request.stream), max_bytes=request.max_content_length or 0)
    return "", 201


@blueprint.get("/probe", summary="The worker's small object", responses=a_file(BYTES, moved=307))
@by_token
def read_probe() -> Any:
    return _given(_probe_key())


def _place(claim: ChunkClaim, number: int) -> str:
    """Where the input of that number lies. Raises InvalidValue."""
    if number == 0 and is_copied(claim.input_uri, claim.source_etag):
        return context().store.uri(source_key(claim.source_owner, claim.source_etag))
    places: list[str] = [claim.input_uri, *(_named(claim) if number else ())]
    if number >= len(places):
        raise InvalidValue("There is no such input.")
    return places[number]


def _upload_place(key: str, wanted: m.WantedUpload, content_type: str, own_path: str) -> m.UploadPlace:
    if_absent = wanted.if_absent and wanted.conditional
    signed = context().store.presign_put(
        key,
        size_bytes=wanted.size_bytes,
        content_type=content_type,
        expires_sec=WRITE_SECONDS if if_absent else REPLACE_SECONDS,
        if_absent=if_absent,
    )
    if signed is None:
        headers = {"Content-Type": BYTES, "Content-Length": str(wanted.size_bytes)}
        return m.UploadPlace(url=None, path=own_path, headers=headers)
    return m.UploadPlace(url=signed.url, path=None, headers=dict(signed.headers))


class _WhileHeld:
    """A body, read for as long as the claim holds. A store may read it in another thread, where no request is known."""

    def __init__(self, stream: BinaryIO, claim: ChunkClaim) -> None:
        self._stream = stream
        self._look = partial(held_chunk, context().database, caller(), claim.chunk_id, claim.attempts)

    def read(self, size_bytes: int = -1) -> bytes:
        """Raises ClaimLost."""
        part = self._stream.read(size_bytes)
        self._look()
        return part


def _take(claim: ChunkClaim, *, if_absent: bool) -> None:
    request.max_content_length = m.MAX_ARTIFACT_BYTES
    stream = cast(BinaryIO, _WhileHeld(cast(BinaryIO, request.stream), claim))
    content_type = step_of(claim).content_type
    context().store.put_stream(
        key_of(claim), stream, max_bytes=_room_bytes(claim), content_type=content_type, if_absent=if_absent
    )


def _seeing(claim: ChunkClaim) -> ChunkClaim:
    """The claim. Raises InvalidValue where its step looks at no pictures."""
    if not step_of(claim).is_sampled:
        raise InvalidValue("Chunks of this phase have no previews.")
    return claim


def _room_bytes(claim: ChunkClaim) -> int:
    """Others parse JSON as a whole, for this job and for later ones: it must not fill their memory."""
    return MAX_JSON_BYTES if step_of(claim).content_type == JSON_TYPE else m.MAX_ARTIFACT_BYTES


def _given(key: str) -> Any:
    """A redirect to a signed URL, or the bytes. Raises ObjectNotFound."""
    store = context().store
    url = store.presign_get(key, expires_sec=READ_SECONDS)
    return send_object(store, key, BYTES) if url is None else redirect(url, 307)


def _named(claim: ChunkClaim) -> list[str]:
    """The further inputs that the parameters name."""
    return [uri for _, uri in kind_named(claim.kind).parse_params(claim.params).inputs()]


def _checked(claim: ChunkClaim, uri: str) -> str:
    if uri not in _named(claim):
        raise InvalidValue("uri: the job's parameters do not name it.")
    return uri


def _own(uri: str) -> str:
    """Raises InvalidValue for what the worker reads itself, past the guard of its own."""
    if scheme_of(uri) in ("http", "https"):
        raise InvalidValue("uri: read it where it is; this server fetches nothing for others.")
    return uri


def _signed(uri: str, settings: Settings) -> str:
    """Raises StorageError."""
    from backend.storage.presign import presign  # boto3 takes a third of a second

    try:
        return presign(uri, "GET", settings, expires_sec=READ_SECONDS)
    except StorageError:
        url = public_url(*split_object_uri(uri), settings)
        if url is None:
            raise
        return url


def _probe_key() -> str:
    return f"probes/remote-{caller().id}"

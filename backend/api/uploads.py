"""/api/v1/uploads: files that arrive in parts, each as often as it takes."""

from __future__ import annotations

import base64
from typing import Any, BinaryIO, cast
from uuid import UUID

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint, Tag

from backend.api import schemas
from backend.api import upload_schemas as u
from backend.api.access import Scope, needs
from backend.api.answers import bytes_body
from backend.api.context import context
from backend.api.digests import said_sha256
from backend.api.new_job import MAX_NAME_CHARACTERS
from backend.errors import LengthRequired
from backend.jobs.resource import API
from backend.jobs.uploads import LINK_SECONDS, Link, NewUpload, Upload
from backend.states import UploadState
from backend.storage.parts import Part

MAX_JSON_BYTES = 64 * 1024
PROBLEMS: dict[Any, Any] = {"4XX": schemas.Problem, "5XX": schemas.Problem}

blueprint = APIBlueprint(
    "uploads", __name__, url_prefix=f"{API}/uploads", abp_tags=[Tag(name="uploads")], abp_responses=PROBLEMS
)


@blueprint.before_request
def _bound_json() -> None:
    if request.method == "POST":
        request.max_content_length = MAX_JSON_BYTES


@blueprint.post("", summary="Begin an upload", responses={201: u.UploadResource})
@needs(Scope.JOBS_WRITE)
def begin_upload(body: u.UploadRequest) -> Response:
    """The answer says into how many parts of which length the file is to be cut."""
    upload = context().uploads.begin(
        NewUpload(
            name=body.name[:MAX_NAME_CHARACTERS],
            size_bytes=body.size_bytes,
            content_type=body.content_type,
            sha256=body.sha256,
            checks_parts=body.part_checksum is not None,
        )
    )
    response = _shown(upload)
    response.status_code = 201
    response.headers["Location"] = _path(upload.id)
    return response


@blueprint.get("/<uuid:upload_id>", summary="Which parts are there", responses={200: u.UploadResource})
@needs(Scope.JOBS_WRITE)
def get_upload(path: u.UploadPath) -> Response:
    """Whoever has the file can go on from here."""
    return _shown(context().uploads.get(path.upload_id))


@blueprint.post("/<uuid:upload_id>/parts", summary="Where parts go", responses={200: u.PartLinks})
@needs(Scope.JOBS_WRITE)
def link_parts(path: u.UploadPath, body: u.WantedParts) -> Response:
    """Links for parts: to the object store where it signs them, for five minutes and one part each; else to the API."""
    wanted = [(part.number, part.sha256) for part in body.parts]
    links = context().uploads.links(path.upload_id, wanted)
    digests = {part.number: part.sha256 for part in body.parts}
    shown = [_link(path.upload_id, link, digests[link.number]).model_dump() for link in links]
    return jsonify({"parts": shown})


@blueprint.put(
    "/<uuid:upload_id>/parts/<int:number>",
    summary="Send a part",
    responses={200: u.StoredPart},
    request_body=bytes_body(),
)
@needs(Scope.JOBS_WRITE)
def put_part(path: u.PartPath) -> Response:
    """The part's bytes, with their `Content-Length`. A part may be sent again. `Content-Digest` is checked, if any."""
    length = request.content_length
    if length is None:
        raise LengthRequired("Send the part with its Content-Length.")
    stream = cast(BinaryIO, request.stream)
    part = context().uploads.put(path.upload_id, path.number, length, said_sha256(), stream)
    return jsonify(_part(part).model_dump())


@blueprint.post("/<uuid:upload_id>/complete", summary="All parts are there", responses={200: u.UploadResource})
@needs(Scope.JOBS_WRITE)
def complete_upload(path: u.UploadPath) -> Response:
    """Checks sizes and checksums. Afterwards `POST /jobs` takes the upload's id as `upload`."""
    return _shown(context().uploads.complete(path.upload_id))


@blueprint.delete("/<uuid:upload_id>", summary="Give an upload up", responses={204: None})
@needs(Scope.JOBS_WRITE)
def abort_upload(path: u.UploadPath) -> tuple[str, int]:
    context().uploads.abort(path.upload_id)
    return "", 204


def _shown(upload: Upload) -> Response:
    uploads = context().uploads
    received = uploads.received(upload)
    here = _path(upload.id)
    resource = u.UploadResource(
        id=upload.id,
        name=upload.name,
        size_bytes=upload.size_bytes,
        content_type=upload.content_type,
        sha256=upload.sha256,
        state=upload.state,
        part_bytes=upload.part_bytes,
        parts=upload.cut.parts,
        part_checksum="sha256" if upload.checks_parts else None,
        checked=uploads.what_is_checked(upload),
        received=[_part(part) for part in received],
        received_bytes=(
            sum(part.size_bytes for part in received) if upload.state is UploadState.OPEN else upload.size_bytes
        ),
        created_at=upload.created_at.isoformat(),
        expires_at=upload.expires_at.isoformat(),
        links={"self": here, "parts": f"{here}/parts", "complete": f"{here}/complete", "jobs": f"{API}/jobs"},
    )
    return jsonify(resource.model_dump(mode="json"))


def _part(part: Part) -> u.StoredPart:
    return u.StoredPart(number=part.number, size_bytes=part.size_bytes, sha256=part.sha256)


def _link(upload_id: UUID, link: Link, sha256: str | None) -> u.PartLink:
    if link.signed is not None:
        url, headers, expires = link.signed.url, dict(link.signed.headers), LINK_SECONDS
    else:
        url, expires = f"{_path(upload_id)}/parts/{link.number}", None
        headers = {"Content-Length": str(link.size_bytes), "Content-Type": "application/octet-stream"}
        if sha256 is not None:
            digest = base64.b64encode(bytes.fromhex(sha256)).decode()
            headers["Content-Digest"] = f"sha-256=:{digest}:"
    return u.PartLink(
        number=link.number, size_bytes=link.size_bytes, url=url, headers=headers, expires_in_seconds=expires
    )


def _path(upload_id: UUID) -> str:
    return f"{API}/uploads/{upload_id}"

"""/api/v1/remote: the queue for workers without a database connection, each with a token of its own."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel

from backend.api import schemas
from backend.api.access import own_access
from backend.api.context import context
from backend.api.remote_caller import caller, check_caller, held
from backend.errors import CallerRefused, DatabaseUnavailable, ObjectNotFound
from backend.jobs.chunk_place import key_of
from backend.kinds import KINDS
from backend.queue import messages as m
from backend.queue.claims import ChunkClaim
from backend.queue.queue import Queue
from backend.queue.registry import Presence, WorkerRows
from backend.queue.remote_workers import REFUSED, forget_processes, release_of_remote, remote_worker
from backend.storage.names import scheme_of
from backend.telemetry import poll_failed
from backend.versions import SCHEMA_VERSION

SECURITY = "remote_worker"
by_token = own_access("the token of a remote worker")
EMPTY = ("", 204)

blueprint = APIBlueprint(
    "remote",
    __name__,
    url_prefix=m.REMOTE_PATH,
    abp_tags=[Tag(name="remote workers")],
    abp_security=[{SECURITY: []}],
    abp_responses={"4XX": schemas.Problem, "5XX": schemas.Problem},
)
blueprint.before_request(check_caller)


@blueprint.post("/hello", summary="Before anything is claimed", responses={200: m.Welcome})
@by_token
def hello(body: m.Known) -> Response:
    settings = context().settings
    context().database.ask("remote_worker_seen", id=caller().id)
    return _said(m.Welcome(name=caller().name, lease_seconds=settings.lease_seconds, schema_version=SCHEMA_VERSION))


@blueprint.post("/seen", summary="The worker lives", responses={200: m.PresentAnswer})
@by_token
def seen(body: m.Present) -> Response:
    """Every 15 seconds; the answer says whether it is to stop."""
    database = context().database
    database.ask("remote_worker_seen", id=caller().id)
    told = WorkerRows(database).seen(
        Presence(
            caller().process(body.worker),
            body.kind,
            knows=sorted(set(body.kinds) & set(KINDS)),
            schema_version=body.schema_version,
            encoders=body.has,
            trouble=body.trouble,
            begins=body.begins,
            machine=caller().name,  # the operator's own word for it
            device=body.device,
        )
    )
    forget_processes(database, caller())
    return _said(m.PresentAnswer(others_are_well=told.others_are_well, stop=told.stop))


@blueprint.post("/gone", summary="The worker stops", responses={204: None})
@by_token
def gone(body: m.Leaving) -> tuple[str, int]:
    WorkerRows(context().database).gone(caller().process(body.worker))
    return EMPTY


@blueprint.post("/claim", summary="The next chunk", responses={200: m.Given})
@by_token
def claim(body: m.Asked) -> Response:
    """Null when nothing is due. The claim is made when this answers; (chunk_id, attempts) is its fence."""
    if body.held is not None:
        release_of_remote(context().database, caller().process(body.worker) + "/", body.held)
    queue = _queue(body)
    return _said(m.Given(claim=_shown(queue.claim_chunk(body.deep_mode, body.job_id), queue)))


@blueprint.post("/queued", summary="Whether any chunk waits", responses={200: m.Queued})
@by_token
def queued(body: m.Asked) -> Response:
    return _said(m.Queued(queued=_queue(body).has_queued(body.deep_mode, body.job_id)))


@blueprint.post("/chunks/<int:chunk_id>/<int:attempts>/beat", summary="Extend the lease", responses={204: None})
@by_token
def beat(path: m.ClaimPath, body: m.Beat) -> tuple[str, int]:
    _plain_queue().heartbeat_chunk(held(path), body.progress, body.last_event)
    return EMPTY


@blueprint.post(
    "/chunks/<int:chunk_id>/<int:attempts>/complete", summary="Finish a chunk", responses={200: m.Completed}
)
@by_token
def complete(path: m.ClaimPath, body: m.Completion) -> Response:
    """Its artifact must be there. With `following` the next chunk comes along."""
    in_hand = held(path)
    key = key_of(in_hand)
    found = context().store.head(key)
    if found is None or found.size_bytes == 0:
        raise ObjectNotFound("The chunk's artifact is not there: upload it first.")
    finished = (in_hand, key, body.sha256, body.detector, body.bytes_read)
    asked = body.following
    if asked is None:
        return _said(m.Completed(job_status=_plain_queue().complete_chunk(*finished), claim=None))
    queue = _queue(asked)
    status, following = queue.complete_and_claim(*finished, deep_mode=asked.deep_mode, job_id=asked.job_id)
    return _said(m.Completed(job_status=status, claim=_shown(following, queue)))


@blueprint.post("/chunks/<int:chunk_id>/<int:attempts>/fail", summary="A try ended badly", responses={204: None})
@by_token
def fail(path: m.ClaimPath, body: m.Failure) -> tuple[str, int]:
    _plain_queue().fail_chunk(held(path), body.as_error())
    return EMPTY


@blueprint.post(
    "/chunks/<int:chunk_id>/<int:attempts>/put-back",
    summary="The worker's surroundings ended a try",
    responses={200: m.PutBack},
)
@by_token
def put_back(path: m.ClaimPath, body: m.Failure) -> Response:
    """No failure is counted."""
    return _said(m.PutBack(status=_plain_queue().put_back_chunk(held(path), body.as_error())))


@blueprint.post("/chunks/<int:chunk_id>/<int:attempts>/release", summary="Give a chunk back", responses={204: None})
@by_token
def release(path: m.ClaimPath) -> tuple[str, int]:
    _plain_queue().release_chunk(held(path))
    return EMPTY


def _plain_queue() -> Queue:
    """For what says nothing of who asks: the claim does."""
    return Queue(context().database, context().settings)


def _queue(asked: m.Known) -> Queue:
    """As the caller's process sees it."""
    app = context()
    settings = app.settings.model_copy(update={"worker_id": caller().process(asked.worker)})
    queue = Queue(app.database, settings, asked.has)
    queue.knows(asked.kinds, asked.schema_version)
    return queue


def _shown(claim: ChunkClaim | None, queue: Queue) -> m.Claimed | None:
    """The claim as the caller gets to see it: no place in our stores. Raises CallerRefused when its token was revoked
    while it was claimed: whoever revoked it could not give this chunk back."""
    database = context().database
    try:
        queue.raise_stale_floors()
        if claim is not None and remote_worker(database, caller().id) is None:
            queue.release_chunk(claim)
            raise CallerRefused(REFUSED)
    except DatabaseUnavailable as failure:  # the claim is made all the same
        poll_failed(failure)
    if claim is None:
        return None
    is_web = scheme_of(claim.input_uri) in ("http", "https")
    return m.Claimed.of(claim, claim.input_uri if is_web else None)


def _said(answer: BaseModel) -> Response:
    return jsonify(answer.model_dump(mode="json"))

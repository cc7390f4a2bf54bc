"""Which remote worker calls: by its token, or by the signature of a link that was made for it."""

from __future__ import annotations

import hashlib
import hmac

from flask import g, request

from backend.api.context import context
from backend.errors import CallerRefused
from backend.events import Event, warn
from backend.queue.claims import ChunkClaim
from backend.queue.messages import REMOTE_PATH, ClaimPath
from backend.queue.remote_workers import REFUSED, RemoteWorker, held_chunk, remote_worker, remote_worker_of

MAX_BODY_BYTES = 64 * 1024


def check_caller() -> None:
    """Before every request under a token. Raises CallerRefused."""
    request.max_content_length = MAX_BODY_BYTES
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        g.remote_worker = remote_worker_of(context().database, token.strip() if scheme.lower() == "bearer" else "")
    except CallerRefused:
        warn(Event.CALLER_REFUSED, path=request.path, address=request.environ.get("REMOTE_ADDR"))
        raise


def caller() -> RemoteWorker:
    worker: RemoteWorker = g.remote_worker
    return worker


def held(path: ClaimPath) -> ChunkClaim:
    """The claim that the request is about. Raises ClaimLost when it is not the caller's."""
    return held_chunk(context().database, caller(), path.chunk_id, path.attempts)


def signed_path(claim: ChunkClaim, number: int) -> str:
    """A link that gives the claim's source (0), or a further input, to whoever has it, while the claim holds. Messages
    and logs show no query."""
    worker = caller()
    what = f"{worker.id}/{claim.chunk_id}/{claim.attempts}/{number}"
    return f"{REMOTE_PATH}/links/{what}?signature={_signature(worker, what)}"


def holder_of_link(worker_id: int, chunk_id: int, attempts: int, number: int, signature: str) -> ChunkClaim:
    """The claim that a link is for. Raises CallerRefused, ClaimLost."""
    database = context().database
    worker = remote_worker(database, worker_id)
    what = f"{worker_id}/{chunk_id}/{attempts}/{number}"
    if worker is None or not hmac.compare_digest(_signature(worker, what).encode(), signature.encode()):
        raise CallerRefused(REFUSED)
    return held_chunk(database, worker, chunk_id, attempts)


def _signature(worker: RemoteWorker, what: str) -> str:
    """The worker itself could make it; nobody else can, and the claim is looked at besides."""
    return hmac.new(worker.token_sha256.encode(), what.encode(), hashlib.sha256).hexdigest()

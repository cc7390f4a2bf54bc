"""Machines that work over HTTPS: who they are, their tokens, and what becomes of their work when a token is revoked.

All that a remote worker claims is claimed by `remote-{id}/{name}/{process}`; it may act on nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.db.engine import Database
from backend.db.sql import statement
from backend.errors import CallerRefused, ClaimLost, InvalidRequest
from backend.events import Event, emit
from backend.media.sound_facts import as_probed
from backend.queue import lanes
from backend.queue.claims import ChunkClaim
from backend.queue.verbs import LOST

TOKEN_BYTES = 32
MAX_LISTED = 1000
MAX_PROCESSES = 100  # of one remote worker, in the list of workers
_TOKEN = re.compile(r"ff-([1-9][0-9]{0,17})-[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
REFUSED = "This token is not, or no longer, accepted here: ask for a new one (framefleet remote add NAME)."


@dataclass(frozen=True)
class RemoteWorker:
    """One whose token is in force. `token_sha256` signs its links."""

    id: int
    name: str
    token_sha256: str

    @property
    def holder(self) -> str:
        """What the names that it claims under begin with."""
        return f"remote-{self.id}/"

    def process(self, name: str) -> str:
        """What one process of it claims under."""
        return f"{self.holder}{self.name}/{name}"


@dataclass(frozen=True)
class Listed:
    name: str
    created_at: datetime
    revoked_at: datetime | None
    last_seen_at: datetime | None
    chunks_in_work: int

    def as_dict(self) -> dict[str, Any]:
        """A JSON object."""
        times = {"created_at": self.created_at, "revoked_at": self.revoked_at, "last_seen_at": self.last_seen_at}
        shown = {name: moment.isoformat() if moment else None for name, moment in times.items()}
        return {"name": self.name, **shown, "chunks_in_work": self.chunks_in_work}


def add_remote_worker(database: Database, name: str) -> str:
    """Its token, which is kept nowhere. Raises InvalidRequest for a name that is taken or no name."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest("NAME: up to 63 letters, digits, dots, dashes and underscores, a letter or digit first.")
    with database.transaction() as connection:
        added = connection.execute(statement("add_remote_worker"), {"name": name, "token_sha256": ""}).one_or_none()
        if added is None:
            raise InvalidRequest(f"There is a remote worker {name}: choose another name, or revoke that one first.")
        token = f"ff-{added.id}-{secrets.token_urlsafe(TOKEN_BYTES)}"
        connection.execute(statement("name_token"), {"id": added.id, "token_sha256": _digest(token)})
    emit(Event.REMOTE_WORKER_ADDED, name=name)
    return token


def list_remote_workers(database: Database) -> list[Listed]:
    with database.transaction() as connection:
        rows = connection.execute(statement("list_remote_workers"), {"limit": MAX_LISTED}).all()
    return [Listed(row.name, row.created_at, row.revoked_at, row.last_seen_at, row.chunks_in_work) for row in rows]


def revoke_remote_worker(database: Database, name: str) -> int:
    """From now on its token is refused, and what it holds goes back to the queue. Returns how many chunks did.

    Raises InvalidRequest when there is no such worker.
    """
    # Committed first: a claim that is on its way sees it when it looks again (give_back_if_revoked).
    revoked = database.ask("revoke_remote_worker", worker_name=name)
    if revoked is None:
        raise InvalidRequest(f"There is no remote worker {name:.63}; `framefleet remote list` says who is there.")
    emit(Event.REMOTE_WORKER_REVOKED, name=name)
    return release_of_remote(database, f"remote-{revoked['id']}/")


def remote_worker_of(database: Database, token: str) -> RemoteWorker:
    """Whose token it is. Raises CallerRefused, in the same words for whatever is wrong."""
    match = _TOKEN.fullmatch(token)
    worker = remote_worker(database, int(match[1])) if match else None
    if worker is None or not hmac.compare_digest(worker.token_sha256, _digest(token)):
        raise CallerRefused(REFUSED)
    return worker


def remote_worker(database: Database, worker_id: int) -> RemoteWorker | None:
    """None for one that is not there, or was revoked."""
    row = database.ask("remote_worker", id=worker_id)
    return None if row is None else RemoteWorker(**row)


def forget_processes(database: Database, worker: RemoteWorker) -> None:
    """All but the last ones that spoke."""
    with database.transaction() as connection:
        connection.execute(statement("forget_remote_processes"), {"holder": worker.holder, "most": MAX_PROCESSES})


def held_chunk(database: Database, worker: RemoteWorker, chunk_id: int, attempts: int) -> ChunkClaim:
    """The claim, if it is this worker's. Raises ClaimLost."""
    row = database.ask("held_chunk", chunk_id=chunk_id, attempts=attempts, holder=worker.holder)
    if row is None:
        raise ClaimLost(LOST)
    probe = row.pop("probe")
    return ChunkClaim(**row, probed=as_probed(probe))


def release_of_remote(database: Database, holder: str, held: Iterable[tuple[int, int]] = ()) -> int:
    """Gives back what is claimed under names that begin so, but for the claims `held`. Returns how many chunks."""
    known = "{" + ",".join(f"{int(chunk_id)}.{int(attempts)}" for chunk_id, attempts in held) + "}"
    with database.transaction() as connection:
        rows = connection.execute(statement("release_chunks_of_remote"), {"holder": holder, "held": known}).all()
        lanes.lower_floors(connection, [row for row in rows if row.status == "queued"])
    for row in rows:
        ids = {"job_id": str(row.job_id), "chunk_index": row.chunk_index, "attempt": row.attempts}
        emit(Event.CHUNK_RELEASED, **ids, of=holder)
    return len(rows)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

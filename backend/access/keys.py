"""Keys to the API: made, listed, revoked, looked up.

A key is `ff_<id>_<secret>`. The secret has 256 random bits, so nobody finds it by trying: its hash needs no salt and
must not be slow, as it is made anew for every request.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.access.scopes import Scope
from backend.access.tenants import DEFAULT_TENANT, add_tenant
from backend.db.engine import Database
from backend.db.sql import statement
from backend.errors import InvalidRequest
from backend.events import Event, emit

ID_BYTES, SECRET_BYTES = 5, 32  # 8 and 52 characters
MAX_LISTED = 1000
MAX_LASTS_SEC = 10 * 366 * 86_400.0
MAX_SESSIONS = 100  # of one key; the oldest end
# What somebody needs who sends in films and fetches them. The others are asked for by name.
USUAL_SCOPES = (Scope.JOBS_READ, Scope.JOBS_WRITE)
_KEY = re.compile(r"ff_([a-z2-7]{8})_[a-z2-7]{52}")
_STORED = re.compile(r"([a-z2-7]{8}):([0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_KNOWN = frozenset(scope.value for scope in Scope)


@dataclass(frozen=True)
class StoredKey:
    """A key as its row says it, at the moment when it was read."""

    id: str
    name: str
    tenant: str
    scopes: frozenset[Scope]
    secret_sha256: str
    is_revoked: bool
    left_sec: float | None  # until it expires; None: it does not
    is_noted: bool  # `last_used_at` is new enough


@dataclass(frozen=True)
class Listed:
    id: str
    name: str
    tenant: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    state: str  # in force, expired, revoked

    def as_dict(self) -> dict[str, Any]:
        """A JSON object. `prefix` is how the key begins, for whoever finds one and asks whose it is."""
        times = ("created_at", "expires_at", "last_used_at", "revoked_at")
        moments = {name: getattr(self, name) for name in times}
        return {
            "name": self.name,
            "prefix": f"ff_{self.id}_",
            "tenant": self.tenant,
            "scopes": self.scopes,
            "state": self.state,
            **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
        }


def make_key() -> tuple[str, str]:
    """A key, and what of it may be stored: `id:hash`. Nobody knows it yet."""
    key_id = _random(ID_BYTES)
    key = f"ff_{key_id}_{_random(SECRET_BYTES)}"
    return key, f"{key_id}:{digest(key)}"


def create_key(
    database: Database,
    name: str,
    *,
    tenant: str = DEFAULT_TENANT,
    scopes: Iterable[Scope] = USUAL_SCOPES,
    lasts_sec: float | None = None,
) -> str:
    """A new key, in force and kept nowhere. Raises what `add_key` raises."""
    key, stored = make_key()
    add_key(database, name, stored, tenant=tenant, scopes=scopes, lasts_sec=lasts_sec)
    return key


def add_key(
    database: Database,
    name: str,
    stored: str,
    *,
    tenant: str = DEFAULT_TENANT,
    scopes: Iterable[Scope] = USUAL_SCOPES,
    lasts_sec: float | None = None,
) -> None:
    """Puts a key into force by what `make_key` says may be stored. A tenant that there is not yet is made with it.

    Raises InvalidRequest for a name that is taken or no name, for no scopes, and for a time that is none.
    """
    asked = sorted(set(scopes))
    match = _STORED.fullmatch(stored)
    if not _NAME.fullmatch(name):
        raise InvalidRequest("NAME: up to 63 letters, digits, dots, dashes and underscores, a letter or digit first.")
    if match is None:
        raise InvalidRequest("Give what `framefleet keys make` says: eight characters, a colon and 64 digits.")
    if not asked:
        raise InvalidRequest("A key without a scope opens nothing: give at least one.")
    if lasts_sec is not None and not 0 < lasts_sec <= MAX_LASTS_SEC:
        raise InvalidRequest("A key lasts from a second to ten years.")
    row = {
        "id": match[1], "name": name, "tenant": tenant, "scopes": [scope.value for scope in asked],
        "secret_sha256": match[2], "lasts_sec": lasts_sec,
    }  # fmt: skip
    with database.transaction() as connection:
        add_tenant(connection, tenant)
        if connection.execute(statement("add_key"), row).one_or_none() is None:
            raise InvalidRequest(
                f"There is a key {name}, or this very key: choose another name, or revoke that one first."
            )
    emit(Event.KEY_CREATED, name=name, tenant=tenant, scopes=row["scopes"])


def list_keys(database: Database) -> list[Listed]:
    """The newest first, revoked ones too."""
    with database.transaction() as connection:
        rows = connection.execute(statement("list_keys"), {"limit": MAX_LISTED}).all()
    return [Listed(**row._mapping) for row in rows]


def revoke_key(database: Database, name: str) -> None:
    """It opens nothing from now on; an API that knows it refuses it within five seconds. Its sessions end with it.

    Raises InvalidRequest when there is no such key.
    """
    if database.ask("revoke_key", key_name=name) is None:
        raise InvalidRequest(f"There is no key {name:.63}; `framefleet keys list` says which there are.")
    emit(Event.KEY_REVOKED, name=name)


def has_keys(database: Database) -> bool:
    """Whether any key is in force."""
    row = database.ask("has_keys")
    return row is not None and bool(row["has_keys"])


def key_with(database: Database, key_id: str) -> StoredKey | None:
    return _stored(database.ask("key_by_id", id=key_id))


def key_of_session(database: Database, token: str) -> StoredKey | None:
    """None for a session that is over, or never was."""
    return _stored(database.ask("key_by_session", token_sha256=digest(token)))


def note_use(database: Database, key_id: str) -> None:
    database.ask("key_used", id=key_id)


def begin_session(database: Database, key_id: str, lasts_sec: float) -> tuple[str, float] | None:
    """Its token, which is kept nowhere, and how many seconds it is good for: no longer than the key. None: the key is
    not in force."""
    token = _random(SECRET_BYTES)
    with database.transaction() as connection:
        row = connection.execute(
            statement("add_session"), {"token_sha256": digest(token), "key_id": key_id, "lasts_sec": lasts_sec}
        ).one_or_none()
        connection.execute(statement("forget_sessions"), {"key_id": key_id, "most": MAX_SESSIONS})
    return None if row is None else (token, float(row.left_sec))


def end_session(database: Database, token: str) -> None:
    database.ask("end_session", token_sha256=digest(token))


def id_in(key: str) -> str | None:
    """The part that may be seen. None: this is no key."""
    match = _KEY.fullmatch(key)
    return match[1] if match else None


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _stored(row: dict[str, Any] | None) -> StoredKey | None:
    if row is None:
        return None
    # A newer release may know scopes that this one does not: they open nothing here.
    return StoredKey(**row | {"scopes": frozenset(map(Scope, _KNOWN.intersection(row["scopes"])))})


def _random(size_bytes: int) -> str:
    return base64.b32encode(secrets.token_bytes(size_bytes)).decode().rstrip("=").lower()

"""The secrets that sign webhooks, one a tenant, and the signature itself (standardwebhooks.com, version 1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.db.engine import Database
from backend.db.sql import statement

PREFIX = "whsec_"
SECRET_BYTES = 32
OVERLAP_HOURS = 24.0


@dataclass(frozen=True)
class Secret:
    """`signs_until` is None for the present one."""

    text: str
    signs_until: datetime | None

    def __repr__(self) -> str:
        return f"Secret({PREFIX}…)"


def signing_secrets(database: Database, tenant: str) -> list[Secret]:
    """Those that sign now, the present one first; it is made where there is none. Raises DatabaseUnavailable."""
    found = _signing(database, tenant)
    if not found or found[0].signs_until is not None:
        with database.transaction() as connection:
            connection.execute(statement("add_webhook_secret"), {"tenant": tenant, "secret": _new_secret()})
        found = _signing(database, tenant)
    return found


def rotate_secret(database: Database, tenant: str, *, overlap_hours: float = OVERLAP_HOURS) -> list[Secret]:
    """A new secret; the one before signs beside it for so long. Returns those that sign now, the new one first."""
    with database.transaction() as connection:
        connection.execute(
            statement("retire_webhook_secret"), {"tenant": tenant, "overlap_seconds": 3600 * overlap_hours}
        )
        connection.execute(statement("add_webhook_secret"), {"tenant": tenant, "secret": _new_secret()})
    return _signing(database, tenant)


def signature_header(signing: Sequence[Secret], message_id: str, sent_at: int, body: str) -> str:
    """`webhook-signature`: one `v1,…` a secret; whoever knows one of them verifies. `sent_at` in Unix seconds."""
    signed = f"{message_id}.{sent_at}.{body}".encode()
    digests = [hmac.digest(_key_of(secret.text), signed, hashlib.sha256) for secret in signing]
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _signing(database: Database, tenant: str) -> list[Secret]:
    with database.transaction() as connection:
        rows = connection.execute(statement("webhook_secrets"), {"tenant": tenant}).all()
    return [Secret(row.secret, row.signs_until) for row in rows]


def _new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _key_of(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))

"""Tenants: whose jobs are apart from everybody else's, and what each may use."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from backend.db.engine import Database
from backend.db.sql import statement
from backend.errors import InvalidRequest
from backend.events import Event, emit
from backend.settings import misspelt_prefix

DEFAULT_TENANT = "default"
MAX_LISTED = 1000
# It is part of names in the object store.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Tenant:
    """A limit of None is the setting's, TENANT_MAX_…"""

    name: str
    open_jobs_max: int | None = None
    bytes_max: int | None = None
    frames_max: int | None = None
    cpu_seconds_max: float | None = None


def add_tenant(connection: Connection, name: str) -> None:
    """Makes it where there is none. Raises InvalidRequest for what is no name."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest("A tenant's name has up to 40 small letters, digits and dashes, a letter or digit first.")
    connection.execute(statement("add_tenant"), {"name": name})


def set_limits(database: Database, name: str, limits: dict[str, float | None]) -> Tenant:
    """Changes those limits and leaves the others; makes the tenant where there is none. Raises InvalidRequest."""
    if any(limit is not None and limit < 0 for limit in limits.values()):
        raise InvalidRequest("A limit is 0 or more.")
    with database.transaction() as connection:
        add_tenant(connection, name)
        now = connection.execute(statement("lock_tenant"), {"name": name}).one()
        changed = Tenant(**dict(now._mapping) | limits)
        connection.execute(statement("set_limits"), asdict(changed))
    emit(Event.TENANT_CHANGED, tenant=name, limits=limits)
    return changed


def set_allowed_prefixes(database: Database, name: str, prefixes: str | None) -> None:
    """The places that the tenant may name, in place of ALLOWED_PREFIXES; None: those. Raises InvalidRequest."""
    if prefixes is not None and (wrong := misspelt_prefix(prefixes)) is not None:
        raise InvalidRequest(f"{wrong:.300} is no place: write s3://bucket/folder/, with commas between them.")
    with database.transaction() as connection:
        add_tenant(connection, name)
        connection.execute(statement("set_allowed_prefixes"), {"name": name, "allowed_prefixes": prefixes})
    emit(Event.TENANT_CHANGED, tenant=name, allowed_prefixes=prefixes)


def allowed_prefixes_of(database: Database, name: str, default: str) -> str:
    """What the tenant may name of the buckets that our credentials reach; `default` where it has none of its own."""
    row = database.ask("allowed_prefixes", tenant=name)
    return default if row is None else str(row["allowed_prefixes"])


def list_tenants(database: Database) -> list[dict[str, Any]]:
    """Their limits, and how many keys of each are in force; by name."""
    with database.transaction() as connection:
        return [
            dict(row._mapping) for row in connection.execute(statement("list_tenants"), {"limit": MAX_LISTED}).all()
        ]

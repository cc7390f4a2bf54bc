"""Row-level security: PostgreSQL itself keeps tenants apart, so that a forgotten WHERE shows nobody else's rows.

Two roles that nobody logs in as. A request's transactions run as `framefleet_tenant`, which sees and writes the rows of
the tenant that the transaction names, and no others. Services are members of `framefleet_fleet`, which sees all: the
queue is one for all tenants. The owner of the tables is bound by no policy. docs/decisions/0026-keys-and-tenants.md
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from backend.errors import DatabaseUnavailable

TENANT_ROLE, FLEET_ROLE = "framefleet_tenant", "framefleet_fleet"
ROLES = (TENANT_ROLE, FLEET_ROLE)
# What this transaction may see. After a transaction the setting is an empty string, before the first one it is null.
# In a SELECT of its own, which keeps the planner from looking at it: a prepared statement is planned while one tenant
# asks and used for others, and what is best for a tenant of three jobs walks over all of those of a large one.
_TENANT = "(SELECT nullif(current_setting('framefleet.tenant', true), ''))"
# Local to the transaction: PgBouncer in transaction mode gives the connection to somebody else after it.
_AS_TENANT = text(f"SELECT set_config('role', '{TENANT_ROLE}', true), set_config('framefleet.tenant', :tenant, true)")
_DRIVER_AS_TENANT = (
    f"SELECT set_config('role', '{TENANT_ROLE}', true), set_config('framefleet.tenant', %s, true)".encode()
)
_MEND = (
    "run `alembic upgrade head`, then, where services log in as a role of their own, `python -m backend.db.app_role`"
)


@contextmanager
def entered(connection: psycopg.Connection[Any], tenant: str) -> Iterator[None]:
    """On a connection in autocommit: what the block executes is one transaction of the tenant's, as all is that is sent
    with one wait. Results are there after the block. Raises as `enter`."""
    try:
        with connection.pipeline():
            connection.execute(_DRIVER_AS_TENANT, [tenant])
            yield
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.InsufficientPrivilege) as error:
        if TENANT_ROLE not in str(error):  # what the block executed is not allowed
            raise
        raise DatabaseUnavailable(f"The role {TENANT_ROLE} cannot be taken: {_MEND}.") from error


def enter(connection: Connection, tenant: str) -> None:
    """Until its end the open transaction is the tenant's. Raises DatabaseUnavailable where the roles are not set up."""
    try:
        connection.execute(_AS_TENANT, {"tenant": tenant})
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.InvalidParameterValue | psycopg.errors.InsufficientPrivilege):
            raise DatabaseUnavailable(f"The role {TENANT_ROLE} cannot be taken: {_MEND}.") from error
        raise


def protect(table: str, *rights: str, column: str = "tenant") -> Iterator[str]:
    """The statements, for a migration, that bind a table to its tenants. `rights` are those of requests, as in
    "SELECT", "UPDATE (paused_at, updated_at)"; without any, requests do not reach it at all."""
    own = f"{column} = {_TENANT}"
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    yield f"CREATE POLICY own_rows ON {table} TO {TENANT_ROLE} USING ({own}) WITH CHECK ({own})"
    yield f"CREATE POLICY all_rows ON {table} TO {FLEET_ROLE} USING (true) WITH CHECK (true)"
    if rights:
        yield f"GRANT {', '.join(rights)} ON {table} TO {TENANT_ROLE}"


def unprotect(table: str) -> Iterator[str]:
    """The way back."""
    yield f"REVOKE ALL ON {table} FROM {TENANT_ROLE}"
    yield f"DROP POLICY own_rows ON {table}"
    yield f"DROP POLICY all_rows ON {table}"
    yield f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"


# Roles are the server's, not a database's. Race: another database of this server makes them at the same moment.
# Who may write jobs already is the services' role of an earlier release: it must go on seeing them. So must who may
# read them, or chunks: KEDA, or a dashboard.
MAKE_ROLES = """
DO $$
DECLARE
    shared name;
    member name;
BEGIN
    FOREACH shared IN ARRAY ARRAY['framefleet_tenant', 'framefleet_fleet'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = shared) THEN
                EXECUTE 'CREATE ROLE ' || shared || ' NOLOGIN';
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
        FOR member IN
            SELECT r.rolname FROM pg_roles r
            WHERE NOT r.rolsuper AND NOT pg_has_role(r.oid, shared, 'USAGE')
              AND (r.rolname = current_user OR r.oid IN (
                   SELECT acl.grantee FROM pg_class c, aclexplode(c.relacl) acl
                   WHERE (c.oid = 'video_analysis_jobs'::regclass AND acl.privilege_type = 'UPDATE')
                      OR (shared = 'framefleet_fleet' AND acl.privilege_type = 'SELECT'
                          AND c.oid IN ('video_analysis_jobs'::regclass, 'video_analysis_chunks'::regclass))))
        LOOP
            BEGIN
                EXECUTE 'GRANT ' || shared || ' TO ' || quote_ident(member);
            EXCEPTION WHEN unique_violation THEN NULL;
            END;
        END LOOP;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE =
        'The owner may not make roles or give them. As an administrator run: CREATE ROLE framefleet_tenant; '
        'CREATE ROLE framefleet_fleet; GRANT framefleet_tenant, framefleet_fleet TO ' || quote_ident(current_user)
        || ' WITH ADMIN OPTION; then migrate again';
END $$
"""
# Another database of this server may still use them.
DROP_ROLES = """
DO $$
DECLARE
    shared name;
BEGIN
    FOREACH shared IN ARRAY ARRAY['framefleet_tenant', 'framefleet_fleet'] LOOP
        BEGIN
            EXECUTE 'DROP ROLE IF EXISTS ' || shared;
        EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL;
        END;
    END LOOP;
END $$
"""

"""keys and tenants: who may use the API, and on whose behalf

New tables: older versions do not know of them, and nobody else's rows change. And rules for rows: a transaction of a
tenant's request sees and writes that tenant's alone. The owner and the services' role, of an earlier release too, go on as
before.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from backend.db.tenancy import DROP_ROLES, MAKE_ROLES, protect, unprotect

revision = "0015"
down_revision = "0014"

TENANTS, KEYS, SESSIONS = "tenants", "api_keys", "api_sessions"
LIMITS = {
    "open_jobs_max": sa.Integer(),
    "bytes_max": sa.BigInteger(),
    "frames_max": sa.BigInteger(),
    "cpu_seconds_max": sa.Double(),
}

JOBS, CHUNKS, LANES = "video_analysis_jobs", "video_analysis_chunks", "queue_lanes"
# What create, cancel, retry, pause and resume write (backend/jobs/service.py). Requests delete none of these.
JOB_COLUMNS = (
    "status, stage, paused_at, completed_chunks, failures, put_backs, source_trouble_at, available_at, completed_at, "
    "lease_expires_at, claimed_by, error_code, error_message, error_retryable, expires_at, callback_due_at, "
    "callback_failures, updated_at"
)
CHUNK_COLUMNS = (
    "status, failures, put_backs, available_at, lease_expires_at, claimed_by, on_hold, claim_rank, error_code, "
    "error_message"
)
RIGHTS = {
    JOBS: ("SELECT", "INSERT", f"UPDATE ({JOB_COLUMNS})"),
    CHUNKS: ("SELECT", f"UPDATE ({CHUNK_COLUMNS})"),
    LANES: ("SELECT", "UPDATE (floor_rank)"),
    KEYS: (),
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    _make_tables()
    _bind_rows()


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    _unbind_rows()
    for table in (SESSIONS, KEYS, TENANTS):
        op.drop_table(table)


def _make_tables() -> None:
    op.create_table(
        TENANTS,
        sa.Column("name", sa.Text(), primary_key=True),
        *[sa.Column(name, kind) for name, kind in LIMITS.items()],
        sa.Column("allowed_prefixes", sa.Text()),
        _moment("created_at"),
        *[sa.CheckConstraint(f"{name} >= 0", name=f"{name}_not_negative") for name in LIMITS],
    )
    op.execute(f"INSERT INTO {TENANTS} (name) VALUES ('default')")
    op.create_table(
        KEYS,
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), sa.ForeignKey(f"{TENANTS}.name"), server_default="default", nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        _moment("created_at"),
        *[sa.Column(name, sa.DateTime(timezone=True)) for name in ("expires_at", "last_used_at", "revoked_at")],
    )
    op.create_index("uq_api_keys_name", KEYS, ["name"], unique=True, postgresql_where=sa.text("revoked_at IS NULL"))
    op.create_table(
        SESSIONS,
        sa.Column("token_sha256", sa.Text(), primary_key=True),
        sa.Column("key_id", sa.Text(), sa.ForeignKey(f"{KEYS}.id", ondelete="CASCADE"), nullable=False),
        _moment("created_at"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_api_sessions_key", SESSIONS, ["key_id", "expires_at"])


def _bind_rows() -> None:
    # A tenant's newest jobs, without a walk over everybody else's.
    op.create_index("ix_jobs_tenant_newest", JOBS, ["tenant", sa.text("created_at DESC"), sa.text("id DESC")])
    op.execute(MAKE_ROLES)
    for table, rights in RIGHTS.items():
        for statement in protect(table, *rights):
            op.execute(statement)
    for statement in protect(TENANTS, "SELECT", column="name"):  # its own limits
        op.execute(statement)


def _unbind_rows() -> None:
    for table in (*RIGHTS, TENANTS):
        for statement in unprotect(table):
            op.execute(statement)
    op.execute(DROP_ROLES)
    op.drop_index("ix_jobs_tenant_newest", table_name=JOBS)


def _moment(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)

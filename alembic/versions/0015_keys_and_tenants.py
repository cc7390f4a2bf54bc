"""keys and tenants

Rows get rules: a transaction of a tenant's request sees and writes that tenant's alone. The owner and the services' role
go on as before, those of an earlier release too.
"""

import sqlalchemy as sa
from alembic import op

from backend.db.tenancy import DROP_ROLES, MAKE_ROLES, protect, unprotect

revision = "0015"
down_revision = "0014"

JOBS, CHUNKS, LANES = "video_analysis_jobs", "video_analysis_chunks", "queue_lanes"
# What create, cancel, retry, pause and resume write (backend/jobs/service.py). Requests delete nothing.
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
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    bind_rows()


def bind_rows() -> None:
    # A tenant's newest jobs, without a walk over everybody else's.
    op.create_index("ix_jobs_tenant_newest", JOBS, ["tenant", sa.text("created_at DESC"), sa.text("id DESC")])
    op.execute(MAKE_ROLES)
    for table, rights in RIGHTS.items():
        for statement in protect(table, *rights):
            op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    unbind_rows()


def unbind_rows() -> None:
    for table in RIGHTS:
        for statement in unprotect(table):
            op.execute(statement)
    op.execute(DROP_ROLES)
    op.drop_index("ix_jobs_tenant_newest", table_name=JOBS)

"""requests: what an Idempotency-Key was used for, which ones are being answered now, and jobs by status

Additions alone: an earlier release makes jobs without a hash, whose keys are then taken for any body.
"""

import sqlalchemy as sa
from alembic import op

from backend.db.tenancy import protect

revision = "0019"
down_revision = "0018"

JOBS, IN_FLIGHT = "video_analysis_jobs", "requests_in_flight"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column(JOBS, sa.Column("request_sha256", sa.Text()))
    op.create_index(
        "ix_jobs_status_newest", JOBS, ["tenant", "status", sa.text("created_at DESC"), sa.text("id DESC")]
    )
    op.create_table(
        IN_FLIGHT,
        sa.Column("tenant", sa.Text(), server_default="default", primary_key=True),
        sa.Column("idempotency_key", sa.Text(), primary_key=True),
        sa.Column("token", sa.UUID(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    for statement in protect(IN_FLIGHT, "SELECT", "INSERT", "UPDATE (token, begun_at)", "DELETE"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_table(IN_FLIGHT)
    op.drop_index("ix_jobs_status_newest", table_name=JOBS)
    op.drop_column(JOBS, "request_sha256")

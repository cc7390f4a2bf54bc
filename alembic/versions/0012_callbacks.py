"""callbacks: when a job's next one is due, and what was told last

New columns are empty or have constant defaults: no row is rewritten. Older workers leave them alone; whoever knows them
tells of the jobs that those finish.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

JOBS = "video_analysis_jobs"


def upgrade() -> None:
    # Where somebody reads a table for long, claims would wait behind this: better to fail, and be run again.
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column(JOBS, sa.Column("callback_due_at", sa.DateTime(timezone=True)))
    op.add_column(JOBS, sa.Column("callback_told", sa.Text()))
    op.add_column(JOBS, sa.Column("callback_failures", sa.SmallInteger(), server_default="0", nullable=False))
    op.create_index(
        "ix_jobs_callback_due", JOBS, ["callback_due_at"], postgresql_where=sa.text("callback_due_at IS NOT NULL")
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_index("ix_jobs_callback_due", JOBS)
    op.drop_column(JOBS, "callback_failures")
    op.drop_column(JOBS, "callback_told")
    op.drop_column(JOBS, "callback_due_at")

"""versions: jobs that go on from the finished chunks of another

Additions alone: an earlier release makes jobs that are their own first version.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

JOBS = "video_analysis_jobs"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column(JOBS, sa.Column("version_of", sa.UUID()))
    op.add_column(JOBS, sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.create_index(
        "uq_jobs_version",
        JOBS,
        ["version_of", "version"],
        unique=True,
        postgresql_where=sa.text("version_of IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_index("uq_jobs_version", table_name=JOBS)
    op.drop_column(JOBS, "version")
    op.drop_column(JOBS, "version_of")

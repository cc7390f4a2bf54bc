"""encoder of a job: which made the pictures of its film

The column is empty for the jobs there are; older workers leave it so.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

JOBS = "video_analysis_jobs"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column(JOBS, sa.Column("encoder", sa.Text()))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_column(JOBS, "encoder")

"""outputs: results in other containers than MP4, sent to signed links, and how large they are

New columns are empty: no row is rewritten.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

JOBS = "video_analysis_jobs"


def upgrade() -> None:
    # Where somebody reads a table for long, claims would wait behind this: better to fail, and be run again.
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.add_column(JOBS, sa.Column("output_put_url", sa.Text()))
    op.add_column(JOBS, sa.Column("output_ending", sa.Text()))
    op.add_column(JOBS, sa.Column("output_size", sa.BigInteger()))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")
    op.drop_column(JOBS, "output_size")
    op.drop_column(JOBS, "output_ending")
    op.drop_column(JOBS, "output_put_url")
